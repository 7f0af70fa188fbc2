"""Finds or makes what a run needs before it starts: the data directory, the master secret, the store, its instance id.
What is in the store then is for others to read.

It loads neither SQLAlchemy nor Alembic: a fresh SQLite file is made from a snapshot, and what must be migrated is
migrated by another process.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from isthmusd.core.keyring import Keyring, WeakSecret
from isthmusd.stores.schema import SNAPSHOT, NewerStore, is_current
from isthmusd.stores.urls import UnusableStore, checked_url, sqlite_path, sqlite_url

DATABASE = "isthmus.db"
SECRET = "secret"  # noqa: S105 the name of the file
SECRET_BYTES = 48
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
BUSY_S = 10.0
MIGRATING = (sys.executable, "-P", "-m", "isthmusd.stores.migrating")
"""`-P`: the directory where somebody starts a gateway is no place to load code from."""
INSTANCE = "SELECT value FROM meta WHERE name = 'instance'"
IN_USE = "SELECT EXISTS (SELECT 1 FROM keys WHERE revoked_at IS NULL) OR EXISTS (SELECT 1 FROM provider_keys)"
"""Whether something in a store is of no use without the secret that made it."""
SET_INSTANCE = "INSERT INTO meta (name, value) VALUES ('instance', ?) ON CONFLICT DO NOTHING"


class ProvisionError(Exception):
    """The run cannot start. The message is for the operator and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """What was found or made."""

    url: str = field(repr=False)
    """Of the store."""
    secret: str = field(repr=False)
    """The master secrets, as `Keyring.parse` reads them."""
    instance: str
    """The name of the installation: all nodes of one store have the same."""
    made: tuple[Path, ...] = field(default=(), compare=False)
    """The files that were not there before: the secret, the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A store, as it was found or made."""

    instance: str
    is_in_use: bool
    made: tuple[Path, ...] = ()


def provision(data: Path, *, url: str | None, secret: str | None) -> Provisioned:
    """Make what is missing, and bring the store to the newest schema. Any number of processes may do so at once.

    Raises ProvisionError.
    """
    try:
        data.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        file = data / SECRET
        found = secret or (_read_secret(file) if file.exists() else None)
        if found is not None:
            Keyring.parse(found)
        where = checked_url(url or sqlite_url(data / DATABASE))
        path = sqlite_path(where)
        store = _migrated(where) if path is None else _file(path, where)
        made = store.made
        if found is None:
            with _locked(data) as folder:
                if not file.exists():
                    _make_secret(file, folder, store)
                    made = (file, *made)
                found = _read_secret(file)
    except (UnusableStore, WeakSecret, NewerStore) as error:
        raise ProvisionError(str(error)) from error
    except OSError as error:
        raise ProvisionError(
            f"{error.filename or data}: {error.strerror}; be the user whose it is, or name a directory where this user "
            "may write: --data (ISTHMUS_DATA)"
        ) from error
    except sqlite3.Error as error:
        raise ProvisionError(f"the store cannot be opened: {error}") from error
    return Provisioned(url=where, secret=found, instance=store.instance, made=made)


@contextmanager
def _locked(folder: Path) -> Generator[int]:
    """Be the only one who makes things in a directory; it needs no file that stays behind."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield held
    finally:
        os.close(held)


def _make_secret(path: Path, folder: int, store: _Opened) -> None:
    if store.is_in_use:
        # A node with a secret of its own would start, and refuse all keys of the others.
        raise ProvisionError(
            f"the store has keys already, and there is no secret here: give this node the one that made them, by "
            f"ISTHMUS_SECRET or as {path}; if it is lost, put another there (openssl rand -base64 48) and make new keys"
        )
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_private(made, f"{secrets.token_urlsafe(SECRET_BYTES)}\n".encode())
    # Whole or not at all, and on the disk before anything is sealed by it.
    made.rename(path)
    os.fsync(folder)


def _read_secret(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ProvisionError(f"others can read the master secret; take that from them: chmod 600 {path}")
        found = file.read().strip()
    if not found:
        raise ProvisionError(f"{path} is empty; put the master secret there, or remove it to have another one made")
    return found


def _write_private(path: Path, content: bytes) -> None:
    """Make a file that only its owner reads; it is on the disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _file(path: Path, url: str) -> _Opened:
    """Make or migrate a store in a SQLite file."""
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    with _locked(path.parent):
        made = () if path.exists() else (path,)
        if made:
            _write_private(path, b"")
        # SQLite would say less: which file it is, and what is wrong with it.
        path.open("r+b").close()
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                # The mode stays with the file; each connection would else ask for it against those that read already.
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(SNAPSHOT.read_text())
            elif "alembic_version" not in tables:
                raise ProvisionError(f"{path} is not a store of this gateway; name another file")
            if is_current(_only(connection, "SELECT version_num FROM alembic_version")):
                connection.execute(SET_INSTANCE, (secrets.token_hex(8),))
                in_use = bool(connection.execute(IN_USE).fetchone()[0])
                return _Opened(instance=_only(connection, INSTANCE), is_in_use=in_use, made=made)
        return _migrated(url)


def _only(connection: sqlite3.Connection, query: str) -> str:
    row = connection.execute(query).fetchone()
    if row is None:
        raise ProvisionError("the store was left half made; restore a backup, or remove it to have another one made")
    return row[0]


def _migrated(url: str) -> _Opened:
    """Have another process bring a store to the newest schema."""
    done = subprocess.run(MIGRATING, input=url, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise ProvisionError(said[-1] if said else "the store's migration was killed; start again")
    return _Opened(**json.loads(done.stdout))
