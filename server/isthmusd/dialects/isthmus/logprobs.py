"""Probabilities of tokens: OpenAI's two JSON shapes, as the hub carries them, to messages. It computes none.

A shape that has no message gives None, and the caller keeps the JSON as it is among the extras.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from isthmus.v1 import completion_pb2, usage_pb2

from isthmusd.core.chat import JsonText
from isthmusd.dialects.isthmus.fields import NOT_JSON, join, split

_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class _Top(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[_Byte] | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float | None = None
    bytes: list[_Byte] | None = None
    top_logprobs: list[_Top] | None = None


class _Chat(msgspec.Struct):
    content: list[_Token] | None = None
    refusal: list[_Token] | None = None


class _Completion(msgspec.Struct, forbid_unknown_fields=True):
    """OpenAI's legacy shape: parallel arrays."""

    tokens: list[str]
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]] | None = None


class _ChatOnly(msgspec.Struct, forbid_unknown_fields=True):
    """What servers that reuse their chat code answer completions with."""

    content: list[_Token]


_CHAT = msgspec.json.Decoder(_Chat)
_COMPLETION = msgspec.json.Decoder(_Completion)
_CHAT_ONLY = msgspec.json.Decoder(_ChatOnly)


def encode_logprobs(text: JsonText) -> usage_pb2.Logprobs | None:
    """Write the probabilities of a chat choice."""
    try:
        chat = _CHAT.decode(text)
    except NOT_JSON:
        return None
    return usage_pb2.Logprobs(
        content=map(_encode_token, chat.content or ()),
        refusal=map(_encode_token, chat.refusal or ()),
        extra_json=join(tuple(member for member in split(text) if member[0] not in _Chat.__struct_fields__)),
    )


def _encode_token(token: _Token) -> usage_pb2.TokenLogprob:
    return usage_pb2.TokenLogprob(
        token=token.token,
        logprob=token.logprob,
        token_bytes=_bytes(token.bytes),
        top=[
            usage_pb2.TopLogprob(token=top.token, logprob=top.logprob, token_bytes=_bytes(top.bytes))
            for top in token.top_logprobs or ()
        ],
    )


def _bytes(values: list[int] | None) -> bytes | None:
    return None if values is None else bytes(values)


def encode_completion_logprobs(text: JsonText) -> completion_pb2.CompletionLogprobs | None:
    """Write the probabilities of a completion choice."""
    try:
        tokens = _zip(_COMPLETION.decode(text))
    except NOT_JSON:
        tokens = _encode_chat_only(text)
    return None if tokens is None else completion_pb2.CompletionLogprobs(tokens=tokens)


def _encode_chat_only(text: JsonText) -> list[usage_pb2.TokenLogprob] | None:
    try:
        return [_encode_token(token) for token in _CHAT_ONLY.decode(text).content]
    except NOT_JSON:
        return None


def _zip(legacy: _Completion) -> list[usage_pb2.TokenLogprob] | None:
    """Turn the parallel arrays by a quarter; None if they are not parallel."""
    count = len(legacy.tokens)
    absent = [None] * count
    columns = (legacy.token_logprobs or absent, legacy.top_logprobs or absent, legacy.text_offset or absent)
    if any(len(column) != count for column in columns):
        return None
    return [
        usage_pb2.TokenLogprob(token=token, logprob=logprob, top=_encode_top(top), text_offset=offset)
        for token, logprob, top, offset in zip(legacy.tokens, *columns, strict=True)
    ]


def _encode_top(top: dict[str, float] | None) -> list[usage_pb2.TopLogprob]:
    ranked = sorted((top or {}).items(), key=lambda pair: -pair[1])
    return [usage_pb2.TopLogprob(token=token, logprob=logprob) for token, logprob in ranked]
