"""Which revisions of the schema this code knows, told from the packaged files without loading Alembic. Applying them is
`migrating.py`'s."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

MIGRATIONS = files("isthmusd.stores") / "migrations"
SNAPSHOT = files("isthmusd.stores") / "schema.sql"
"""All revisions at once, for a fresh SQLite file."""
NUMBER_DIGITS = 4


class NewerStore(Exception):
    """The message is for the operator."""


def revisions() -> list[str]:
    """Give the numbers of all revisions, the oldest first: `0001_initial.py` is 0001."""
    versions: Traversable = MIGRATIONS / "versions"
    numbers = (each.name[:NUMBER_DIGITS] for each in versions.iterdir() if each.name.endswith(".py"))
    return sorted(number for number in numbers if number.isdigit())


def is_current(revision: str) -> bool:
    """Whether a store of this revision needs no migration. Raises NewerStore for one that this code does not know."""
    known = revisions()
    if revision not in known:
        raise NewerStore(
            f"the store is of a newer version of this gateway (its schema is {revision}, the newest known here is "
            f"{known[-1]}); start that version, or restore a backup from before"
        )
    return revision == known[-1]
