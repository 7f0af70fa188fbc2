"""Cached answers in a SQLite file that all workers of a node share. How the file is opened, made and replaced is
`cache_file.py`'s.

Lookups have a thread and a connection of their own, so that they never wait for writes: in WAL mode readers and the
writer do not see each other. All that is deleted is deleted in small steps, so that other processes get their turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from isthmusd.core.entry import CacheItem
from isthmusd.stores.cache_file import CacheFile
from isthmusd.stores.cache_thread import CacheThread
from isthmusd.stores.caching import AHEAD_S, LARGEST_BYTES, CacheFault, CacheStats, Cleared, Fault

WRITE_BUSY_S = 2.0
READ_BUSY_SHARE = 0.6
"""Of how long a call waits."""
USED_S = 600.0
"""That an entry was used is written down no more often."""
USED_COUNT = 4096
STEP_COUNT = 32
"""Entries that are deleted in one transaction."""
STEP_BYTES = 8 * 1024 * 1024
PAUSE_S = 0.001
CLEAN_S = 60.0
NOTES_S = 3600.0
SPARE = 64
"""One part of so many is made free at a time, where room is needed."""
MARGIN_BYTES = 32 * 1024
"""What an entry may take beside its own bytes: pages of tables and indexes that are split."""
CLOSE_S = 2.0

FIND = (
    "SELECT CASE WHEN length(e.tenant) <= ?3 THEN e.tenant END, CASE WHEN length(e.model) <= ?3 THEN e.model END,"
    " e.stored_at, e.expires_at, e.used_at, CASE WHEN length(s.sealed) <= ?4 THEN s.sealed END"
    " FROM entries_1 AS e JOIN sealed_1 AS s USING (number) WHERE e.name = ?1 AND e.expires_at > ?2"
)
"""What is too long comes as NULL: it could take any amount of memory, and of the loop's time."""
LONGEST_TEXT = 1024 * 1024
ROW = (str, str, float, float, float, bytes)
"""What it gives. Its columns take anything that somebody else puts there."""
DELETE_EXPIRED = (
    "DELETE FROM entries_1 WHERE number IN (SELECT number FROM entries_1 WHERE expires_at <= ?"
    " ORDER BY expires_at LIMIT ?)"
)
DELETE_OLDEST = (
    "DELETE FROM entries_1 WHERE number IN (SELECT number FROM (SELECT number,"
    " sum(size) OVER (ORDER BY used_at, number) - size AS before FROM"
    " (SELECT number, used_at, size FROM entries_1 ORDER BY used_at, number LIMIT ?)) WHERE before < ?)"
)
CHOSEN = (
    "SELECT number, expires_at > ?7 FROM (SELECT number, expires_at,"
    " sum(size) OVER (ORDER BY number) - size AS before FROM"
    " (SELECT number, expires_at, size FROM entries_1 WHERE number > ?1 AND number <= ?6"
    " AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR model = ?3) ORDER BY number LIMIT ?4)) WHERE before < ?5"
    " ORDER BY number"
)
COUNT = (
    "SELECT count(*), coalesce(sum(size), 0) FROM entries_1 WHERE expires_at > ?1 AND (?2 IS NULL OR tenant = ?2)"
    " AND (?3 IS NULL OR model = ?3)"
)
NOTES = (
    "SELECT number, CAST(tenant AS BLOB), CAST(model AS BLOB), at FROM cleared_1 WHERE number > ?"
    " ORDER BY number LIMIT 1000"
)
"""Text as bytes: what is no UTF-8 must not keep the other notes from us. More than so many are asked for next time."""
CLEARED = (
    "SELECT count(*) FROM cleared_1 WHERE at > ?1 AND at <= ?4 AND (tenant IS NULL OR tenant = ?2)"
    " AND (model IS NULL OR model = ?3)"
)
DELETE_NOTES = "DELETE FROM cleared_1 WHERE (at < ? OR at > ?) AND number < (SELECT max(number) FROM cleared_1)"
"""The highest number stays, so that the next one is higher, whatever the clock says. To SQLite texts exceed numbers."""
VOID_NOTE = "UPDATE cleared_1 SET at = 0 WHERE at > ?"


