"""Watching a stream whose bytes pass untouched: whole events out, however they came in. What is read from the events
is a `Watch`: `chunk_watch.py`, `responses_watch.py`.
"""

from __future__ import annotations

from typing import Protocol

from isthmusd.core.errors import Garbled, GatewayError, UpstreamError
from isthmusd.core.usage import Usage, estimate
from isthmusd.framing.failures import ended_early
from isthmusd.framing.sse import SseEvent, SseReader


class Watch(Protocol):
    """What one kind of stream tells by its events."""

    ended: bool
    usage: Usage | None
    """The last that the provider reported."""
    completion_bytes: int
    """Size of what the model wrote so far."""

    def take(self, event: SseEvent) -> bytes:
        """Read an event, give the bytes to pass on. Raises UpstreamError; nothing is taken after that."""
        ...

    def finish(self) -> bytes | None:
        """The body ended without a terminator: give what completes it, or None if it was cut."""
        ...

    def write_error(self, error: GatewayError) -> bytes: ...


MAX_HELD = 16_384
"""Bytes of comments that wait for the first event; more of them are dropped, they say nothing."""


class Tap:
    """Relay of one stream. A failed event is never passed on: the pipeline writes its own error with `fail`.

    Comments before the first event (`: OPENROUTER PROCESSING`) wait for it: another target may still have to answer.
    """

    def __init__(self, watch: Watch, prompt_bytes: int) -> None:
        self.failure: UpstreamError | None = None
        self.ended = False
        self.usage: Usage | None = None
        self._watch = watch
        self._prompt_bytes = prompt_bytes
        self._reader = SseReader()
        self._held: bytes | None = b""
        """Comments so far; None once an event has passed."""

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes of the provider, give the whole events among them."""
        if self.ended or self.failure is not None:
            return None
        events = self._reader.feed(data)
        piece = self._take(events[0]) if len(events) == 1 else b"".join([self._take(event) for event in events])
        if self.failure is None:
            self.failure = self._reader.failure
        return piece or None

    def close(self) -> bytes | None:
        """Judge the end of the body, and settle the usage."""
        piece = None if self.ended or self.failure is not None else self._finish()
        self._settle_usage()
        return piece

    def fail(self, error: GatewayError) -> bytes:
        """Write the in-band error that ends a broken stream."""
        return self._watch.write_error(error)

    def _take(self, event: SseEvent) -> bytes:
        if self.ended or self.failure is not None:
            return b""
        if not event.data:
            return self._comment(event.raw)
        try:
            piece = self._watch.take(event)
        except UpstreamError as error:
            self.failure = error
            return b""
        if self._held is not None:
            piece, self._held = self._held + piece, None
        self.usage = self._watch.usage
        if self._watch.ended:
            self.ended = True
            self._settle_usage()
        return piece

    def _comment(self, raw: bytes) -> bytes:
        if self._held is None:
            return raw
        if len(self._held) + len(raw) <= MAX_HELD:
            self._held += raw
        return b""

    def _finish(self) -> bytes | None:
        piece = b""
        last = self._reader.close()
        if last is not None:
            # The empty line that ends the event is missing: it counts if it is whole.
            whole = SseEvent(last.data, last.raw.rstrip(b"\r\n") + b"\n\n", last.name)
            piece = self._take(whole)
            if isinstance(self.failure, Garbled):
                self.failure = ended_early()
        if self.ended or self.failure is not None:
            return piece or None
        completed = self._watch.finish()
        if completed is None:
            self.failure = ended_early()
            return piece or None
        self.ended = True
        return piece + completed

    def _settle_usage(self) -> None:
        if self.usage is None:
            self.usage = estimate(self._prompt_bytes, self._watch.completion_bytes)
