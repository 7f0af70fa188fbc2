"""The blocks of an answer to events, for whole answers and streams alike: a whole answer is a stream whose blocks come
complete, so both give the same. Bytes and event names are `chat_stream.py`.

A reader serves one answer: `start` once, then each block's `open_block`, `extend_block`, `close_block`, then `stop`
(perhaps several times, the last word counts) and `end` once. Blocks that OpenAI's format has no place for (server
tools and their results, compaction, what comes next) end in the message's `content_blocks`, in their order; the next
request carries them back. Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.deltas import Json, merge
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.dialects.anthropic.blocks import CONTENT_BLOCKS
from isthmusd.dialects.anthropic.citations import Citations, written
from isthmusd.dialects.anthropic.usage import decode_usage, tier_of
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, json_text

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons; a word that is not here is `stop`."""

_NO_RAW = msgspec.Raw(b"")
_NOTHING = (b"", b"null")
_DIRECT = "direct"


class _Head(msgspec.Struct):
    type: str = ""


class _TextBlock(msgspec.Struct):
    text: str = ""
    citations: list[msgspec.Raw] | None = None


class _ThinkingBlock(msgspec.Struct):
    thinking: str = ""
    signature: str | None = None


class _RedactedBlock(msgspec.Struct):
    data: str = ""


class _Caller(msgspec.Struct):
    type: str = _DIRECT


class _ToolUseBlock(msgspec.Struct):
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _NO_RAW
    caller: msgspec.Raw = _NO_RAW
    toolset_name: str | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: msgspec.Raw = _NO_RAW


_HEAD = msgspec.json.Decoder(_Head)
_TEXT = msgspec.json.Decoder(_TextBlock)
_THINKING = msgspec.json.Decoder(_ThinkingBlock)
_REDACTED = msgspec.json.Decoder(_RedactedBlock)
_TOOL_USE = msgspec.json.Decoder(_ToolUseBlock)
_DELTA = msgspec.json.Decoder(_Delta)
_CALLER = msgspec.json.Decoder(_Caller)
_MEMBERS: msgspec.json.Decoder[dict[str, Json]] = msgspec.json.Decoder(dict)


@dataclass(slots=True)
class _Text:
    start: int
    citations: list[msgspec.Raw]


@dataclass(slots=True)
class _Thinking:
    signature: str


@dataclass(slots=True)
class _ToolUse:
    index: int
    input: str
    """From the block's start: the arguments, if no piece of them follows."""


@dataclass(slots=True)
class _Opaque:
    """A block that is kept as it is."""

    members: dict[str, Json]
    input: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Done:
    """A block that said everything when it opened."""


_Open = _Text | _Thinking | _ToolUse | _Opaque | _Done


