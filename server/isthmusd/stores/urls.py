"""Where a store is, told from its URL without loading what speaks to it. Opening one is `database.py`'s."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)")
POSTGRES = re.compile(r"(?P<scheme>postgres|postgresql)(?:\+psycopg)?://(?P<rest>.*)", re.DOTALL)
FORMS = "sqlite:////PATH/isthmus.db or postgresql://USER:PASSWORD@HOST/NAME"


class UnusableStore(ValueError):
    """The message is for the operator and holds no part of the URL."""


def sqlite_url(path: Path) -> str:
    """Give the URL of a SQLite file."""
    return f"sqlite:///{quote(str(path.resolve()))}"


def sqlite_path(url: str) -> Path | None:
    """Give the file of a SQLite store; None for another kind."""
    found = SQLITE.fullmatch(url)
    return Path(unquote(found["path"])) if found else None


def checked_url(url: str) -> str:
    """Give the URL as SQLAlchemy reads it, with the driver that is installed; a file by its whole path.

    Raises UnusableStore.
    """
    path = sqlite_path(url)
    if path is not None:
        if path.name.startswith(":"):
            raise UnusableStore("a store in memory is forgotten at once and not shared by workers; name a file")
        return sqlite_url(path)
    found = POSTGRES.fullmatch(url)
    if found is None:
        raise UnusableStore(f"the store's URL must be of the form {FORMS}")
    if find_spec("psycopg") is None:
        raise UnusableStore("a store in Postgres needs a driver: pip install 'isthmus-gateway[postgres]'")
    return f"postgresql+psycopg://{found['rest']}"
