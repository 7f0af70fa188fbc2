"""The whole chat answer. The streamed one is `chat_stream.py`.

Source: https://docs.cohere.com/reference/chat

Cohere names neither the model nor the time. Blocks of kinds that the hub does not know are kept as they came.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatResponse, Choice, JsonText, Message, Part, RawPart, TextPart, ThinkingPart, ToolCall
from isthmusd.dialects.cohere.answer import Answer, arguments_of, call_id
from isthmusd.dialects.cohere.errors import unfinished
from isthmusd.dialects.cohere.finish import finish
from isthmusd.dialects.cohere.logprobs import Item, openai_logprobs
from isthmusd.dialects.cohere.messages import PLAN
from isthmusd.dialects.cohere.usage import decode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, json_text

_LOGPROBS = msgspec.json.Decoder(list[Item])


def decode_chat_response(body: bytes, stamp: Stamp) -> ChatResponse:
    """Read a whole answer. Raises Garbled, or the failure that its finish reason stands for."""
    fields = Fields.of(body, "", answer_fault)
    word = fields.text("finish_reason")
    # An error may come in place of an answer, as its one text.
    said = fields.text("message") if fields.kind("message") == "a string" else fields.text("error")
    failure = unfinished(word, said)
    if failure is not None:
        raise failure
    message = _decode_message(fields.required_object("message"), stamp)
    reason, native = finish(word, has_calls=bool(message.tool_calls))
    choice = Choice(
        index=0,
        message=message,
        finish_reason=reason,
        native_finish_reason=native,
        logprobs=_logprobs(fields),
    )
    return ChatResponse(
        id=fields.text("id") or f"chatcmpl-{stamp.id}",
        model="",
        created_at=stamp.created_at,
        choices=(choice,),
        usage=decode_usage(fields.raw("usage")),
        extra=fields.rest(),
    )


def _decode_message(fields: Fields, stamp: Stamp) -> Message:
    plan = fields.text(PLAN) or ""
    answer = Answer(plan=[plan], citations=fields.items("citations") or [])
    calls = fields.objects("tool_calls") or []
    parts = _decode_content(fields, answer)
    if plan:
        # Planned after thinking and before speaking, as in a stream.
        place = next((place for place, part in enumerate(parts) if not _is_thinking(part)), len(parts))
        parts.insert(place, ThinkingPart(text=plan))
    return Message(
        role=fields.text("role") or "assistant",
        content=_merged(parts) or None,
        tool_calls=tuple(_decode_call(call, index, stamp) for index, call in enumerate(calls)),
        extra=(*answer.extra(), *fields.rest()),
    )


def _decode_content(fields: Fields, answer: Answer) -> list[Part]:
    if fields.kind("content") == "a string":
        text = fields.required_text("content")
        return [TextPart(text=text)] if text else []
    parts: list[Part] = []
    for index, raw in enumerate(fields.items("content") or []):
        answer.begin_block(index)
        parts += _decode_block(raw, f"{fields.at('content')}[{index}]", answer)
    return parts


def _decode_block(raw: msgspec.Raw, path: str, answer: Answer) -> list[Part]:
    block = Fields.of(raw, path, answer_fault)
    match block.text("type"):
        case "text":
            text = block.text("text") or ""
            answer.text_length += len(text)
            return [TextPart(text=text)] if text else []
        case "thinking":
            thinking = block.text("thinking") or ""
            return [ThinkingPart(text=thinking)] if thinking else []
        case _:
            return [RawPart(json=json_text(raw))]


def _is_thinking(part: Part) -> bool:
    match part:
        case ThinkingPart():
            return True
        case _:
            return False


def _merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    merged: list[Part] = []
    for part in parts:
        match merged[-1:], part:
            case [TextPart(text=before)], TextPart(text=text):
                merged[-1] = TextPart(text=before + text)
            case [ThinkingPart(text=before)], ThinkingPart(text=text):
                merged[-1] = ThinkingPart(text=before + text)
            case _:
                merged.append(part)
    return tuple(merged)


def _decode_call(fields: Fields, index: int, stamp: Stamp) -> ToolCall:
    function = fields.required_object("function")
    fields.text("type")
    return ToolCall(
        id=fields.text("id") or call_id(stamp.id, index),
        name=function.required_text("name"),
        arguments=arguments_of(function.text("arguments") or ""),
        extra=fields.rest(),
    )


def _logprobs(fields: Fields) -> JsonText | None:
    raw = fields.raw("logprobs")
    if raw is None:
        return None
    try:
        return openai_logprobs(_LOGPROBS.decode(raw))
    except msgspec.ValidationError as error:
        raise fields.fault("'logprobs' must be an array of pieces of text with numbers.", "logprobs") from error
