"""Records in the database: put there, found, and deleted when their time is over. How they get here from the workers is
`recording.py`.

Like `tables.py` this loads SQLAlchemy.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Dialect, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from isthmusd.core.administration import MAX_LISTED, RecordQuery, StoredRecord
from isthmusd.core.keyring import Keyring, Unsealable
from isthmusd.stores.segments import PURPOSE, owner_of_body
from isthmusd.stores.tables import records

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.elements import ColumnElement

CHUNK = 1000
"""Rows of one deletion: others must not wait for it."""
PATIENCE_S = 5.0
"""How long a query may take."""
COUNTING_S = 60
"""How long the search for the oldest record beyond the bound may take: it walks over an index."""
STEPS = 10_000
"""Of SQLite's machine between two looks at the clock."""

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_records(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, of all columns; those whose id is there already are left as they are."""
    order = insertion(connection.dialect).positiontup
    values = [tuple(map(row.__getitem__, order)) for row in rows] if order else list(rows)
    # Straight to the driver, which takes these values as they are: to process each of them again costs a fifth more.
    connection.exec_driver_sql(insertion(connection.dialect).string, values)


@lru_cache(maxsize=4)
def insertion(dialect: Dialect) -> SQLCompiler:
    """Write the statement that adds a record, once for each database that is opened."""
    insert = INSERT[dialect.name](records).on_conflict_do_nothing(index_elements=["id"])
    return insert.compile(dialect=dialect)


def query_records(connection: Connection, query: RecordQuery, keyring: Keyring | None = None) -> Sequence[StoredRecord]:
    """Give the records that are wanted, the newest first. Bodies that no secret here opens are left out."""
    opener = keyring if query.bodies else None
    columns = [records.c.id, records.c.ended_at, records.c.data]
    wanted = (
        select(*columns, *(() if opener is None else (records.c.asked, records.c.answered)))
        .where(*_conditions(query))
        .order_by(records.c.ended_at.desc(), records.c.id.desc())
        .limit(max(1, min(query.limit, MAX_LISTED)))
    )
    with _bounded(connection, PATIENCE_S):
        return [_stored(row, opener) for row in connection.execute(wanted)]


def delete_before(connection: Connection, ended_at: float) -> int:
    """Delete some of the records that ended before; tells how many."""
    return _delete(connection, records.c.ended_at < ended_at)


def delete_beyond(connection: Connection, last: tuple[float, str]) -> int:
    """Delete some of the records up to and with this one, by (end, id); tells how many."""
    return _delete(connection, tuple_(records.c.ended_at, records.c.id) <= tuple_(*last))


def first_beyond(connection: Connection, count: int) -> tuple[float, str] | None:
    """Give the newest record that is one too many, as (end, id)."""
    found = (
        select(records.c.ended_at, records.c.id)
        .order_by(records.c.ended_at.desc(), records.c.id.desc())
        .offset(count)
        .limit(1)
    )
    with _bounded(connection, COUNTING_S):
        row = connection.execute(found).first()
    return None if row is None else (row[0], row[1])


def _delete(connection: Connection, condition: ColumnElement[bool]) -> int:
    some = select(records.c.id).where(condition).order_by(records.c.ended_at).limit(CHUNK)
    # Two statements: of a limit within the first one Postgres may make several, each with rows of its own.
    names = connection.execute(some).scalars().all()
    return connection.execute(delete(records).where(records.c.id.in_(names))).rowcount if names else 0


def _conditions(query: RecordQuery) -> list[ColumnElement[bool]]:
    equal = (
        (records.c.tenant, query.tenant),
        (records.c.project, query.project),
        (records.c.key_id, query.key_id),
    )
    conditions = [column == value for column, value in equal if value is not None]
    if query.since is not None:
        conditions.append(records.c.ended_at >= query.since)
    if query.until is not None:
        conditions.append(records.c.ended_at < query.until)
    if query.before is not None:
        conditions.append(tuple_(records.c.ended_at, records.c.id) < tuple_(*query.before))
    return conditions


def _stored(row: Sequence[Any], keyring: Keyring | None) -> StoredRecord:
    stored = StoredRecord(id=row[0], ended_at=row[1], data=row[2])
    if keyring is None:
        return stored
    asked, answered = (
        _opened(keyring, sealed, stored.id, side) for sealed, side in zip(row[3:], ("asked", "answered"), strict=True)
    )
    return replace(stored, asked=asked, answered=answered)


def _opened(keyring: Keyring, sealed: bytes | None, record_id: str, side: str) -> bytes | None:
    if sealed is None:
        return None
    try:
        return keyring.open(sealed, purpose=PURPOSE, owner=owner_of_body(record_id, side))
    except Unsealable:
        return None


@contextmanager
def _bounded(connection: Connection, seconds: float) -> Generator[None]:
    """End a statement that takes longer."""
    match connection.dialect.name:
        case "postgresql":
            connection.execute(select(func.set_config("statement_timeout", str(int(seconds * 1000)), True)))
            yield
        case _:
            driver: Any = connection.connection.driver_connection
            limit = time.monotonic() + seconds
            driver.set_progress_handler(lambda: time.monotonic() > limit, STEPS)
            try:
                yield
            finally:
                driver.set_progress_handler(None, 0)
