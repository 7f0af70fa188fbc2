"""The events of a streamed chat as they are written, decoded by type in one step. What they mean is `chat_stream.py`.

Source: https://docs.cohere.com/reference/chat-stream. Everything is optional: what is missing says nothing.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from isthmusd.dialects.cohere.logprobs import Item

T = TypeVar("T")

NULL = msgspec.Raw(b"null")
"""For opaque values that are absent: msgspec knows no choice between those and nothing."""


class Content(msgspec.Struct):
    """A block when it begins, or a piece of one."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class Function(msgspec.Struct):
    """The function of a call, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCallPiece(msgspec.Struct):
    """A call when it begins, or a piece of one."""

    id: str | None = None
    function: Function | None = None


class _ContentMessage(msgspec.Struct):
    content: Content | None = None


class _BlockMessage(msgspec.Struct):
    content: msgspec.Raw = NULL


class _PlanMessage(msgspec.Struct):
    tool_plan: str | None = None


class _CallMessage(msgspec.Struct):
    tool_calls: ToolCallPiece | None = None


class _CitationMessage(msgspec.Struct):
    citations: msgspec.Raw = NULL


class _Delta(msgspec.Struct, Generic[T]):
    message: T | None = None


class MessageStart(msgspec.Struct, tag="message-start"):
    id: str | None = None


class ContentStart(msgspec.Struct, tag="content-start"):
    """The block is raw, since those of unknown kinds are kept as they came."""

    index: int | None = None
    delta: _Delta[_BlockMessage] | None = None

    @property
    def block(self) -> msgspec.Raw:
        message = _message(self.delta)
        return NULL if message is None else message.content


class ContentDelta(msgspec.Struct, tag="content-delta"):
    """A piece of a block."""

    delta: _Delta[_ContentMessage] | None = None
    logprobs: Item | None = None

    @property
    def content(self) -> Content | None:
        message = _message(self.delta)
        return None if message is None else message.content


class ToolPlanDelta(msgspec.Struct, tag="tool-plan-delta"):
    """A piece of what the model plans."""

    delta: _Delta[_PlanMessage] | None = None

    @property
    def plan(self) -> str | None:
        message = _message(self.delta)
        return None if message is None else message.tool_plan


class ToolCallStart(msgspec.Struct, tag="tool-call-start"):
    """A tool call begins."""

    index: int | None = None
    delta: _Delta[_CallMessage] | None = None

    @property
    def call(self) -> ToolCallPiece | None:
        message = _message(self.delta)
        return None if message is None else message.tool_calls


class ToolCallDelta(msgspec.Struct, tag="tool-call-delta"):
    """A piece of a tool call's arguments."""

    index: int | None = None
    delta: _Delta[_CallMessage] | None = None

    @property
    def call(self) -> ToolCallPiece | None:
        message = _message(self.delta)
        return None if message is None else message.tool_calls


class CitationStart(msgspec.Struct, tag="citation-start"):
    """A citation, whole."""

    delta: _Delta[_CitationMessage] | None = None

    @property
    def citations(self) -> msgspec.Raw:
        message = _message(self.delta)
        return NULL if message is None else message.citations


class Ending(msgspec.Struct):
    """How a message ended."""

    error: str | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = NULL


class MessageEnd(msgspec.Struct, tag="message-end"):
    delta: Ending | None = None


Chunk = (
    ContentDelta
    | ToolCallDelta
    | ToolPlanDelta
    | ContentStart
    | ToolCallStart
    | CitationStart
    | MessageStart
    | MessageEnd
)
"""The ends of blocks, calls and citations say nothing new, nor does what comes in future."""


class Label(msgspec.Struct):
    """What tells events apart, and an error that comes in place of one."""

    type: str | None = None
    message: str | None = None


CHUNK: msgspec.json.Decoder[Chunk] = msgspec.json.Decoder(Chunk)
LABEL = msgspec.json.Decoder(Label)
CONTENT = msgspec.json.Decoder(Content | None)
TYPES = frozenset(
    str(chunk.__struct_config__.tag)
    for chunk in (
        ContentDelta,
        ToolCallDelta,
        ToolPlanDelta,
        ContentStart,
        ToolCallStart,
        CitationStart,
        MessageStart,
        MessageEnd,
    )
)


def _message(delta: _Delta[T] | None) -> T | None:
    return None if delta is None else delta.message
