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
        self._due = 0.0
        """When the timer goes off."""
        self._until = 0.0
        self._waiting: asyncio.Task[object] | None = None
        self._cancelled_before = 0
        self._rang = False

    async def wait(self, work: Awaitable[Value], until: float) -> Value:
        """Await `work`, until the loop's time `until` at most. Raises TimeoutError; another's cancellation passes."""
        self.begin(until)
        try:
            return await work
        except asyncio.CancelledError:
            if self.rang():
                raise TimeoutError from None
            raise
        finally:
            self.end()

    def begin(self, until: float) -> None:
        """Begin a wait without a frame of its own: `wait` written out where it runs for every piece of a stream."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("an alarm wakes tasks only")
        self._cancelled_before = task.cancelling()
        self._until, self._waiting = until, task
        if self._timer is None or self._due > until:
            self._set()

    def rang(self) -> bool:
        """Tell whether the CancelledError that a wait just raised is this alarm's; its cancellation is taken back."""
        return self._rang and self._waiting is not None and self._waiting.uncancel() <= self._cancelled_before

    def end(self) -> None:
        """End a wait, however it went."""
        self._waiting, self._rang = None, False

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.close()
        self._due = self._until
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
