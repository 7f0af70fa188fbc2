"""Bounds many short waits of one task with one timer.

`asyncio.timeout` sets and clears a timer per wait, a tenth of what a streamed chunk costs. Here the timer looks at the
limit when it goes off, and sleeps on if that has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Value = TypeVar("Value")


class Alarm:
    """Used by one task, one wait at a time. `close` once, when no more waits follow."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._rang = False

    async def wait(self, work: Awaitable[Value], until: float) -> Value:
        """Await `work`, until the loop's time `until` at most. Raises TimeoutError; another's cancellation passes."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an alarm wakes tasks only")
        cancelled_before = task.cancelling()
        self._until, self._waiting = until, task
        if self._timer is None or self._timer.when() > until:
            self._set()
        try:
            return await work
        except asyncio.CancelledError:
            if self._rang and task.uncancel() <= cancelled_before:
                raise TimeoutError from None
            raise
        finally:
            self._waiting, self._rang = None, False

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._until, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # between two waits; the next one sets it again
        if self._loop.time() < self._until:
            self._set()
            return
        self._rang = True
        self._waiting.cancel()
