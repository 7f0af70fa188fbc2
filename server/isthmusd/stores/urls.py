"""Where a store is, told from its URL without loading what speaks to it. Opening one is `database.py`'s."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, unquote

SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)")
POSTGRES = re.compile(r"(?P<scheme>postgres|postgresql)(?:\+psycopg)?://(?P<rest>.*)", re.DOTALL)
SERVERS = re.compile(r"(?:[^@]*@)?(?:(?:\[[0-9A-Fa-f:.]*\]|[^@:\[\]]*)(?::\d*)?)(?:,[^@]*)?")
"""Of a Postgres URL, before the path: who, and where. What is wrong here may be a part of a password."""
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
    authority = re.split("[/?#]", found["rest"], maxsplit=1)[0]
    if "@" in found["rest"][len(authority) :] or SERVERS.fullmatch(authority) is None:
        raise UnusableStore(
            f"the store's URL is not of the form {FORMS}; in its password write %40 for @, %2F for /, %3A for :, %23 "
            "for #, %3F for ? and %25 for %, or give the password by PGPASSWORD"
        )
    if find_spec("psycopg") is None:
        raise UnusableStore("a store in Postgres needs a driver: pip install 'isthmus-gateway[postgres]'")
    return f"postgresql+psycopg://{found['rest']}"
