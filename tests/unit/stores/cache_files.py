"""Files of the cache, for tests: opened as the gateway does, and looked into past it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from isthmusd.stores.cache_sqlite import SqliteCache
from isthmusd.stores.caching import CacheFault

from tests.unit.stores.cached import StillClock, name

MIB = 1024 * 1024


@asynccontextmanager
async def opened(
    path: Path, *, limit: int = 64 * MIB, clock: StillClock | None = None, timeout_s: float = 5.0
) -> AsyncGenerator[SqliteCache]:
    store = SqliteCache(path, limit, timeout_s, (clock or StillClock()).now)
    try:
        yield store
    finally:
        await store.aclose()


@contextmanager
def looked_into(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@contextmanager
def locking(path: Path, statement: str) -> Iterator[None]:
    """Hold a lock of the file in another process."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "[c.execute(part) for part in sys.argv[2].split(';')]; print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path), statement], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.communicate(b"")


def kept(path: Path, *labels: str) -> set[str]:
    """Which of the entries are there, without using them."""
    with looked_into(path) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM entries_1")}
    return {label for label in labels if name(label) in names}


def is_sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with a file."""
    with looked_into(path) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


async def answers(asked: Awaitable[object]) -> object:
    """Give an answer, or why there is none."""
    try:
        return await asked
    except CacheFault as fault:
        return fault.kind
