"""Bounds the calls that one worker runs at once. Limits per key or tenant are not here."""

from __future__ import annotations

from typing import Self

from isthmusd.core.errors import Unavailable
from isthmusd.pipeline.ports import ActiveCalls


class Admission:
    """A counter of running calls. Used from one event loop only."""

    def __init__(self, limit: int, active_calls: ActiveCalls) -> None:
        self._limit = limit
        self._shown = active_calls
        self._active = 0

    def admitted(self) -> Self:
        """Count a call in, and out again when the context is left. Raises Unavailable above the limit."""
        if self._active >= self._limit:
            raise Unavailable("the gateway is at its limit of calls; try again in a moment", retry_after_s=1)
        return self

    def __enter__(self) -> None:
        self._active += 1
        self._shown.opened()

    def __exit__(self, *_: object) -> None:
        self._active -= 1
        self._shown.closed()
