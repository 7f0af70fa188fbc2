"""OpenAI's `usage` object, both ways. Counting what nobody reported is `core/usage.py`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from isthmusd.core.chat import Extra
from isthmusd.core.usage import Usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none, json_text

_PROMPT_DETAILS = "prompt_tokens_details"
_COMPLETION_DETAILS = "completion_tokens_details"


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _PromptDetails(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    accepted_prediction_tokens: _Count | None = None
    rejected_prediction_tokens: _Count | None = None


class _Counts(msgspec.Struct, forbid_unknown_fields=True):
    """What OpenAI itself sends."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    total_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


_COUNTS = msgspec.json.Decoder(_Counts | None)
_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def decode_usage(json: bytes | msgspec.Raw) -> Usage | None:
    """Read a usage; None if it is null. Raises Garbled if it is not an object of counts."""
    try:
        counts = _COUNTS.decode(json)
    except msgspec.DecodeError:
        # Members that OpenAI does not have, counts in floats, or no usage at all: read with care, at five times the
        # cost.
        return _decode_unusual(json)
    if counts is None:
        return None
    prompt = counts.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = counts.completion_tokens_details or _NO_COMPLETION_DETAILS
    return Usage(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        total_tokens=counts.total_tokens,
        cached_tokens=prompt.cached_tokens,
        cache_write_tokens=prompt.cache_write_tokens,
        prompt_audio_tokens=prompt.audio_tokens,
        reasoning_tokens=completion.reasoning_tokens,
        completion_audio_tokens=completion.audio_tokens,
        accepted_prediction_tokens=completion.accepted_prediction_tokens,
        rejected_prediction_tokens=completion.rejected_prediction_tokens,
    )


def _decode_unusual(json: bytes | msgspec.Raw) -> Usage | None:
    fields = Fields.of(json, "usage", answer_fault)
    prompt, prompt_rest = _details(fields, _PROMPT_DETAILS, ("cached_tokens", "cache_write_tokens", "audio_tokens"))
    completion, completion_rest = _details(
        fields,
        _COMPLETION_DETAILS,
        ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"),
    )
    return Usage(
        prompt_tokens=_count(fields, "prompt_tokens"),
        completion_tokens=_count(fields, "completion_tokens"),
        total_tokens=_count(fields, "total_tokens"),
        cached_tokens=prompt.get("cached_tokens"),
        cache_write_tokens=prompt.get("cache_write_tokens"),
        prompt_audio_tokens=prompt.get("audio_tokens"),
        reasoning_tokens=completion.get("reasoning_tokens"),
        completion_audio_tokens=completion.get("audio_tokens"),
        accepted_prediction_tokens=completion.get("accepted_prediction_tokens"),
        rejected_prediction_tokens=completion.get("rejected_prediction_tokens"),
        extra=fields.rest() + prompt_rest + completion_rest,
    )


def believed(count: int | None) -> int | None:
    """Take a negative count for none."""
    return None if count is None or count < 0 else count


def encode_usage(usage: Usage) -> dict[str, object]:
    """Write a usage; counts that the shape demands are 0 where nobody knows them."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    extra = dict(usage.extra)
    prompt_details = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.prompt_audio_tokens,
    }
    completion_details = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.completion_audio_tokens,
        "accepted_prediction_tokens": usage.accepted_prediction_tokens,
        "rejected_prediction_tokens": usage.rejected_prediction_tokens,
    }
    members: dict[str, object | None] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": usage.total_tokens if usage.total_tokens is not None else prompt + completion,
        _PROMPT_DETAILS: _merged(prompt_details, extra.get(_PROMPT_DETAILS)),
        _COMPLETION_DETAILS: _merged(completion_details, extra.get(_COMPLETION_DETAILS)),
    }
    rest = tuple((name, json_text(text.encode())) for name, text in usage.extra)
    return drop_none(members, rest)


def _details(fields: Fields, name: str, known: tuple[str, ...]) -> tuple[dict[str, int | None], Extra]:
    """Take a details object: its known counts, and what is left of it as an object of the same name."""
    inner = fields.object(name)
    if inner is None:
        return {}, ()
    counts = {count: _count(inner, count) for count in known}
    rest = inner.rest()
    return counts, ((name, json_text(msgspec.json.encode(drop_none({}, rest)))),) if rest else ()


def _merged(known: dict[str, int | None], rest: str | None) -> dict[str, object] | None:
    unknown: dict[str, msgspec.Raw] = msgspec.json.decode(rest, type=dict[str, msgspec.Raw]) if rest else {}
    members: dict[str, object] = {**unknown, **{name: count for name, count in known.items() if count is not None}}
    return members or None


def _count(fields: Fields, name: str) -> int | None:
    """Some servers count in floats."""
    number = fields.number(name)
    return None if number is None else believed(int(number))
