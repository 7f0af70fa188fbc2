"""Where log lines leave the process. It does not know what a line means.

A pipe that nobody reads blocks its writer, and stderr is often a pipe. So the event loop only appends to a queue;
one thread writes what has gathered, many lines with one system call.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

Write = Callable[[bytes], None]
"""Takes one line, its newline included."""

GATHER_S = 0.02
"""How long the thread lets lines gather: one write per record would cost a thread switch each."""
MAX_WAITING_LINES = 50_000
"""Beyond this lines are counted and dropped: a reader that stands still must not take the memory of the gateway."""
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


class LineSink:
    """Queue and thread in front of a file descriptor.

    `write` may be called from any thread, before `start` too, and returns at once. `close` writes what waits and ends
    the thread; lines that come later are lost.
    """

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="log-lines", daemon=True)
        self._dropped_count = 0

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, newline included."""
        if self._waiting.qsize() < MAX_WAITING_LINES:
            self._waiting.put(line)
        else:
            self._dropped_count += 1

    def close(self) -> None:
        """Write what waits; give up on a reader that does not read."""
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._waiting.get()
            if first is not None:
                time.sleep(GATHER_S)
            lines, ended = self._gather(first)
            write_all(self._fd, b"".join(lines))

    def _gather(self, first: bytes | None) -> tuple[list[bytes], bool]:
        """Take what waits; the second value says whether the end came by."""
        lines = [] if first is None else [first]
        ended = first is None
        while not ended:
            try:
                line = self._waiting.get_nowait()
            except Empty:
                break
            ended = line is None
            if line is not None:
                lines.append(line)
        if self._dropped_count:
            lines.append(b'{"event":"log_lines_dropped","level":"error","count":%d}\n' % self._dropped_count)
            self._dropped_count = 0
        return lines, ended
