"""One message, both ways: in a request's history and in an answer's choice.

Reasoning of compatible servers lies beside the content: `reasoning_content`
(https://api-docs.deepseek.com/guides/reasoning_model) or `reasoning`
(https://openrouter.ai/docs/use-cases/reasoning-tokens). Here it becomes the first part of the content.
"""

from __future__ import annotations

from isthmusd.core.chat import Message, Part, ThinkingPart
from isthmusd.core.request import Loss
from isthmusd.dialects.openai.content import decode_content, encode_content, thinking_text
from isthmusd.dialects.openai.tools import decode_tool_calls, encode_tool_calls
from isthmusd.framing.fields import Fault, Fields, drop_none, raw_or_none

REASONING = ("reasoning_content", "reasoning")


def decode_message(fields: Fields, fault: Fault, role: str | None = None) -> Message:
    """Read a message. `role` is for answers, where servers may leave it out."""
    thinking = take_reasoning(fields)
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


def encode_message(message: Message, path: str, losses: list[Loss]) -> dict[str, object]:
    """Write a message of a request."""
    written = _members(message, path, losses)
    if message.role == "assistant" and "content" not in written:
        # OpenAI wants the key beside tool calls.
        return {"role": message.role, "content": None, **written}
    return written


def encode_answer(message: Message) -> dict[str, object]:
    """Write the message of an answer, where `content` and `refusal` are never left out."""
    written = _members(message, "", [])
    return {"role": message.role, "content": None, "refusal": None, **written}


def take_reasoning(fields: Fields) -> str | None:
    """Take the reasoning text, from whichever member holds it; some servers write both."""
    texts = [fields.text(name) for name in REASONING if fields.kind(name) == "a string"]
    return next((text for text in texts if text), None)


def _members(message: Message, path: str, losses: list[Loss]) -> dict[str, object]:
    place = f"{path}.content" if path else "content"
    members = {
        "role": message.role,
        "content": encode_content(message.content, place, losses),
        "refusal": message.refusal,
        "reasoning_content": thinking_text(message.content, place, losses),
        "name": message.name,
        "tool_calls": encode_tool_calls(message.tool_calls),
        "tool_call_id": message.tool_call_id,
        "audio": raw_or_none(message.audio),
    }
    return drop_none(members, message.extra)


def _with_thinking(text: str | None, content: tuple[Part, ...] | None) -> tuple[Part, ...] | None:
    if text is None:
        return content
    return (ThinkingPart(text=text), *(content or ()))
