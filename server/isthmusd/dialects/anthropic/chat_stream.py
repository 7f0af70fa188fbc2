"""A stream of Anthropic's events to ours: bytes, event names and endings. What blocks mean is `answer.py`.

States: waiting for `message_start` -> started -> ended (`message_stop`) or failed. After either nothing is read.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.errors import Garbled
from isthmusd.core.events import Event
from isthmusd.dialects.anthropic.answer import AnswerReader
from isthmusd.dialects.anthropic.errors import decode_stream_error
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, json_text
from isthmusd.framing.sse_decoder import SseDecoder

_NO_RAW = msgspec.Raw(b"")
_EMPTY = msgspec.Raw(b"{}")
_NOTHING = (b"", b"null")


class _StreamEvent(msgspec.Struct):
    """Members of any event; each kind has a few of them."""

    type: str = ""
    index: int = 0
    delta: msgspec.Raw = _NO_RAW
    content_block: msgspec.Raw = _NO_RAW
    message: msgspec.Raw = _NO_RAW
    usage: msgspec.Raw = _NO_RAW
    context_management: msgspec.Raw = _NO_RAW
    """What context editing removed; a whole answer has it beside its other members."""
    error: msgspec.Raw = _NO_RAW


_EVENT = msgspec.json.Decoder(_StreamEvent)


class EventDecoder(SseDecoder):
    """StreamDecoder for Anthropic's named events. The name stands in the data as well, and only that one counts."""

    def __init__(self, stamp: Stamp) -> None:
        super().__init__()
        self._answer = AnswerReader(stamp)
        self._started = False

    def _take(self, data: bytes, events: list[Event]) -> None:
        try:
            event = _EVENT.decode(data)
            if event.type == "error" or (not event.type and bytes(event.error)):
                self.failure = decode_stream_error(data)
            else:
                events += self._read(event)
        except Garbled as error:
            self.failure = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.failure = answer_fault("an event of the stream cannot be read.", "")

    def _read(self, event: _StreamEvent) -> list[Event]:
        match event.type:
            case "content_block_delta":
                return self._answer.extend_block(event.index, event.delta)
            case "content_block_start":
                return self._start(_EMPTY) + self._answer.open_block(event.index, event.content_block)
            case "content_block_stop":
                return self._answer.close_block(event.index)
            case "message_start":
                return self._start(event.message)
            case "message_delta":
                return self._start(_EMPTY) + self._stop(event)
            case "message_stop":
                last = self._start(_EMPTY) + self._answer.end()
                self.ended = True
                return last
            case _:
                # `ping`, and kinds to come: https://platform.claude.com/docs/en/api/versioning
                return []

    def _start(self, message: msgspec.Raw) -> list[Event]:
        if self._started:
            return []
        self._started = True
        fields = Fields.of(message, "message", answer_fault)
        fields.raw("content")
        return self._answer.start(fields)

    def _stop(self, event: _StreamEvent) -> list[Event]:
        if bytes(event.delta) not in _NOTHING:
            self._answer.stop(Fields.of(event.delta, "delta", answer_fault))
        if bytes(event.usage) not in _NOTHING:
            self._answer.count(Fields.of(event.usage, "usage", answer_fault))
        if bytes(event.context_management) not in _NOTHING:
            self._answer.keep("context_management", json_text(event.context_management))
        return []
