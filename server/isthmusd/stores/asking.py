"""Asks the store from the event loop: SQL runs in a few threads of its own, and nobody waits for it longer than agreed.
What is asked is `directory.py`'s and `credentials.py`'s.

A thread never hangs for good: the driver gives up by itself (`database.py`), so that threads need not be replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from isthmusd.core.errors import Unavailable
from isthmusd.stores.loading import is_loaded, load

Answer = TypeVar("Answer")

CODE = "store_unavailable"
NO_ANSWER = "the store does not answer; try again in a moment"
THREADS = 2
"""One slow question must not hold up the next; more threads would only take each other's turns."""


class Late(Unavailable):
    """No answer came in time. Whether the store is away, or many ask it, is not known."""


class Asking:
    """Threads that ask one store, started when the first question comes. Used from one loop."""

    def __init__(self, name: str, timeout_s: float, threads: int = THREADS) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def limit(self) -> float:
        """Give the instant, on the loop's clock, until which who asks now may wait."""
        return asyncio.get_running_loop().time() + self._timeout_s

    async def ask(self, question: Callable[[], Answer], until: float | None = None) -> Answer:
        """Run a question. Raises Late when it takes too long: one that runs by then ends by itself, one that
        still waits for a thread is dropped."""
        if not is_loaded():
            # Takes a second, which is not the store's fault: nobody's wait counts it.
            await self.run(load)
        try:
            async with asyncio.timeout_at(self.limit() if until is None else until):
                return await self.run(question)
        except TimeoutError:
            raise Late(NO_ANSWER, code=CODE, retry_after_s=1) from None

    async def run(self, task: Callable[[], Answer]) -> Answer:
        """Run what takes as long as it takes, once everything that it may need is loaded."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _loaded, task)

    async def close(self) -> None:
        """Take no more questions, and let those that run end: the store's connections are closed next."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


def _loaded(task: Callable[[], Answer]) -> Answer:
    load()
    return task()


def no_answer() -> Unavailable:
    """Say that the store does not answer."""
    return Unavailable(NO_ANSWER, code=CODE, retry_after_s=1)


def too_many() -> Unavailable:
    """Say that too many wait for the store."""
    return Unavailable("too many wait for the store; try again in a moment", code=CODE, retry_after_s=1)