class SqliteCache:
    """A CacheStore in a file. Nothing is opened before the first use. One event loop uses it."""

    def __init__(self, path: Path, limit: int, timeout_s: float, now: Callable[[], float]) -> None:
        self._limit = limit
        self._largest = min(limit // 2, LARGEST_BYTES)
        self._now = now
        self._reading = CacheFile(path, busy_s=timeout_s * READ_BUSY_SHARE)
        self._writing = CacheFile(path, busy_s=max(timeout_s, WRITE_BUSY_S))
        self._readers = CacheThread("isthmus-cache-read")
        self._writers = CacheThread("isthmus-cache-write")
        self._used: dict[bytes, float] = {}
        """Entries whose use is to be written down; both threads use it, one operation at a time."""
        self._clean_at = 0.0

    async def load(self) -> None:
        """Nothing to do: Python's own driver is here already."""

    async def get(self, name: bytes) -> CacheItem | None:
        """Give an entry that has not expired."""
        return await self._readers.run(lambda: self._get(name))

    async def put(self, item: CacheItem) -> None:
        """Keep an entry, and make room for it. One that was cleared since it was stored is not kept."""
        await self._writers.run(lambda: self._put(item))

    async def put_all(self, items: Sequence[CacheItem]) -> None:
        """Keep several in one transaction, which writes the pages of the indexes once."""
        await self._writers.run(lambda: self._put_all(items))

    async def clear(self, tenant: str | None, model: str | None) -> int:
        """Remove entries in small steps; the note of it comes first."""
        return await self._writers.run(lambda: self._clear(tenant, model))

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        """Give the notes after a mark, and the next mark. Notes are kept for an hour."""
        return await self._readers.run(lambda: self._notes(mark))

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats:
        """Count what has not expired."""
        return await self._writers.run(lambda: self._stats(tenant, model))

    async def aclose(self) -> None:
        """Close the file, once what is under way has ended; what hangs is left behind."""
        await asyncio.gather(
            self._readers.close(self._reading.close, CLOSE_S), self._writers.close(self._finish, CLOSE_S)
        )

    def _get(self, name: bytes) -> CacheItem | None:
        now = self._now()
        with self._reading.used() as connection:
            row = connection.execute(FIND, (name, now, LONGEST_TEXT, self._largest)).fetchone()
        if row is None:
            return None
        if tuple(map(type, row)) != ROW:
            raise CacheFault(Fault.CORRUPT, "this is no entry")
        tenant, model, stored_at, expires_at, used_at, sealed = row
        if now - used_at >= USED_S and len(self._used) < USED_COUNT:
            self._used[name] = now
        return CacheItem(
            name=name, tenant=tenant, model=model, sealed=sealed, stored_at=stored_at, expires_at=expires_at
        )

    def _put(self, item: CacheItem) -> None:
        if item.expires_at <= self._now():
            return
        if len(item.sealed) > self._largest:
            raise CacheFault(Fault.DROPPED, "the entry takes more than half of the room, or more than any may")
        needed = len(item.sealed) + MARGIN_BYTES
        with self._writing.used() as connection:
            self._note_use(connection)
            self._clean(connection)
            while self._limit - _taken(connection) < needed or not self._inserted(connection, (item,)):
                self._make_room(connection, needed)
                time.sleep(PAUSE_S)
            if _size(connection) > self._limit:
                # The limit was lowered. As a script: one that gives no columns is stepped through by nothing else.
                connection.executescript("PRAGMA incremental_vacuum(1024)")

    def _put_all(self, items: Sequence[CacheItem]) -> None:
        needed = sum(len(item.sealed) + MARGIN_BYTES for item in items)
        now = self._now()
        alive = [item for item in items if item.expires_at > now]
        if len(alive) > 1:
            with self._writing.used() as connection:
                self._note_use(connection)
                self._clean(connection)
                if self._limit - _taken(connection) >= needed and self._inserted(connection, alive):
                    return
        # One that is too long for the file fails: after the others.
        for item in sorted(alive, key=lambda item: len(item.sealed)):
            self._put(item)

    def _inserted(self, connection: sqlite3.Connection, items: Sequence[CacheItem]) -> bool:
        """Insert, unless the file would grow beyond its limit: looked at after it, as nobody else writes meanwhile."""
        connection.execute("BEGIN IMMEDIATE")
        before = _size(connection)
        for item in items:
            self._insert(connection, item)
        if _size(connection) > max(self._limit, before):
            connection.execute("ROLLBACK")
            return False
        connection.execute("COMMIT")
        return True

    def _insert(self, connection: sqlite3.Connection, item: CacheItem) -> None:
        (cleared,) = connection.execute(
            CLEARED, (item.stored_at, item.tenant, item.model, self._now() + AHEAD_S)
        ).fetchone()
        if not cleared:
            connection.execute("DELETE FROM entries_1 WHERE name = ?", (item.name,))
            added = connection.execute(
                "INSERT INTO entries_1 (name, tenant, model, stored_at, expires_at, used_at, size)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    item.name,
                    item.tenant,
                    item.model,
                    item.stored_at,
                    item.expires_at,
                    self._now(),
                    len(item.sealed),
                ),
            )
            connection.execute("INSERT INTO sealed_1 (number, sealed) VALUES (?, ?)", (added.lastrowid, item.sealed))

    def _make_room(self, connection: sqlite3.Connection, needed: int) -> None:
        """Delete what has expired; if nothing has, what was used least recently."""
        if connection.execute(DELETE_EXPIRED, (self._now(), STEP_COUNT)).rowcount:
            return
        wanted = max(needed - (self._limit - _taken(connection)), self._limit // SPARE)
        if not connection.execute(DELETE_OLDEST, (STEP_COUNT, wanted)).rowcount:
            raise CacheFault(Fault.FULL, "there is nothing to delete")

    def _clean(self, connection: sqlite3.Connection) -> None:
        """Delete what has expired, a few entries with each write until none is left, and then once a minute."""
        now = self._now()
        if now >= self._clean_at and connection.execute(DELETE_EXPIRED, (now, STEP_COUNT)).rowcount < STEP_COUNT:
            self._clean_at = now + CLEAN_S
            self._clean_notes(connection)

    def _clean_notes(self, connection: sqlite3.Connection) -> None:
        now = self._now()
        connection.execute(DELETE_NOTES, (now - NOTES_S, now + AHEAD_S))
        connection.execute(VOID_NOTE, (now + AHEAD_S,))

    def _note_use(self, connection: sqlite3.Connection) -> None:
        used = dict(self._used)
        for name in used:
            self._used.pop(name, None)
        if used:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE entries_1 SET used_at = ? WHERE name = ?", [(at, name) for name, at in used.items()]
            )
            connection.execute("COMMIT")

    def _clear(self, tenant: str | None, model: str | None) -> int:
        now, count, last = self._now(), 0, 0
        with self._writing.used() as connection:
            connection.execute("BEGIN IMMEDIATE")
            # Numbers grow with the time, so that they go on where the file is replaced.
            connection.execute(
                "INSERT INTO cleared_1 (number, tenant, model, at)"
                " SELECT max(coalesce(max(number) + 1, 0), ?), ?, ?, ? FROM cleared_1",
                (int(now * 1e6), tenant, model, now),
            )
            self._clean_notes(connection)
            (top,) = connection.execute("SELECT coalesce(max(number), 0) FROM entries_1").fetchone()
            connection.execute("COMMIT")
            while gone := self._delete_chosen(connection, (last, tenant, model, STEP_COUNT, STEP_BYTES, top, now)):
                count += sum(is_alive for _, is_alive in gone)
                last = gone[-1][0]
                time.sleep(PAUSE_S)
        return count

    def _delete_chosen(self, connection: sqlite3.Connection, which: tuple[object, ...]) -> list[tuple[int, bool]]:
        """Delete what one step may, and give its numbers, and whether each was alive. In two statements: RETURNING came
        with SQLite 3.35."""
        connection.execute("BEGIN IMMEDIATE")
        gone = connection.execute(CHOSEN, which).fetchall()
        connection.executemany("DELETE FROM entries_1 WHERE number = ?", [(number,) for number, _ in gone])
        connection.execute("COMMIT")
        return gone

    def _notes(self, mark: str | None) -> tuple[list[Cleared], str]:
        with self._reading.used() as connection:
            if mark is None:
                (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM cleared_1").fetchone()
                return [], str(last)
            rows = connection.execute(NOTES, (int(mark),)).fetchall()
        notes = [note for row in rows if (note := _note(*row[1:])) is not None]
        return notes, str(rows[-1][0]) if rows else mark

    def _finish(self) -> None:
        with suppress(CacheFault), self._writing.used() as connection:
            self._note_use(connection)
        self._writing.close()

    def _stats(self, tenant: str | None, model: str | None) -> CacheStats:
        with self._writing.used() as connection:
            count, size = connection.execute(COUNT, (self._now(), tenant, model)).fetchone()
        return CacheStats(count=count, size=size)


def _note(tenant: bytes | None, model: bytes | None, at: object) -> Cleared | None:
    try:
        return Cleared.read(_text(tenant), _text(model), at)
    except UnicodeDecodeError:
        return None


def _text(written: bytes | None) -> str | None:
    return None if written is None else written.decode()


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the file."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return pages * page


def _taken(connection: sqlite3.Connection) -> int:
    """Bytes of it that are in use: the rest is written to before the file grows."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return _size(connection) - free * page
