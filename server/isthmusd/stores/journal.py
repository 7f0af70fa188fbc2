"""A worker's journal: the record of a call is in a file before the last byte of its reply leaves. From there
`recording.py` brings it into the store.

The files outlive the process, however it ends. They are not synced: what the kernel took survives the kill of every
process, and a machine that loses its power loses the records of its last seconds.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from isthmusd.core.keyring import Keyring
from isthmusd.core.record import Record
from isthmusd.stores.options import RecordsOptions
from isthmusd.stores.segments import UNWRITABLE, Segment, write_line

LOG = logging.getLogger(__name__)

SEGMENT_S = 600.0
"""A file is closed after this, so that it can go once it is stored."""
SHARE = 4
"""A journal is at least so many files: only closed ones can go."""
LOOK_AGAIN_S = 0.25
"""How often a full journal looks whether files have gone."""
WARN_S = 60.0
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class RecordJournal:
    """Appends records to files of its own. Used by one thread; `write` never raises and never waits for the store."""

    def __init__(self, options: RecordsOptions, keyring: Keyring, dropped: Callable[[], None]) -> None:
        self._folder = options.journal
        self._limit = options.journal_bytes
        self._segment_bytes = min(options.segment_bytes, max(options.journal_bytes // SHARE, 1))
        self._keyring = keyring
        self._dropped = dropped
        self._began_at = time.time_ns() // 1_000_000
        self._number = 0
        self._file: int | None = None
        self._path = Path()
        self._size = 0
        self._opened_at = 0.0
        self._closed: dict[Path, int] = {}
        """Closed segments that have not been removed yet, and their sizes."""
        self._closed_bytes = 0
        self._looked_at = 0.0
        self._warned_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, record: Record) -> None:
        """Append one record, or count that it is lost."""
        try:
            line = write_line(record, self._keyring)
            if not self._make_room(len(line)):
                self._drop("it takes all the space that records.journal_bytes allows; the store does not keep up")
                return
            self._append(line)
        except OSError as error:
            self._drop(f"its file cannot be written: {error.strerror}")
        except UNWRITABLE as error:
            self._drop(f"a record cannot be written: {type(error).__name__}")

    def _make_room(self, size: int) -> bool:
        """Begin a new file where it is time; tell whether the line fits into the bound of all files together."""
        now = time.monotonic()
        if self._size and (self._size + size > self._segment_bytes or now - self._opened_at > SEGMENT_S):
            self._close()
            self._look(now)
        if self._closed_bytes + self._size + size <= self._limit:
            return True
        if now - self._looked_at >= LOOK_AGAIN_S:
            # Open, it could not go even if it is stored.
            self._close()
            self._look(now)
        return self._closed_bytes + self._size + size <= self._limit

    def _look(self, now: float) -> None:
        self._looked_at = now
        self._closed = {path: size for path, size in self._closed.items() if path.exists()}
        self._closed_bytes = sum(self._closed.values())

    def _append(self, line: bytes) -> None:
        file = self._file
        if file is None:
            file = self._open()
        written = os.write(file, line)
        if written != len(line):
            # The reader takes whole lines only: a part of one that is taken back has never been there.
            self._take_back(file)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _take_back(self, file: int) -> None:
        try:
            os.ftruncate(file, self._size)
        except OSError:
            self._close()

    def _open(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            self._number += 1
            segment = Segment(folder=self._folder, began_at=self._began_at, pid=os.getpid(), number=self._number)
            try:
                file = os.open(segment.path, FLAGS, mode=0o600)
            except FileExistsError:
                continue
            if _locked(file):
                break
            # Seen before it was locked, it was taken for one whose writer is gone.
            os.close(file)
        self._file, self._path, self._size, self._opened_at = file, segment.path, 0, time.monotonic()
        return file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._closed[self._path] = self._size
            self._closed_bytes += self._size
            self._file, self._size = None, 0

    def _drop(self, why: str) -> None:
        self._dropped()
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at >= WARN_S:
            self._warned_at = now
            LOG.warning("records of calls are lost: the journal drops them, for %s", why)


def _locked(file: int) -> bool:
    """Lock a file that was just made; False if its reader was quicker, and has removed it or is about to."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0
