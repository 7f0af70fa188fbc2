"""Turns of a conversation, both ways. The pieces of their content are `parts.py`, the calls in them `calls.py`."""

from __future__ import annotations

from isthmus.v1 import chat_pb2 as pb

from isthmusd.core.chat import Message
from isthmusd.dialects.isthmus.calls import decode_tool_call, write_tool_call
from isthmusd.dialects.isthmus.fields import decode_each, join, members, required
from isthmusd.dialects.isthmus.parts import decode_content, encode_content, encode_spoken


def decode_message(message: pb.Message) -> Message:
    """Read one turn. Raises BadField."""
    content, audio = decode_content(message.parts)
    return Message(
        role=required("role", message.role),
        content=content,
        name=message.name if message.HasField("name") else None,
        tool_calls=decode_each("tool_calls", message.tool_calls, decode_tool_call),
        tool_call_id=message.tool_call_id if message.HasField("tool_call_id") else None,
        audio=audio,
        extra=members("extra_json", message.extra_json),
    )


def write_message(message: Message, wire: pb.Message) -> None:
    """Fill in one turn: content first, then the refusal, then what was spoken, which stays JSON if it has an unknown
    shape. Raises ValueError."""
    wire.role = message.role
    wire.parts.extend(encode_content(message.content or ()))
    if message.refusal is not None:
        wire.parts.add(refusal=message.refusal)
    extra = message.extra
    if message.audio is not None:
        spoken = encode_spoken(message.audio)
        if spoken is None:
            extra = (*extra, ("audio", message.audio))
        else:
            wire.parts.append(spoken)
    if message.name is not None:
        wire.name = message.name
    for call in message.tool_calls:
        write_tool_call(call, wire.tool_calls)
    if message.tool_call_id is not None:
        wire.tool_call_id = message.tool_call_id
    wire.extra_json = join(extra)
