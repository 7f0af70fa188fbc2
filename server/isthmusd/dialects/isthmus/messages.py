"""Turns of a conversation and the tool calls in them, both ways. The pieces of their content are `parts.py`."""

from __future__ import annotations

from typing import Any

import msgspec
from isthmus.v1 import chat_pb2 as pb

from isthmusd.core.chat import Extra, JsonText, Message, RawToolCall, ToolCall
from isthmusd.dialects.isthmus.fields import decode_each, join, members, merge, quote, required, split
from isthmusd.dialects.isthmus.parts import decode_content, encode_part, encode_spoken

FUNCTION = "function"
CUSTOM = "custom"


def decode_message(message: pb.Message) -> Message:
    """Read one turn. Raises BadField."""
    content, audio = decode_content(message.parts)
    return Message(
        role=required("role", message.role),
        content=content,
        name=message.name if message.HasField("name") else None,
        tool_calls=decode_each("tool_calls", message.tool_calls, _decode_tool_call),
        tool_call_id=message.tool_call_id if message.HasField("tool_call_id") else None,
        audio=audio,
        extra=members("extra_json", message.extra_json),
    )


def _decode_tool_call(call: pb.ToolCall) -> ToolCall | RawToolCall:
    extra = members("extra_json", call.extra_json)
    type_ = call.type or FUNCTION
    if type_ == FUNCTION:
        return ToolCall(id=call.id, name=call.name, arguments=call.arguments, extra=extra)
    own: Extra = (("id", quote(call.id)), ("type", quote(type_)))
    if type_ == CUSTOM:
        custom = (("name", quote(call.name)), ("input", quote(call.arguments)))
        own = (*own, (CUSTOM, JsonText(join(custom))))
    else:
        named = (("name", call.name), ("arguments", call.arguments))
        own = (*own, *((name, quote(text)) for name, text in named if text))
    return RawToolCall(json=JsonText(join(merge(own, extra))))


def write_message(message: Message, wire: pb.Message) -> None:
    """Fill in one turn: content first, then the refusal, then what was spoken. Raises ValueError."""
    wire.role = message.role
    wire.parts.extend(map(encode_part, message.content or ()))
    if message.refusal is not None:
        wire.parts.add(refusal=message.refusal)
    if message.audio is not None:
        wire.parts.append(encode_spoken(message.audio))
    if message.name is not None:
        wire.name = message.name
    for call in message.tool_calls:
        _write_tool_call(call, wire.tool_calls)
    if message.tool_call_id is not None:
        wire.tool_call_id = message.tool_call_id
    wire.extra_json = join(message.extra)


def _write_tool_call(call: ToolCall | RawToolCall, calls: Any) -> None:
    match call:
        case ToolCall():
            calls.add(id=call.id, name=call.name, arguments=call.arguments, extra_json=join(call.extra))
        case RawToolCall():
            _write_raw_call(call.json, calls)


class _Custom(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    input: str


class _RawCall(msgspec.Struct):
    type: str
    id: str = ""
    custom: _Custom | None = None
    name: str | None = None
    arguments: str | None = None


_RAW_CALL = msgspec.json.Decoder(_RawCall)


def _write_raw_call(text: JsonText, calls: Any) -> None:
    """Write a call that is not a function's: what has a field goes there, the rest stays as it was."""
    raw = _RAW_CALL.decode(text)
    if raw.custom is None:
        name, arguments, taken = raw.name, raw.arguments, ("id", "type", "name", "arguments")
    else:
        name, arguments, taken = raw.custom.name, raw.custom.input, ("id", "type", CUSTOM)
    rest = tuple(member for member in split(text) if member[0] not in taken)
    calls.add(id=raw.id, type=raw.type, name=name, arguments=arguments, extra_json=join(rest))
