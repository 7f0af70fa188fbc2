"""Opens the SQLite file of the cache, makes it, and starts a fresh one where it is damaged. What is read and written in
it is `cache_sqlite.py`'s.

Several processes open, damage or replace the file at the same moment: all of that happens under a lock of a file beside
it. A file that is no cache of ours is never touched, except one that is no database at all: it is moved aside.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from isthmusd.stores.caching import CacheFault, Fault

APPLICATION_ID = 0x49434143
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
LOCK_S = 1.0
ASIDE = ".damaged"
"""At most one damaged file is kept, for who wants to know what happened."""
BESIDE = ("-wal", "-shm", "-journal")

KINDS = {
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_PROTOCOL: Fault.BUSY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_TOOBIG: Fault.FULL,
    sqlite3.SQLITE_CORRUPT: Fault.CORRUPT,
    sqlite3.SQLITE_NOTADB: Fault.CORRUPT,
    sqlite3.SQLITE_ERROR: Fault.BROKEN,
    sqlite3.SQLITE_CANTOPEN: Fault.REFUSED,
    sqlite3.SQLITE_READONLY: Fault.REFUSED,
    sqlite3.SQLITE_PERM: Fault.REFUSED,
    sqlite3.SQLITE_AUTH: Fault.REFUSED,
}
"""By SQLite's primary code; all others mean that the disk does not do what it should."""
UNMADE = (Fault.CORRUPT, Fault.BROKEN)
"""When a file is opened: it is damaged, or its tables are not as we make them."""

TABLES = (
    "PRAGMA application_id = 0x49434143",
    "CREATE TABLE IF NOT EXISTS entries_1 (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, tenant TEXT NOT NULL,"
    " model TEXT NOT NULL, stored_at REAL NOT NULL, expires_at REAL NOT NULL, used_at REAL NOT NULL,"
    " size INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS entries_1_expires_at ON entries_1 (expires_at)",
    "CREATE INDEX IF NOT EXISTS entries_1_used_at ON entries_1 (used_at, size)",
    "CREATE TABLE IF NOT EXISTS sealed_1 (number INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS entries_1_gone AFTER DELETE ON entries_1"
    " BEGIN DELETE FROM sealed_1 WHERE number = old.number; END",
    "CREATE TABLE IF NOT EXISTS cleared_1 (number INTEGER PRIMARY KEY, tenant TEXT, model TEXT, at REAL NOT NULL)",
)
"""The number in the names is the version: builds of different versions share a file, and see their own tables only.
What is sealed lies apart: to write down that an entry was used, or to look for the least used, must not touch it."""
LOOKS = (
    "SELECT number, name, tenant, model, stored_at, expires_at, used_at, size FROM entries_1 LIMIT 0",
    "SELECT number, sealed FROM sealed_1 LIMIT 0",
    "SELECT number, tenant, model, at FROM cleared_1 LIMIT 0",
)


