"""Brings the records in the workers' journals into the store, and deletes the old ones there. One process of a run does
this; `journal.py` is the other end.

A journal file is read as it grows, and removed once its writer is gone (the kernel has let go of its lock) and all of
it is stored. What was stored is remembered in memory only: after a crash a file is stored again, and the store keeps
each record once. While the store does not answer, the files wait.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmusd.core.errors import Unavailable
from isthmusd.stores.database import Database
from isthmusd.stores.options import RecordsOptions
from isthmusd.stores.segments import REJECTED, Unreadable, read_line, segments

LOG = logging.getLogger(__name__)

BATCH = 500
"""Records of one transaction."""
READ_BYTES = 4 * 1024 * 1024
"""What is read of a file at a time; a longer line is read whole."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
RETAIN_S = 60.0
IDLE_RETAIN_S = 3600.0
"""Where nothing is recorded the store is not opened for less than this: it takes 30 MB of memory."""
RETAIN_CHUNKS = 20
"""Deletions at a time: records that wait come before those that go."""
REJECTED_BYTES = 16 * 1024 * 1024

Row = dict[str, Any]


@dataclass(slots=True)
class _Tail:
    """A file that is being read."""

    path: Path
    file: int
    offset: int = 0
    """Everything before it is stored."""


class Recorder:
    """Reads all journals of a folder. Used by one thread; `sweep` is called again and again and raises nothing that
    waiting may help against."""

    def __init__(self, options: RecordsOptions, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self._options = options
        self._database = database
        self._now = now
        self._tails: dict[Path, _Tail] = {}
        self._skipped = set[Path]()
        self._pause_s = 0.0
        self._paused_until = 0.0
        self._used = False
        self._retain_at = now() + IDLE_RETAIN_S

    def sweep(self) -> bool:
        """Store what the journals have grown by; tell whether anything is left that waits or is being written."""
        if time.monotonic() < self._paused_until:
            return True
        try:
            self._follow(segments(self._options.journal))
            for tail in list(self._tails.values()):
                self._drain(tail)
            self._retain()
        except (Unavailable, OSError) as error:
            self._wait(error)
        else:
            if self._pause_s:
                LOG.info("the store takes records again")
            self._pause_s = 0.0
        return bool(self._tails)

    def close(self) -> None:
        """Let go of the files."""
        for tail in self._tails.values():
            os.close(tail.file)
        self._tails.clear()

    def _wait(self, error: Exception) -> None:
        if not self._pause_s:
            LOG.error("records wait in their journals, for the store takes none: %s", error)
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._paused_until = time.monotonic() + self._pause_s

    def _follow(self, paths: Sequence[Path]) -> None:
        """Open what is there, forget what is not."""
        for path in self._tails.keys() - set(paths):
            os.close(self._tails.pop(path).file)
        for path in paths:
            if path not in self._tails:
                try:
                    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                except FileNotFoundError:
                    continue  # stored and removed by the recorder of another run
                except OSError as error:
                    self._skip(path, error)
                    continue
                self._tails[path] = _Tail(path, file)

    def _skip(self, path: Path, error: OSError) -> None:
        if path not in self._skipped:
            self._skipped.add(path)
            LOG.error("%s cannot be read: %s", path, error.strerror)

    def _drain(self, tail: _Tail) -> None:
        # Asked first: what is read afterwards is all that the writer has left.
        ended = _abandoned(tail.file)
        while (block := _whole_lines(tail)) is not None:
            lines = block.splitlines(keepends=True)
            for start in range(0, len(lines), BATCH):
                some = lines[start : start + BATCH]
                self._store(some, tail.path)
                tail.offset += sum(map(len, some))
        if ended:
            torn = os.fstat(tail.file).st_size - tail.offset
            if torn:
                LOG.warning("a process died while it wrote to %s: %d bytes of a record are left", tail.path.name, torn)
            tail.path.unlink(missing_ok=True)
            os.close(self._tails.pop(tail.path).file)

    def _store(self, lines: Iterable[bytes], path: Path) -> None:
        rows = list[Row]()
        for line in lines:
            try:
                rows.append(read_line(line))
            except Unreadable:
                self._reject(line, path)
        if not rows:
            return
        if not self._insert(rows):
            # Which one it is must be found; the others are fine.
            for row in rows:
                if not self._insert([row]):
                    self._reject(bytes(row["data"]) + b"\n", path)

    def _insert(self, rows: Sequence[Row]) -> bool:
        """Add rows; tell whether the database could take all of them. Raises Unavailable if it takes nothing."""
        from sqlalchemy import exc  # noqa: PLC0415 30 MB that an idle recorder does not need

        from isthmusd.stores.records import insert_records  # noqa: PLC0415 see above

        if not self._used:
            self._used = True
            self._retain_at = self._now()
        try:
            with self._database.writing() as connection:
                insert_records(connection, rows)
        except (exc.DataError, exc.IntegrityError, UnicodeEncodeError, OverflowError):
            return False
        return True

    def _reject(self, line: bytes, path: Path) -> None:
        rejected = self._options.journal / REJECTED
        LOG.error("a line of %s is no record; it is in %s", path.name, rejected)
        if rejected.exists() and rejected.stat().st_size + len(line) > REJECTED_BYTES:
            LOG.error("%s is full; the line is lost", rejected)
            return
        file = os.open(rejected, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode=0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def _retain(self) -> None:
        """Delete what is too old or too much, a little at a time."""
        if self._now() < self._retain_at:
            return
        from isthmusd.stores import records  # noqa: PLC0415 30 MB that an idle recorder does not need

        began = time.monotonic()
        oldest = self._now() - self._options.retention_s
        done = self._delete(lambda connection: records.delete_before(connection, oldest), records.CHUNK)
        with self._database.reading() as connection:
            beyond = records.first_beyond(connection, self._options.max_count)
        if beyond is not None:
            done = self._delete(lambda connection: records.delete_beyond(connection, beyond), records.CHUNK) and done
        # Counting what is there takes a while where there is much: never more than a small part of the time.
        took = time.monotonic() - began
        pause_s = max(RETAIN_S, took * RETAIN_S) if self._used else IDLE_RETAIN_S
        self._retain_at = self._now() + (pause_s if done else took)

    def _delete(self, some: Callable[[Any], int], chunk: int) -> bool:
        """Delete at most so much at a time; tell whether nothing is left."""
        for _ in range(RETAIN_CHUNKS):
            with self._database.writing() as connection:
                count = some(connection)
            if count < chunk:
                return True
        return False


def _abandoned(file: int) -> bool:
    """Whether the writer is gone, however it went. If so, the lock is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _whole_lines(tail: _Tail) -> bytes | None:
    """Read what ends with a line's end; None if there is nothing."""
    size, wanted = os.fstat(tail.file).st_size, READ_BYTES
    while tail.offset < size:
        block = os.pread(tail.file, wanted, tail.offset)
        end = block.rfind(b"\n") + 1
        if end:
            return block[:end]
        if len(block) < wanted:
            return None
        wanted *= 2
    return None
