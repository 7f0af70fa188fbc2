"""Probabilities of tokens: OpenAI's two JSON shapes, as the hub carries them, to messages. It computes none.

A shape that has no message gives None, and the caller keeps the JSON as it is among the extras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from isthmus.v1 import completion_pb2, usage_pb2

from isthmusd.core.chat import Extra, JsonText
from isthmusd.dialects.isthmus.fields import NOT_JSON, join

_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Members = dict[str, msgspec.Raw]


class _Top(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    logprob: float
    bytes: list[_Byte] | None = None


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    logprob: float | None = None
    bytes: list[_Byte] | None = None
    top_logprobs: list[_Top] | None = None


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    """What OpenAI itself sends."""

    content: list[_Token] | None = None
    refusal: list[_Token] | None = None


class _Completion(msgspec.Struct):
    """OpenAI's legacy shape: parallel arrays."""

    tokens: list[str]
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]] | None = None


_CHAT = msgspec.json.Decoder(_Chat)
_COMPLETION = msgspec.json.Decoder(_Completion)
_TOKEN = msgspec.json.Decoder(_Token)
_TOP = msgspec.json.Decoder(_Top)
_OBJECT = msgspec.json.Decoder(_Members)
_OBJECTS = msgspec.json.Decoder(list[_Members] | None)


def encode_logprobs(text: JsonText) -> usage_pb2.Logprobs | None:
    """Write the probabilities of a chat choice."""
    try:
        chat = _CHAT.decode(text)
    except NOT_JSON:
        return _encode_unusual(text)
    return usage_pb2.Logprobs(
        content=map(_encode_token, chat.content or ()), refusal=map(_encode_token, chat.refusal or ())
    )


def _encode_unusual(text: JsonText) -> usage_pb2.Logprobs | None:
    """Write probabilities with members that OpenAI does not have: read with care, at several times the cost."""
    try:
        members = _OBJECT.decode(text)
        content, refusal = (_read_tokens(members.pop(name, None)) for name in ("content", "refusal"))
    except NOT_JSON:
        return None
    return usage_pb2.Logprobs(content=content, refusal=refusal, extra_json=join(_extra(members)))


def _read_tokens(raw: msgspec.Raw | None) -> list[usage_pb2.TokenLogprob]:
    objects = None if raw is None else _OBJECTS.decode(raw)
    return [_read_token(members) for members in objects or ()]


def _read_token(members: _Members) -> usage_pb2.TokenLogprob:
    tops = members.pop("top_logprobs", None)
    known, rest = _parted(members, _Token.__struct_fields__)
    wire = _encode_token(_TOKEN.decode(known))
    wire.extra_json = join(rest)
    wire.top.extend(_read_top(top) for top in (None if tops is None else _OBJECTS.decode(tops)) or ())
    return wire


def _read_top(members: _Members) -> usage_pb2.TopLogprob:
    known, rest = _parted(members, _Top.__struct_fields__)
    wire = _encode_top(_TOP.decode(known))
    wire.extra_json = join(rest)
    return wire


def _parted(members: _Members, names: Sequence[str]) -> tuple[bytes, Extra]:
    known = {name: raw for name, raw in members.items() if name in names}
    return msgspec.json.encode(known), _extra({name: raw for name, raw in members.items() if name not in names})


def _extra(members: _Members) -> Extra:
    return tuple((name, JsonText(bytes(raw).decode())) for name, raw in members.items())


def _encode_token(token: _Token) -> usage_pb2.TokenLogprob:
    return usage_pb2.TokenLogprob(
        token=token.token,
        logprob=token.logprob,
        token_bytes=_bytes(token.bytes),
        top=map(_encode_top, token.top_logprobs or ()),
    )


def _encode_top(top: _Top) -> usage_pb2.TopLogprob:
    return usage_pb2.TopLogprob(token=top.token, logprob=top.logprob, token_bytes=_bytes(top.bytes))


def _bytes(values: list[int] | None) -> bytes | None:
    return None if values is None else bytes(values)


def encode_completion_logprobs(text: JsonText) -> completion_pb2.CompletionLogprobs | None:
    """Write the probabilities of a completion choice."""
    try:
        tokens, taken = _zip(_COMPLETION.decode(text)), _Completion.__struct_fields__
    except NOT_JSON:
        return _encode_chat_shape(text)
    if tokens is None:
        return None
    rest = {name: raw for name, raw in _OBJECT.decode(text).items() if name not in taken}
    return completion_pb2.CompletionLogprobs(tokens=tokens, extra_json=join(_extra(rest)))


def _encode_chat_shape(text: JsonText) -> completion_pb2.CompletionLogprobs | None:
    """Write what servers that reuse their chat code answer completions with."""
    try:
        members = _OBJECT.decode(text)
        if "content" not in members:
            return None
        tokens = _read_tokens(members.pop("content"))
    except NOT_JSON:
        return None
    return completion_pb2.CompletionLogprobs(tokens=tokens, extra_json=join(_extra(members)))


def _zip(legacy: _Completion) -> list[usage_pb2.TokenLogprob] | None:
    """Turn the parallel arrays by a quarter; None if they are not parallel."""
    count = len(legacy.tokens)
    absent = [None] * count
    columns = (legacy.token_logprobs or absent, legacy.top_logprobs or absent, legacy.text_offset or absent)
    if any(len(column) != count for column in columns):
        return None
    return [
        usage_pb2.TokenLogprob(token=token, logprob=logprob, top=_ranked(top), text_offset=offset)
        for token, logprob, top, offset in zip(legacy.tokens, *columns, strict=True)
    ]


def _ranked(top: dict[str, float] | None) -> list[usage_pb2.TopLogprob]:
    ranked = sorted((top or {}).items(), key=lambda pair: -pair[1])
    return [usage_pb2.TopLogprob(token=token, logprob=logprob) for token, logprob in ranked]
