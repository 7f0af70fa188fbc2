"""One message, both ways: in a request's history and in an answer's choice. What a model thought becomes the first
parts of the content, wherever it lay: `thinking.py`.
"""

from __future__ import annotations

from isthmusd.core.chat import Message, Part, ThinkingPart
from isthmusd.core.profile import EarlierThinking, Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.openai.content import decode_content, encode_content, encode_said
from isthmusd.dialects.openai.thinking import earlier_thinking, shown_thinking, take_thinking
from isthmusd.dialects.openai.tools import decode_tool_calls, encode_tool_calls
from isthmusd.framing.fields import Fault, Fields, drop_none, raw_or_none


def decode_message(fields: Fields, fault: Fault, role: str | None = None) -> Message:
    """Read a message. `role` is for answers, where servers may leave it out."""
    thinking = take_thinking(fields, fault)
    content = decode_content(fields.raw("content"), fields.at("content"), fault)
    return Message(
        role=fields.text("role") or role if role is not None else fields.required_text("role"),
        content=_with_thinking(thinking, content),
        name=fields.text("name"),
        tool_calls=decode_tool_calls(fields, fault),
        tool_call_id=fields.text("tool_call_id"),
        refusal=fields.text("refusal"),
        audio=fields.json("audio"),
        extra=fields.rest(),
    )


def encode_message(message: Message, path: str, profile: Profile, losses: list[Loss]) -> dict[str, object]:
    """Write a message of a request."""
    form, place = profile.earlier_thinking, f"{path}.content"
    content = encode_content(message.content, place, losses, with_thinking=form is EarlierThinking.PARTS)
    written = _members(message, content, earlier_thinking(message.content, place, form, losses))
    if message.role == "developer" and not profile.accepts_developer_role:
        written["role"] = "system"
    if message.name is not None and not profile.accepts_message_names:
        del written["name"]
        losses.append(Loss(field=f"{path}.name", reason="the provider takes no names of messages"))
    if message.role == "assistant" and "content" not in written:
        # OpenAI wants the key beside tool calls.
        return {"role": message.role, "content": None, **written}
    return written


def encode_answer(message: Message) -> dict[str, object]:
    """Write the message of an answer, where `content` and `refusal` are never left out."""
    written = _members(message, encode_said(message.content), shown_thinking(message.content or ()))
    return {"role": message.role, "content": None, "refusal": None, **written}


def _members(message: Message, content: object, thinking: dict[str, object]) -> dict[str, object]:
    members = {
        "role": message.role,
        "content": content,
        "refusal": message.refusal,
        **thinking,
        "name": message.name,
        "tool_calls": encode_tool_calls(message.tool_calls),
        "tool_call_id": message.tool_call_id,
        "audio": raw_or_none(message.audio),
    }
    return drop_none(members, message.extra)


def _with_thinking(beside: tuple[ThinkingPart, ...], content: tuple[Part, ...] | None) -> tuple[Part, ...] | None:
    """Put the thinking first; where the content holds some, what lies beside it only repeats that."""
    if not beside or any(isinstance(part, ThinkingPart) for part in content or ()):
        return content
    return (*beside, *(content or ()))
