"""The streamed generateContent answer: server-sent events, each with a chunk for `answer.py`.

There is no terminator: the end of the body ends the answer, once every choice has a finish reason or the prompt was
blocked. Errors come as an event, or as bare JSON between events (https://github.com/googleapis/js-genai/issues/1007).
"""

from __future__ import annotations

from isthmusd.core.call import Stamp
from isthmusd.core.errors import Garbled, UpstreamError
from isthmusd.core.events import Event
from isthmusd.dialects.gemini.answer import Answer
from isthmusd.dialects.gemini.errors import decode_stream_error
from isthmusd.framing.failures import ended_early
from isthmusd.framing.sse import SseEvent, SseReader

MAX_EVENT_BYTES = 64 << 20
"""A picture comes in one event."""


class ChatDecoder:
    """StreamDecoder of one streamed answer."""

    def __init__(self, stamp: Stamp) -> None:
        self.failure: UpstreamError | None = None
        self.ended = False
        self._answer = Answer(stamp)
        self._reader = SseReader(MAX_EVENT_BYTES)

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes of the provider, give the events that they complete."""
        events: list[Event] = []
        if self.failure is None and not self.ended:
            self._take_all(self._reader.feed(data), events)
            self.failure = self.failure or self._reader.failure
        return events

    def close(self) -> list[Event]:
        """Judge the body that ended."""
        events: list[Event] = []
        if self.failure is not None or self.ended:
            return events
        # Ends an event that lacks its empty line. It counts if it is whole; else it was cut.
        self._take_all(self._reader.feed(b"\n\n"), events)
        self._judge(events)
        return events

    def _judge(self, events: list[Event]) -> None:
        match self.failure:
            case None if self._answer.finished:
                events += self._answer.end()
                self.ended = True
            case None | Garbled():
                self.failure = ended_early()
            case _:
                pass

    def _take_all(self, blocks: list[SseEvent], events: list[Event]) -> None:
        for block in blocks:
            try:
                self._take(block, events)
            except UpstreamError as error:
                self.failure = error
                return

    def _take(self, block: SseEvent, events: list[Event]) -> None:
        if block.data:
            events += self._answer.take(block.data)
        elif block.raw.lstrip()[:1] in (b"{", b"["):
            raise decode_stream_error(block.raw)
