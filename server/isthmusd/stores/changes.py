"""What changed in the store, so that those who remember can forget. Remembering is `directory.py`'s.

There is one generation, a number that each change raises inside its own transaction: whoever raised it holds its row
until the commit, so that changes become visible in the order of their numbers, in every database.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, insert, select, update

from isthmusd.stores.news import Change, ChangeKind, Changes
from isthmusd.stores.tables import changes, generation

KEPT_S = 3600.0
"""How long changes can be read; whoever was away for longer forgets everything."""


def announce(connection: Connection, kind: ChangeKind, subject: str) -> None:
    """Tell all nodes of a change, when the transaction is committed. Call it last: it makes other writers wait."""
    now = time.time()
    number = connection.execute(
        update(generation).values(value=generation.c.value + 1).returning(generation.c.value)
    ).scalar_one()
    connection.execute(insert(changes).values(generation=number, kind=kind.value, subject=subject, at=now))
    connection.execute(delete(changes).where(changes.c.at < now - KEPT_S))


def read_generation(connection: Connection) -> int:
    """Give the number of the last change."""
    return connection.execute(select(generation.c.value)).scalar_one()


def changes_since(connection: Connection, known: int | None, mark: float | None = None) -> Changes:
    """Give the changes after the generation that is known, with its mark; None: nothing is."""
    latest, at = connection.execute(
        select(generation.c.value, changes.c.at).select_from(
            generation.outerjoin(changes, changes.c.generation == generation.c.value)
        )
    ).one()
    if known is None:
        return Changes(latest, None, at)
    if latest == known:
        return Changes(latest, () if mark is None or mark == at else None, at)
    rows = connection.execute(
        select(changes.c.generation, changes.c.kind, changes.c.subject, changes.c.at)
        .where(changes.c.generation >= known, changes.c.generation <= latest)
        .order_by(changes.c.generation)
    ).all()
    new = [row for row in rows if row.generation > known]
    # Numbers without gaps: fewer rows than numbers means that some were pruned (or that the store is another one).
    complete = len(new) == latest - known
    same = mark is None or any(row.generation == known and row.at == mark for row in rows)
    told = tuple(Change(ChangeKind(row.kind), row.subject) for row in new) if complete and same else None
    return Changes(latest, told, at)
