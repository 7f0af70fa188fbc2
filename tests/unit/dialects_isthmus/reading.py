"""Our answers as the hub's: the way back of what the dialect does, for tests of both together."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2, stream_pb2, usage_pb2
from isthmusd.core.chat import ChatResponse, Choice, Extra, JsonText
from isthmusd.core.completion import CompletionChoice, CompletionResponse
from isthmusd.core.embedding import Embedding, EmbeddingResponse
from isthmusd.core.usage import Usage
from isthmusd.dialects.isthmus.fields import join, split
from isthmusd.dialects.isthmus.messages import decode_message

REASONS = {
    stream_pb2.FINISH_REASON_STOP: "stop",
    stream_pb2.FINISH_REASON_LENGTH: "length",
    stream_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
    stream_pb2.FINISH_REASON_CONTENT_FILTER: "content_filter",
    stream_pb2.FINISH_REASON_ERROR: "error",
    stream_pb2.FINISH_REASON_CANCELLED: "cancelled",
}
INPUT = {"cached_tokens": "cached_tokens", "cache_write_tokens": "cache_write_tokens"}
INPUT |= {"audio_tokens": "prompt_audio_tokens"}
OUTPUT = {name: name for name in ("reasoning_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")}
OUTPUT |= {"audio_tokens": "completion_audio_tokens"}
TOTALS = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}


def read_chat(wire: chat_pb2.ChatResponse) -> ChatResponse:
    return ChatResponse(
        **_head(wire), choices=tuple(map(_chat_choice, wire.choices)), service_tier=_given(wire, "service_tier")
    )


def read_completion(wire: completion_pb2.CompletionResponse) -> CompletionResponse:
    choices = tuple(
        CompletionChoice(
            index=choice.index,
            text=choice.text,
            finish_reason=_reason(choice)[0],
            logprobs=_legacy_logprobs(choice.logprobs) if choice.HasField("logprobs") else None,
            extra=members(choice.extra_json),
        )
        for choice in wire.choices
    )
    return CompletionResponse(**_head(wire), choices=choices)


def read_embedding(wire: embedding_pb2.EmbeddingResponse) -> EmbeddingResponse:
    return EmbeddingResponse(
        model=wire.model,
        embeddings=tuple(map(_vector, wire.embeddings)),
        usage=_usage(wire.usage) if wire.HasField("usage") else None,
        extra=members(wire.extra_json),
    )


def members(text: str) -> Extra:
    """Read members; none of empty text."""
    return split(text) if text else ()


def _given(wire: Any, name: str) -> Any:
    return getattr(wire, name) if wire.HasField(name) else None


def _head(wire: Any) -> dict[str, Any]:
    return {
        "id": wire.id,
        "model": wire.model,
        "created_at": wire.created.seconds,
        "system_fingerprint": _given(wire, "system_fingerprint"),
        "usage": _usage(wire.usage) if wire.HasField("usage") else None,
        "extra": members(wire.extra_json),
    }


def _chat_choice(wire: chat_pb2.ChatChoice) -> Choice:
    reason, native = _reason(wire)
    return Choice(
        index=wire.index,
        message=decode_message(wire.message),
        finish_reason=reason,
        native_finish_reason=native,
        logprobs=_logprobs(wire.logprobs) if wire.HasField("logprobs") else None,
        extra=members(wire.extra_json),
    )


def _reason(wire: Any) -> tuple[str | None, str | None]:
    if wire.finish_reason == stream_pb2.FINISH_REASON_UNSPECIFIED:
        return None, wire.native_finish_reason or None
    if wire.finish_reason == stream_pb2.FINISH_REASON_OTHER:
        return wire.native_finish_reason, None
    reason, native = REASONS[wire.finish_reason], wire.native_finish_reason
    if native == "function_call":
        return native, None
    return reason, None if native == reason else native


def _usage(wire: usage_pb2.Usage) -> Usage:
    counts = {ours: getattr(wire, name) for name, ours in TOTALS.items() if wire.HasField(name)}
    extra = list(members(wire.extra_json))
    for details, names, member in (
        (wire.input_details, INPUT, "prompt_tokens_details"),
        (wire.output_details, OUTPUT, "completion_tokens_details"),
    ):
        set_ = {field.name: value for field, value in details.ListFields()}
        rest = members(set_.pop("extra_json", ""))
        counts |= {names[name]: value for name, value in set_.items() if name in names}
        own = tuple((name, JsonText(str(value))) for name, value in set_.items() if name not in names)
        if own or rest:
            extra.append((member, JsonText(join((*own, *rest)))))
    return Usage(**counts, estimated=wire.estimated, extra=tuple(extra))


def _token(wire: Any, *, top: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"token": wire.token, "logprob": wire.logprob if top else _given(wire, "logprob")}
    if wire.HasField("token_bytes"):
        told["bytes"] = list(wire.token_bytes)
    told |= msgspec.json.decode(wire.extra_json or "{}")
    if not top and wire.top:
        told["top_logprobs"] = [_token(one, top=True) for one in wire.top]
    return told


def _logprobs(wire: usage_pb2.Logprobs) -> JsonText:
    lists = {"content": wire.content, "refusal": wire.refusal}
    told = {name: [_token(one, top=False) for one in tokens] for name, tokens in lists.items() if tokens}
    return JsonText(msgspec.json.encode(told | msgspec.json.decode(wire.extra_json or "{}")).decode())


def _legacy_logprobs(wire: completion_pb2.CompletionLogprobs) -> JsonText:
    told: dict[str, Any] = {
        "tokens": [one.token for one in wire.tokens],
        "token_logprobs": [_given(one, "logprob") for one in wire.tokens],
    }
    if any(one.top for one in wire.tokens):
        told["top_logprobs"] = [{top.token: top.logprob for top in one.top} for one in wire.tokens]
    if any(one.HasField("text_offset") for one in wire.tokens):
        told["text_offset"] = [one.text_offset for one in wire.tokens]
    return JsonText(msgspec.json.encode(told | msgspec.json.decode(wire.extra_json or "{}")).decode())


def _vector(wire: embedding_pb2.Embedding) -> Embedding:
    extra = members(wire.extra_json)
    match wire.WhichOneof("vector"):
        case "floats":
            return Embedding(index=wire.index, values=tuple(wire.floats.values), extra=extra)
        case "float32_le":
            return Embedding(index=wire.index, base64=b64encode(wire.float32_le).decode(), extra=extra)
        case _:
            return Embedding(index=wire.index, extra=(("embedding", JsonText(wire.raw_json)), *extra))
