"""The chunks that nearly all of a chat's stream are: a piece of text, of thinking, or of a call's arguments, and
nothing that the hub would have to keep. They are read in one go; whatever has another member or type is no plain chunk,
and `chunk_decoder.py` reads it member by member, to the same events.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class PlainFunction(msgspec.Struct, forbid_unknown_fields=True):
    """Only the next piece of the arguments."""

    arguments: str


class PlainCall(msgspec.Struct, forbid_unknown_fields=True):
    """The next piece of an open call."""

    index: int
    function: PlainFunction
    id: None = None
    type: Literal["function"] | None = None


class PlainDelta(msgspec.Struct, forbid_unknown_fields=True):
    """What was added to a message."""

    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[PlainCall] | None = None
    refusal: None = None
    reasoning: None = None
    function_call: None = None
    audio: None = None


class PlainChoice(msgspec.Struct, forbid_unknown_fields=True):
    """One choice that goes on."""

    delta: PlainDelta
    index: int
    finish_reason: None = None
    native_finish_reason: None = None
    logprobs: None = None


class PlainChunk(msgspec.Struct, forbid_unknown_fields=True):
    """Of the head nothing is read: it repeats what the first chunk has said."""

    choices: list[PlainChoice]
    object: Literal["chat.completion.chunk"]
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    usage: None = None
    obfuscation: str | None = None


_DECODER = msgspec.json.Decoder(PlainChunk)
_OTHER = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def plain_choices(data: bytes) -> list[PlainChoice] | None:
    """Read a chunk; None if it is no plain one."""
    try:
        return _DECODER.decode(data).choices
    except _OTHER:
        return None
