"""Brings a store to the newest schema, as a process of its own: `python -m isthmusd.stores.migrating`, the store's URL
on standard input, where no list of processes shows it. When that is needed is for `provision.py` to say.

For developers: `--snapshot` prints `schema.sql`, `--revision MESSAGE` writes a file for what `tables.py` has and the
migrations lack.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import secrets
import sqlite3
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import as_file
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, exc, exists, func, insert, inspect, or_, select, text

from isthmusd.stores.database import WRITES, open_engine
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.schema import MIGRATIONS, NUMBER_DIGITS, NewerStore, is_current, revisions
from isthmusd.stores.tables import keys, meta, provider_keys
from isthmusd.stores.urls import UnusableStore, sqlite_url

INSTANCE = "instance"
ADVISORY_LOCK = 0x6973_7468_6D75_7301
"""One migration at a time in a Postgres database. Chance chose no part of it: it spells the name."""
CONNECT_S = 10.0
SNAPSHOT_HEAD = "-- Made by `python -m isthmusd.stores.migrating --snapshot`; a test compares it with the migrations.\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """What `provision.py` asks of a store; told to it in JSON."""

    instance: str
    """The name of the installation."""
    is_in_use: bool
    """Whether something in it is of no use without the secret that made it."""


class Foreign(Exception):
    """The database is somebody else's. The message is for the operator."""


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m isthmusd.stores.migrating", description=__doc__)
    parser.add_argument("--snapshot", action="store_true", help="print schema.sql")
    parser.add_argument("--revision", metavar="MESSAGE", help="write a migration for what tables.py has in addition")
    asked = parser.parse_args(arguments)
    if asked.snapshot:
        sys.stdout.write(snapshot())
        return 0
    if asked.revision:
        _write_revision(asked.revision)
        return 0
    try:
        migrated = migrate(sys.stdin.read().strip())
    except (UnusableStore, NewerStore, Foreign) as error:
        return _failed(str(error))
    except exc.DBAPIError as error:
        return _failed(f"the store cannot be brought up to date: {error.orig}")
    sys.stdout.write(json.dumps(dataclasses.asdict(migrated)))
    return 0


def migrate(url: str) -> Migrated:
    """Bring a store to the newest schema, all or nothing.

    Raises UnusableStore, NewerStore, Foreign, and SQLAlchemy's errors.
    """
    engine = open_engine(StoreOptions(url=url, timeout_s=CONNECT_S))
    try:
        with _locked(engine) as connection:
            if not _is_current(connection):
                _upgrade(connection)
            return Migrated(instance=_instance(connection), is_in_use=_is_in_use(connection))
    finally:
        engine.dispose()


def snapshot() -> str:
    """Give the newest schema as SQL for a fresh SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.db"
        engine = open_engine(StoreOptions(url=sqlite_url(path)))
        with _locked(engine) as connection:
            _upgrade(connection)
        engine.dispose()
        with closing(sqlite3.connect(path)) as fresh:
            return SNAPSHOT_HEAD + "\n".join(fresh.iterdump()) + "\n"


@contextmanager
def _locked(engine: Engine) -> Generator[Connection]:
    """Be the only one who changes the schema, in one transaction."""
    is_file = engine.dialect.name == "sqlite"
    if is_file:
        # Changing a table makes another one and drops the old: what refers to it must not go with it.
        event.listen(engine, "connect", _forget_references)
    with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        if not is_file:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        yield connection
        if is_file and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise Foreign("the store's rows do not fit together; restore a backup")


def _forget_references(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=OFF")


def _is_current(connection: Connection) -> bool:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None:
        return is_current(revision)
    if inspect(connection).get_table_names():
        raise Foreign("the database is not empty and not this gateway's; name an empty one")
    return False


def _upgrade(connection: Connection) -> None:
    with _alembic(connection) as config:
        command.upgrade(config, "head")


def _instance(connection: Connection) -> str:
    """Give the name of the installation, which whoever comes first chooses."""
    found = connection.execute(select(meta.c.value).where(meta.c.name == INSTANCE)).scalar_one_or_none()
    if found is None:
        found = new_instance()
        connection.execute(insert(meta).values(name=INSTANCE, value=found))
    return found


def _is_in_use(connection: Connection) -> bool:
    open_keys = exists().where(keys.c.revoked_at.is_(None))
    return bool(connection.execute(select(or_(open_keys, exists().select_from(provider_keys)))).scalar_one())


def new_instance() -> str:
    """Make an instance id: 16 hex digits."""
    return secrets.token_hex(8)


def _write_revision(message: str) -> None:
    number = f"{int(revisions()[-1]) + 1:0{NUMBER_DIGITS}}"
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(StoreOptions(url=sqlite_url(Path(folder) / "revision.db")))
        with _locked(engine) as connection, _alembic(connection) as config:
            command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=number)
        engine.dispose()


@contextmanager
def _alembic(connection: Connection) -> Generator[Config]:
    with as_file(MIGRATIONS) as folder:
        config = Config(stdout=sys.stderr)
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        yield config


def _failed(message: str) -> int:
    sys.stderr.write(" ".join(message.split()) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
