"""Google's `usageMetadata`. Counting what nobody reported is `core/usage.py`.

Source: https://ai.google.dev/api/generate-content#UsageMetadata
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import JsonText
from isthmusd.core.usage import Usage

_AUDIO = "AUDIO"


class Modality(msgspec.Struct, rename="camel"):
    """Tokens of one kind of input or output."""

    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(msgspec.Struct, rename="camel"):
    """Counts so far: each chunk of a stream repeats and raises them."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[Modality] | None = None
    candidates_tokens_details: list[Modality] | None = None
    service_tier: str | None = None
    traffic_type: str | None = None


def usage_of(counts: UsageMetadata) -> Usage | None:
    """Give the usage; None if nothing was counted, as in Vertex's first chunks, which name the kind of traffic only.

    The prompt includes what server-side tools read, the completion the thoughts: so the parts add up to the total.
    """
    prompt, total = _believed(counts.prompt_token_count), _believed(counts.total_token_count)
    answer, thoughts = _believed(counts.candidates_token_count), _believed(counts.thoughts_token_count)
    tool_use = _believed(counts.tool_use_prompt_token_count)
    if prompt is None and total is None and answer is None:
        return None
    prompt_tokens = (prompt or 0) + (tool_use or 0)
    completion_tokens = (answer or 0) + (thoughts or 0)
    extra: tuple[tuple[str, str], ...] = ()
    if tool_use is not None:
        extra = (("toolUsePromptTokenCount", str(tool_use)),)
    if counts.traffic_type is not None:
        extra = (*extra, ("trafficType", JsonText(msgspec.json.encode(counts.traffic_type).decode())))
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=total if total is not None else prompt_tokens + completion_tokens,
        cached_tokens=_believed(counts.cached_content_token_count),
        prompt_audio_tokens=_audio(counts.prompt_tokens_details),
        reasoning_tokens=thoughts,
        completion_audio_tokens=_audio(counts.candidates_tokens_details),
        extra=extra,
    )


def _audio(details: list[Modality] | None) -> int | None:
    counted = [_believed(detail.token_count) or 0 for detail in details or () if detail.modality == _AUDIO]
    return sum(counted) if counted else None


def _believed(count: int | None) -> int | None:
    """Take a negative count for none."""
    return None if count is None or count < 0 else count
