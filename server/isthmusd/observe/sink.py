"""Work that must not hold up the event loop, done by threads in batches; and where log lines leave the process.

A pipe that nobody reads blocks its writer, and stderr is often a pipe. So the event loop only appends to a queue;
one thread writes what has gathered, many lines with one system call.
"""

from __future__ import annotations

import os
import time
import traceback
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")

Write = Callable[[bytes], None]
"""Takes one line, its newline included."""

GATHER_S = 0.02
"""How long a thread lets items gather: one at a time would cost a thread switch each."""
MAX_WAITING = 50_000
"""Beyond this items are counted and dropped: a reader that stands still must not take the memory of the gateway."""
CLOSE_S = 2.0
"""How long closing waits for a reader that stands still."""


def write_stderr(line: bytes) -> None:
    """Write one line to stderr at once; for processes that have no event loop to hold up."""
    write_all(2, line)


def write_all(fd: int, lines: bytes) -> None:
    """Write everything, or as much as a closed reader takes: losing a log is no reason to stop serving."""
    view = memoryview(lines)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        return


class Gathered(Generic[Item]):
    """Queue and thread in front of work that is cheaper in batches.

    `put` may be called from any thread, before `start` too, and returns at once. `close` finishes what waits and ends
    the thread; items that come later are lost.
    """

    def __init__(self, name: str, work: Callable[[list[Item], int], None]) -> None:
        self._work = work
        """Gets a batch, and how many items were dropped before it."""
        self._waiting: deque[Item] = deque()
        self._woken = Event()
        self._ended = False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._dropped_count = 0

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Queue one item."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped_count += 1
            return
        self._waiting.append(item)
        if not self._woken.is_set():
            self._woken.set()

    def close(self) -> None:
        """Finish what waits; give up on work that stands still."""
        self._ended = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._ended:
            self._woken.wait()
            if not self._ended:
                time.sleep(GATHER_S)
            self._woken.clear()
            self._work_off()
        self._work_off()

    def _work_off(self) -> None:
        # Only what is there now: more may come while we take it, which the next turn takes.
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        dropped, self._dropped_count = self._dropped_count, 0
        if batch or dropped:
            try:
                self._work(batch, dropped)
            except Exception:  # noqa: BLE001 a background loop: one bad item must not end the log of all that follow
                write_all(2, traceback.format_exc().encode())


class LineSink(Gathered[bytes]):
    """Lines to a file descriptor, newlines included."""

    def __init__(self, fd: int = 2) -> None:
        super().__init__("log-lines", self._write_batch)
        self._fd = fd

    def write(self, line: bytes) -> None:
        """Queue one line."""
        self.put(line)

    def _write_batch(self, lines: list[bytes], dropped: int) -> None:
        if dropped:
            lines.append(b'{"event":"log_lines_dropped","level":"error","count":%d}\n' % dropped)
        write_all(self._fd, b"".join(lines))
