"""What decoders of streams of server-sent events have in common: when they begin to read, and how they end. What an
event says is the business of the dialect that derives its decoder from this.

Running -> ended (the dialect saw its terminator) or failed. After either nothing is read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from isthmusd.core.errors import Garbled, UpstreamError
from isthmusd.core.events import Event
from isthmusd.framing.failures import ended_early
from isthmusd.framing.sse import SseReader


class SseDecoder(ABC):
    """StreamDecoder of `dialects/base.py`, but for `_take`."""

    def __init__(self) -> None:
        self.failure: UpstreamError | None = None
        self.ended = False
        self._reader = SseReader()

    @abstractmethod
    def _take(self, data: bytes, events: list[Event]) -> None:
        """Read the data of one event: add what it says to `events`, or set `failure` or `ended`."""

    def _finish(self, events: list[Event]) -> None:
        """Judge a body that ended without its terminator: it was cut, unless the dialect knows better."""
        del events
        self.failure = ended_early()

    @property
    def _over(self) -> bool:
        return self.ended or self.failure is not None

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes of the provider, give the events that they complete."""
        events: list[Event] = []
        if self._over:
            return events
        for event in self._reader.feed(data):
            if event.data:
                self._take(event.data, events)
                if self._over:
                    return events
        self.failure = self._reader.failure
        return events

    def close(self) -> list[Event]:
        """The body ended. An event whose empty line is missing counts if it is whole; else it was cut."""
        events: list[Event] = []
        if self._over:
            return events
        last = self._reader.close()
        if last is not None:
            self._take(last.data, events)
        if isinstance(self.failure, Garbled):
            self.failure = ended_early()
        if not self._over:
            self._finish(events)
        return events
