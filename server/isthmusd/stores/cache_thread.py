"""A thread that runs what blocks, in order, for one event loop. What it runs is not its business.

An executor would do, but wakes the loop once for each answer, which halves what a worker can look up in a second, and
keeps a process that wants to end until a disk that hangs comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Generic, TypeVar, cast

Answer = TypeVar("Answer")

AT_ONCE = 32
"""Answers that are told together: the loop wakes up once for them."""
TELL_S = 0.002
"""No answer waits longer for those behind it."""


@dataclass(slots=True)
class _Job(Generic[Answer]):
    task: Callable[[], Answer] | None
    future: asyncio.Future[Answer]
    answer: Answer | None = None
    error: Exception | None = None

    def run(self) -> None:
        task = self.task
        if task is None or self.future.cancelled():
            return
        try:
            self.answer = task()
        except Exception as error:  # noqa: BLE001 listed with its reason in tests/test_architecture.py
            self.error = error

    def ended(self, future: asyncio.Future[Answer]) -> None:
        """Let go of what the task holds. One that nobody waits for stands behind one that hangs, maybe for ever."""
        self.task = None

    def tell(self) -> None:
        """Called on the loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(cast("Answer", self.answer))
        else:
            self.future.set_exception(self.error)


class CacheThread:
    """Started by the first task. Used from one loop; `close` is the last call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, task: Callable[[], Answer]) -> asyncio.Future[Answer]:
        """Run a task in the thread; one that is cancelled before its turn is not run."""
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = Thread(target=self._work, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
        job = _Job(task, loop.create_future())
        job.future.add_done_callback(job.ended)
        self._jobs.put(job)
        return job.future

    async def close(self, last: Callable[[], None], wait_s: float) -> None:
        """Run a last task, if any was run, and end the thread; one that hangs is left behind."""
        if self._thread is not None:
            await asyncio.wait({self.run(last)}, timeout=wait_s)
            self._jobs.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        ready: list[_Job[Any]] = []
        tell_at = monotonic()
        while True:
            job = self._jobs.get()
            if job is not None:
                job.run()
                ready.append(job)
            if job is None or self._jobs.empty() or len(ready) == AT_ONCE or monotonic() > tell_at:
                try:
                    loop.call_soon_threadsafe(_tell, ready)
                except RuntimeError:
                    return  # the loop was closed: nobody waits any more
                ready, tell_at = [], monotonic() + TELL_S
            if job is None:
                return


def _tell(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        job.tell()
