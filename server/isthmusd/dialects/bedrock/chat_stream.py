"""ConverseStream's events to the hub's. Framing is `framing/eventstream.py`, what whole answers share `answer.py`.

States: waiting for `messageStart` -> blocks -> `messageStop` -> `metadata`, which ends the stream; the body may also
end without it. A message of type `exception` or `error` is a failure, wherever it comes.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.errors import UpstreamError
from isthmusd.core.events import End, Event
from isthmusd.core.profile import Profile
from isthmusd.dialects.bedrock.answer import SERVER_TOOL, Answer
from isthmusd.dialects.bedrock.errors import decode_exception
from isthmusd.framing.eventstream import EventMessage, EventstreamReader
from isthmusd.framing.failures import answer_fault, ended_early
from isthmusd.framing.fields import Fields

_ABSENT = msgspec.Raw(b"")


class _MessageStart(msgspec.Struct):
    role: str = "assistant"


class _UseStart(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    type: str | None = None


class _ImageStart(msgspec.Struct):
    format: str | None = None


class _Start(msgspec.Struct, rename="camel"):
    tool_use: _UseStart | None = None
    image: _ImageStart | None = None


class _BlockStart(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    start: _Start = msgspec.field(default_factory=_Start)


class _UseDelta(msgspec.Struct):
    input: str = ""


class _ReasoningDelta(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Source(msgspec.Struct):
    bytes: str | None = None


class _ImageDelta(msgspec.Struct):
    source: _Source = msgspec.field(default_factory=_Source)


class _Delta(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _UseDelta | None = None
    reasoning_content: _ReasoningDelta | None = None
    citation: msgspec.Raw = _ABSENT
    # A union of `Raw` with null would refuse everything but null.
    image: _ImageDelta | None = None


class _BlockDelta(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    delta: _Delta = msgspec.field(default_factory=_Delta)


_MESSAGE_START = msgspec.json.Decoder(_MessageStart)
_BLOCK_START = msgspec.json.Decoder(_BlockStart)
_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)


class ConverseDecoder:
    """StreamDecoder for ConverseStream."""

    def __init__(self, stamp: Stamp, profile: Profile) -> None:
        del profile  # says nothing about streams of this dialect
        self.failure: UpstreamError | None = None
        self.ended = False
        self._reader = EventstreamReader()
        self._answer = Answer(stamp)
        self._index = 0
        self._accounted = False
        self._handlers: dict[str, Callable[[bytes], None]] = {
            "messageStart": self._message_start,
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._message_stop,
            "metadata": self._metadata,
        }

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes of the provider, give the events that they complete."""
        if self._over:
            return []
        for message in self._reader.feed(data):
            self._take(message)
            if self._over:
                return self._answer.take()
        self.failure = self._reader.failure
        return self._answer.take()

    def close(self) -> list[Event]:
        """Judge a body that ended without metadata: usage may be missing, the end of the message may not."""
        if self._over:
            return []
        if self._answer.stopped:
            self._end()
        else:
            self.failure = ended_early()
        return self._answer.take()

    @property
    def _over(self) -> bool:
        return self.ended or self.failure is not None

    def _take(self, message: EventMessage) -> None:
        match message.text(":message-type"):
            case "exception":
                self.failure = decode_exception(message.text(":exception-type"), message.payload)
                return
            case "error":
                # The transport's own: it has no payload, https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html
                told = msgspec.json.encode({"message": message.text(":error-message")})
                self.failure = decode_exception(message.text(":error-code"), told)
                return
            case _:
                handler = self._handlers.get(message.text(":event-type"))
        if handler is None:
            return
        try:
            handler(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.failure = answer_fault(f"{error}.", "")
        except UpstreamError as error:
            self.failure = error

    def _message_start(self, payload: bytes) -> None:
        self._answer.start(_MESSAGE_START.decode(payload).role)

    def _block_start(self, payload: bytes) -> None:
        begun = _BLOCK_START.decode(payload)
        self._enter(begun.content_block_index)
        match begun.start:
            case _Start(tool_use=_UseStart(type=kind) as use):
                if kind != SERVER_TOOL:
                    self._answer.open_call(use.tool_use_id, use.name)
            case _Start(image=_ImageStart(format=form)):
                self._answer.draw(form, "")
            case _:
                pass

    def _block_delta(self, payload: bytes) -> None:
        answer, piece = self._answer, _BLOCK_DELTA.decode(payload)
        if piece.content_block_index != self._index or not answer.started:
            self._enter(piece.content_block_index)
        delta = piece.delta
        if delta.text is not None:
            answer.text(delta.text)
        elif delta.tool_use is not None:
            answer.argue(delta.tool_use.input)
        elif delta.reasoning_content is not None:
            thought = delta.reasoning_content
            answer.think(thought.text or "")
            answer.sign(thought.signature or "", thought.redacted_content or "")
        elif delta.citation is not _ABSENT:
            answer.cite(delta.citation)
        elif delta.image is not None:
            answer.draw(None, delta.image.source.bytes or "")

    def _block_stop(self, payload: bytes) -> None:
        del payload  # blocks follow each other: there is one to close
        self._answer.close_block()

    def _enter(self, index: int) -> None:
        self._answer.start()
        if index != self._index:
            # Bedrock stops a block before the next one; should it not, the new index says as much.
            self._index = index
            self._answer.close_block()

    def _message_stop(self, payload: bytes) -> None:
        fields = Fields.of(payload, "messageStop", answer_fault)
        self._answer.stop(fields.text("stopReason") or "end_turn")
        self._answer.account(fields)
        self._end_if_told()

    def _metadata(self, payload: bytes) -> None:
        self._answer.account(Fields.of(payload, "metadata", answer_fault))
        self._accounted = True
        self._end_if_told()

    def _end_if_told(self) -> None:
        if self._accounted and self._answer.stopped:
            self._end()

    def _end(self) -> None:
        self._answer.finish()
        self._answer.events.append(End())
        self.ended = True
