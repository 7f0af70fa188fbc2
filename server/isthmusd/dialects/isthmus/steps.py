"""Steps of a streamed answer that chat and completion share, and the encoder that both use. Chat's own steps are
`chat_stream.py`, completion's `completion.py`.

A writer appends one event of the hub to the chunk's events, or nothing if the wire says it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isthmus.v1 import chat_stream_pb2, completion_pb2, stream_pb2

from isthmusd.core.chat import Extra
from isthmusd.core.errors import Garbled, GatewayError
from isthmusd.core.events import ChoiceEnd, End, Event, RawDelta, RoleDelta, StreamStart, TextDelta, UsageReport
from isthmusd.dialects.isthmus.fields import NOT_JSON, instant, join, quote
from isthmusd.dialects.isthmus.finish import encode_finish
from isthmusd.dialects.isthmus.usage import encode_usage

Chunk = chat_stream_pb2.ChatChunk | completion_pb2.CompletionChunk
Writer = Callable[[Any, Any], None]
Writers = Mapping[type[Event], Writer]

_ASSISTANT = "assistant"
UNWRITABLE = (ValueError, *NOT_JSON)
"""What writing a provider's answer raises where it does not fit: numbers out of range, base64 or text that is none."""


def garbled() -> Garbled:
    """Give the error for an answer that cannot be written."""
    return Garbled("The provider's answer holds values that no valid answer has.")


class EventEncoder:
    """Events to one chunk per feed. Errors are the gRPC status, so there is no piece for them."""

    __slots__ = ("_chunk", "_writers")

    def __init__(self, chunk: type[Chunk], writers: Writers) -> None:
        self._chunk = chunk
        self._writers = writers

    def feed(self, events: Sequence[Event]) -> Chunk | None:
        """Write events as one chunk; None if they have no form on this wire. Raises Garbled."""
        writers = self._writers
        chunk = self._chunk()
        steps = chunk.events
        try:
            for event in events:
                writers[type(event)](steps, event)
        except UNWRITABLE:
            raise garbled() from None
        return chunk if steps else None

    def fail(self, error: GatewayError) -> None:
        """Say nothing: the status of the RPC tells."""


def add_raw(steps: Any, choice: int | None, extra: Extra) -> None:
    """Append members that no other step can express; the caller finds them where the provider had them."""
    steps.add(raw_json={"choice": choice, "json": join(extra)})


def _start(steps: Any, event: StreamStart) -> None:
    start = stream_pb2.StreamStart(
        id=event.id,
        model=event.model,
        created=instant(event.created_at),
        system_fingerprint=event.system_fingerprint,
        service_tier=event.service_tier,
        extra_json=join(event.extra),
    )
    steps.add(start=start)


def _role(steps: Any, event: RoleDelta) -> None:
    if event.role != _ASSISTANT:  # the wire takes that for granted
        add_raw(steps, event.choice, (("role", quote(event.role)),))


def _text(steps: Any, event: TextDelta) -> None:
    # Filling in place is half the cost of building the messages and handing them in.
    delta = steps.add().text_delta
    delta.choice = event.choice
    delta.text = event.text


def _raw(steps: Any, event: RawDelta) -> None:
    if event.extra:
        add_raw(steps, event.choice, event.extra)


def _choice_end(steps: Any, event: ChoiceEnd) -> None:
    end = steps.add().choice_end
    end.choice = event.choice
    end.finish_reason, end.native_finish_reason = encode_finish(event.finish_reason, event.native_finish_reason)
    end.extra_json = join(event.extra)


def _usage(steps: Any, event: UsageReport) -> None:
    steps.add(usage=encode_usage(event.usage))


def _end(steps: Any, event: End) -> None:
    """The end of the RPC says it."""


SHARED: Writers = {
    TextDelta: _text,
    StreamStart: _start,
    RoleDelta: _role,
    RawDelta: _raw,
    ChoiceEnd: _choice_end,
    UsageReport: _usage,
    End: _end,
}
