"""The whole chat completion answer, both ways. The streamed one is `chat_stream.py`.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatResponse, Choice, Message, RawToolCall, ToolCall
from isthmusd.dialects.openai.errors import raise_if_error
from isthmusd.dialects.openai.message import decode_message, encode_answer
from isthmusd.dialects.openai.usage import decode_usage, encode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none, raw_or_none


def decode_chat_response(body: bytes, stamp: Stamp) -> ChatResponse:
    """Read a whole answer. Raises Garbled, or the error that came in its place.

    What a sloppy server leaves out comes from the stamp.
    """
    fields = Fields.of(body, "", answer_fault)
    raise_if_error(fields)
    choices = fields.objects("choices")
    if choices is None:
        raise fields.fault("'choices' is missing.", "choices")
    usage = fields.raw("usage")
    fields.raw("object")
    return ChatResponse(
        id=fields.text("id") or f"chatcmpl-{stamp.id}",
        model=fields.text("model") or "",
        created_at=int(fields.number("created") or stamp.created_at),
        choices=tuple(_decode_choice(choice, place, stamp) for place, choice in enumerate(choices)),
        usage=None if usage is None else decode_usage(usage),
        system_fingerprint=fields.text("system_fingerprint"),
        service_tier=fields.text("service_tier"),
        extra=fields.rest(),
    )


def encode_chat_response(response: ChatResponse) -> bytes:
    """Write a whole answer."""
    members = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created_at,
        "model": response.model,
        "choices": [_encode_choice(choice) for choice in response.choices],
        "usage": None if response.usage is None else encode_usage(response.usage),
        "service_tier": response.service_tier,
        "system_fingerprint": response.system_fingerprint,
    }
    return msgspec.json.encode(drop_none(members, response.extra))


def tool_call_id(stamp: Stamp, choice: int, index: int) -> str:
    """Make an id for a tool call that came without one: callers must be able to name it in their next turn."""
    return f"call_{stamp.id}_{choice}_{index}"


def _decode_choice(fields: Fields, place: int, stamp: Stamp) -> Choice:
    index = fields.integer("index")
    index = place if index is None else index
    message = decode_message(fields.required_object("message"), answer_fault, role="assistant")
    return Choice(
        index=index,
        message=_with_ids(message, index, stamp),
        finish_reason=fields.text("finish_reason"),
        native_finish_reason=fields.text("native_finish_reason"),
        logprobs=fields.json("logprobs"),
        extra=fields.rest(),
    )


def _with_ids(message: Message, choice: int, stamp: Stamp) -> Message:
    if not message.tool_calls:
        return message

    def named(call: ToolCall | RawToolCall, index: int) -> ToolCall | RawToolCall:
        match call:
            case ToolCall(id=""):
                return replace(call, id=tool_call_id(stamp, choice, index))
            case _:
                return call

    return replace(message, tool_calls=tuple(named(call, index) for index, call in enumerate(message.tool_calls)))


def _encode_choice(choice: Choice) -> dict[str, object]:
    members = {
        "index": choice.index,
        "message": encode_answer(choice.message),
        "native_finish_reason": choice.native_finish_reason,
    }
    nullable = {"logprobs": raw_or_none(choice.logprobs), "finish_reason": choice.finish_reason}
    return drop_none({**members}, choice.extra) | nullable
