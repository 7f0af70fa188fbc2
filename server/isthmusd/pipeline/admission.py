"""Bounds the calls that one worker runs at once. Limits per key or tenant are not here."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from isthmusd.core.errors import Unavailable
from isthmusd.pipeline.ports import ActiveCalls


class Admission:
    """A counter of running calls. Used from one event loop only."""

    def __init__(self, limit: int, active_calls: ActiveCalls) -> None:
        self._limit = limit
        self._shown = active_calls
        self._active = 0

    @contextmanager
    def admitted(self) -> Generator[None]:
        """Count a call in, and out again. Raises Unavailable above the limit."""
        if self._active >= self._limit:
            raise Unavailable("the gateway is at its limit of calls; try again in a moment", retry_after_s=1)
        self._active += 1
        self._shown.opened()
        try:
            yield
        finally:
            self._active -= 1
            self._shown.closed()