@dataclass(slots=True)
class CacheFile:
    """One connection to the file, for one thread. All raise CacheFault; after one that may be of the connection's the
    next use opens another."""

    path: Path
    busy_s: float
    """How long one waits for other processes."""
    _connection: sqlite3.Connection | None = None
    _identity: tuple[int, int] | None = None

    @contextmanager
    def used(self) -> Generator[sqlite3.Connection]:
        """Give the connection. What fails in the context becomes a CacheFault, and an open transaction ends."""
        try:
            yield self._opened()
        except sqlite3.Error as error:
            self._recover(error)
            raise CacheFault(kind_of(error), _told(error)) from None
        except OSError as error:
            self.close()
            raise CacheFault(Fault.REFUSED, f"{type(error).__name__} {error.errno}") from None
        except (ValueError, OverflowError) as error:
            # A value that SQLite does not take: half a surrogate pair.
            raise CacheFault(Fault.UNREADABLE, type(error).__name__) from None
        finally:
            if self._connection is not None and self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.rollback()

    def _recover(self, error: sqlite3.Error) -> None:
        match kind_of(error):
            case Fault.CORRUPT if _code(error) is not None:
                self._replace()
            case Fault.BUSY | Fault.FULL | Fault.CORRUPT:
                pass
            case _:
                self.close()

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != _identity(self.path):
            # Another process replaced the file, or somebody deleted it.
            self.close()
        if self._connection is None:
            self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            with self._alone():
                self._connection = self._open()
                self._identity = _identity(self.path)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if kind_of(error) not in UNMADE:
                raise
            self._move_aside()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        # Only one that makes the file may open it otherwise than SQLite does: closing it would end SQLite's locks.
        with suppress(FileExistsError):
            _make(self.path, self._lock)
            # Of one that was deleted alone: SQLite would take them for the new one's.
            for ending in BESIDE:
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        connection = sqlite3.connect(self.path, timeout=self.busy_s, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(connection)
            for ending in ("", *BESIDE):
                _make_private(self.path.with_name(self.path.name + ending))
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        # Before the tables: a newer SQLite may write what ours takes for damage.
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        if owner not in (0, APPLICATION_ID):
            raise CacheFault(Fault.REFUSED, "the file is a database of something else")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and not owner:
            raise CacheFault(Fault.REFUSED, "the file is a database of something else")
        if not tables:
            connection.execute("PRAGMA page_size = 4096")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.execute("PRAGMA cache_size = -2048")
        (made,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'cleared_1'").fetchone()
        if not made:
            connection.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                connection.execute(table)
            connection.execute("COMMIT")
        for look in LOOKS:
            connection.execute(look)

    def _replace(self) -> None:
        """Begin a fresh file, unless another process has done so."""
        damaged = self._identity
        self.close()
        with suppress(OSError, CacheFault), self._alone():
            if damaged is not None and damaged == _identity(self.path):
                self._move_aside()

    def _move_aside(self) -> None:
        # What was written last may be beside it. Where others still have them open they go on with what has these names
        # no more, until they look.
        for ending in ("", *BESIDE):
            aside = self.path.with_name(self.path.name + ASIDE + ending)
            aside.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).replace(aside)

    @property
    def _lock(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep other processes, and other threads of this one, from opening or replacing the file."""
        with suppress(FileExistsError):
            _make(self._lock, self.path if self.path.exists() else self.path.parent)
        with closing(_Descriptor(os.open(self._lock, os.O_RDWR | os.O_CLOEXEC))) as held:
            until = time.monotonic() + max(self.busy_s, LOCK_S)
            while True:
                try:
                    fcntl.flock(held.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise CacheFault(Fault.BUSY, "another process opens the file") from None
                    time.sleep(0.005)
            yield


@dataclass(frozen=True, slots=True)
class _Descriptor:
    number: int

    def close(self) -> None:
        os.close(self.number)


def _make(path: Path, like: Path) -> None:
    """Make an empty file. Where root does so it gets the owner of another one: `isthmus cache` may be run by root, and
    the gateway by somebody else. Raises FileExistsError, and never touches what somebody else made."""
    number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE)
    with closing(_Descriptor(number)):
        if os.geteuid() == 0:
            with suppress(OSError):
                owner = like.stat()
                os.fchown(number, owner.st_uid, owner.st_gid)


def _make_private(path: Path) -> None:
    """Let nobody else read a file of ours that was there before us. Not by opening it: see `_connect`."""
    with suppress(FileNotFoundError, PermissionError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & ~PRIVATE_FILE & 0o777:
            path.chmod(PRIVATE_FILE)


def kind_of(error: sqlite3.Error) -> Fault:
    """Give what went wrong, as metrics call it."""
    code = _code(error)
    if code is None:
        # Of Python's own driver: a text that is no UTF-8, or a mistake in its use.
        return Fault.CORRUPT if type(error) is sqlite3.OperationalError else Fault.BROKEN
    if code == sqlite3.SQLITE_IOERR_WRITE:
        return Fault.FULL  # quotas and limits of files; SQLite tells a full disk apart only
    return KINDS.get(code & 0xFF, Fault.UNREACHABLE)


def _code(error: sqlite3.Error) -> int | None:
    return getattr(error, "sqlite_errorcode", None)


def _told(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
