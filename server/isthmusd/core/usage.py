"""What a call consumed, in tokens. It holds no prices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one answer. `None`: the provider did not say. Details are parts of the totals, not additions."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """Part of prompt_tokens read from the provider's prompt cache."""
    cache_write_tokens: int | None = None
    """Part of prompt_tokens written to the provider's prompt cache."""
    prompt_audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    completion_audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    estimated: bool = False
    """True if counted by us from bytes because the provider reported nothing."""
    extra: tuple[tuple[str, str], ...] = ()
    """Unknown members, as (name, JSON text)."""


def estimate(prompt_bytes: int, completion_bytes: int) -> Usage:
    """Guess a usage from sizes in bytes: four bytes a token, the rule of thumb that OpenAI gives for English text."""
    prompt, completion = -(-prompt_bytes // 4), -(-completion_bytes // 4)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True)