class AnswerReader:
    """Builds the events of one answer. Raises Garbled and msgspec's errors for what breaks the format."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._open: dict[int, _Open] = {}
        self._text_size = 0
        self._call_count = 0
        self._citations = Citations()
        self._blocks: list[Json] = []
        self._usage: dict[str, msgspec.Raw] = {}
        self._unknown: dict[str, JsonText] = {}
        self._stop_reason: str | None = None
        self._stop_extra: dict[str, JsonText] = {}

    def start(self, message: Fields) -> list[Event]:
        """Take the members of the message; its content has been taken."""
        name, model, role = message.text("id"), message.text("model"), message.text("role")
        message.raw("type")
        self.stop(message)
        return [
            StreamStart(
                id=name or f"chatcmpl-{self._stamp.id}",
                model=model or "",
                created_at=self._stamp.created_at,
                service_tier=tier_of(self._usage),
            ),
            RoleDelta(choice=0, role=role or "assistant"),
        ]

    def open_block(self, index: int, block: msgspec.Raw) -> list[Event]:
        """Take the start of a block, complete or to be extended."""
        match _HEAD.decode(block).type:
            case "text":
                text = _TEXT.decode(block)
                self._open[index] = _Text(self._text_size, text.citations or [])
                return self._text(text.text)
            case "thinking":
                thinking = _THINKING.decode(block)
                self._open[index] = _Thinking(thinking.signature or "")
                return [ThinkingDelta(choice=0, text=thinking.thinking)] if thinking.thinking else []
            case "redacted_thinking":
                self._open[index] = _Done()
                return [ThinkingSignature(choice=0, redacted_data=_REDACTED.decode(block).data)]
            case "tool_use":
                return self._open_tool_use(index, _TOOL_USE.decode(block))
            case _:
                self._open[index] = _Opaque(_MEMBERS.decode(block))
                return []

    def extend_block(self, index: int, raw: msgspec.Raw) -> list[Event]:
        """Take a delta of an open block. Kinds that are not known say nothing to blocks that are."""
        block = self._open.get(index)
        match block:
            case None:
                raise answer_fault(f"a delta came for block {index}, which is not open.", "")
            case _Opaque():
                _extend_opaque(block, _MEMBERS.decode(raw))
                return []
            case _Done():
                return []
            case _Text() | _Thinking() | _ToolUse():
                return self._extend(block, _DELTA.decode(raw))

    def close_block(self, index: int) -> list[Event]:
        """Take the end of a block."""
        block = self._open.pop(index, None)
        match block:
            case _Text(start=start, citations=citations):
                self._citations.add(citations, start, self._text_size)
            case _Thinking(signature=signature) if signature:
                return [ThinkingSignature(choice=0, signature=signature)]
            case _ToolUse(index=call, input=arguments) if arguments:
                return [ToolCallDelta(choice=0, index=call, arguments=arguments)]
            case _Opaque():
                self._blocks.append(_opaque(block))
            case _Thinking() | _ToolUse() | _Done() | None:
                pass
        return []

    def stop(self, fields: Fields) -> None:
        """Take why the answer stopped, from the message itself or from a `message_delta`, and what else is there."""
        usage = fields.object("usage")
        if usage is not None:
            self.count(usage)
        self._stop_reason = fields.text("stop_reason") or self._stop_reason
        for name in ("stop_sequence", "stop_details"):
            said = fields.json(name)
            if said is not None:
                self._stop_extra[name] = said
        self._unknown.update((name, text) for name, text in fields.rest() if text != "null")

    def count(self, usage: Fields) -> None:
        """Take counts: later ones replace earlier ones, since all are running totals."""
        for name in usage.names():
            raw = usage.raw(name)
            if raw is not None:
                self._usage[name] = raw

    def keep(self, name: str, text: JsonText) -> None:
        """Take a member of the message that has no place of its own."""
        self._unknown[name] = text

    def end(self) -> list[Event]:
        """Give what belongs at the end of the answer. A block that was never closed counts as far as it came."""
        events: list[Event] = []
        for index in tuple(self._open):
            events += self.close_block(index)
        events += self._refusal()
        blocks: Extra = ((CONTENT_BLOCKS, written(self._blocks)),) if self._blocks else ()
        extra = (*self._citations.extra(), *blocks)
        if extra:
            events.append(RawDelta(choice=0, extra=extra))
        if self._unknown:
            events.append(RawDelta(choice=None, extra=tuple(self._unknown.items())))
        native = self._stop_reason
        events.append(
            ChoiceEnd(
                choice=0,
                finish_reason=FINISH_REASONS.get(native or "", "stop"),
                native_finish_reason=native,
                extra=tuple(self._stop_extra.items()),
            )
        )
        usage = decode_usage(self._usage)
        if usage is not None:
            events.append(UsageReport(usage=usage))
        return [*events, End()]

    def _text(self, text: str) -> list[Event]:
        self._text_size += len(text)
        return [TextDelta(choice=0, text=text)] if text else []

    def _open_tool_use(self, index: int, block: _ToolUseBlock) -> list[Event]:
        call = self._call_count
        self._call_count += 1
        self._open[index] = _ToolUse(call, "{}" if bytes(block.input) in _NOTHING else json_text(block.input))
        extra: list[tuple[str, JsonText]] = []
        # `direct` is what every ordinary call is; a call made by code that the model ran must go back with its caller.
        if bytes(block.caller) not in _NOTHING and _CALLER.decode(block.caller).type != _DIRECT:
            extra.append(("caller", json_text(block.caller)))
        if block.toolset_name is not None:
            extra.append(("toolset_name", written(block.toolset_name)))
        call_id = block.id or f"call_{self._stamp.id}_0_{call}"
        return [ToolCallStart(choice=0, index=call, id=call_id, name=block.name, extra=tuple(extra))]

    def _extend(self, block: _Text | _Thinking | _ToolUse, delta: _Delta) -> list[Event]:
        match block, delta:
            case _Text(), _Delta(type="text_delta", text=str(text)):
                return self._text(text)
            case _Text(), _Delta(type="citations_delta", citation=citation) if bytes(citation):
                block.citations.append(citation)
            case _Thinking(), _Delta(type="thinking_delta", thinking=str(text)) if text:
                return [ThinkingDelta(choice=0, text=text)]
            case _Thinking(), _Delta(type="signature_delta", signature=str(signature)):
                block.signature += signature
            case _ToolUse(), _Delta(type="input_json_delta", partial_json=str(piece)) if piece:
                block.input = ""
                return [ToolCallDelta(choice=0, index=block.index, arguments=piece)]
            case _:
                pass
        return []

    def _refusal(self) -> list[Event]:
        if self._stop_reason != "refusal":
            return []
        details = Fields.of(self._stop_extra.get("stop_details", "{}").encode(), "stop_details", answer_fault)
        category = details.text("category")
        default = f"The provider's safety system stopped this answer{f' ({category})' if category else ''}."
        return [RefusalDelta(choice=0, text=details.text("explanation") or default)]


def _extend_opaque(block: _Opaque, delta: dict[str, Json]) -> None:
    delta.pop("type", None)
    match delta.pop("partial_json", None):
        case str(piece):
            block.input.append(piece)
        case _:
            pass
    for name, value in delta.items():
        block.members[name] = merge(name, block.members.get(name), value, {})


def _opaque(block: _Opaque) -> Json:
    arguments = "".join(block.input)
    if arguments:
        try:
            block.members["input"] = msgspec.json.decode(arguments)
        except msgspec.DecodeError:
            block.members["input"] = arguments
    return dict(block.members)
