"""The knobs that shape an answer. Thinking is `thinking.py`.

Source: https://docs.cohere.com/reference/chat, ranges included.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from isthmusd.core.chat import Sampling
from isthmusd.core.request import Loss
from isthmusd.dialects.cohere.losses import NO_FIELD, lose
from isthmusd.framing.fields import plain_number

MAX_STOPS = 5
MAX_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """What Cohere takes for one of OpenAI's fields; beyond it, it answers with an error."""

    name: str
    low: float
    high: float


_RANGES = {
    "top_p": _Range(name="p", low=0.01, high=0.99),
    "top_k": _Range(name="k", low=0, high=500),
    "frequency_penalty": _Range(name="frequency_penalty", low=0, high=1),
    "presence_penalty": _Range(name="presence_penalty", low=0, high=1),
}
_WHY = {"n": "Cohere gives one answer", "max_tokens": "'max_completion_tokens' says it too"}


def encode_sampling(sampling: Sampling, native: Container[str], losses: list[Loss]) -> dict[str, object | None]:
    """Write the knobs that are set. `native`: members that the caller gave under Cohere's own names."""
    limit = sampling.max_completion_tokens if sampling.max_completion_tokens is not None else sampling.max_tokens
    asked = {
        "max_tokens": sampling.max_tokens not in (None, limit),
        "n": (sampling.n or 1) > 1,
        "min_p": bool(sampling.min_p),
        "repetition_penalty": sampling.repetition_penalty not in (None, 1),
        "logit_bias": bool(sampling.logit_bias),
        "top_logprobs": bool(sampling.top_logprobs),
    }
    for field, is_asked in asked.items():
        if is_asked:
            lose(losses, field, _WHY.get(field, NO_FIELD))
    return {
        "temperature": plain_number(sampling.temperature),
        **_ranged(sampling, native, losses),
        "max_tokens": limit,
        "stop_sequences": _stops(sampling.stop, native, losses),
        "seed": _seed(sampling.seed, losses),
        "logprobs": sampling.logprobs or None,
    }


def _ranged(sampling: Sampling, native: Container[str], losses: list[Loss]) -> dict[str, object | None]:
    values = {
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    written: dict[str, object | None] = {}
    for field, value in values.items():
        taken = _RANGES[field]
        if value is None:
            continue
        if taken.name in native and taken.name != field:
            lose(losses, field, f"{taken.name!r} says it in Cohere's own words")
            continue
        fitting = min(max(value, taken.low), taken.high)
        if fitting != value:
            lose(losses, field, f"Cohere takes {taken.low:g} to {taken.high:g}, so {fitting:g} was sent")
        written[taken.name] = plain_number(fitting)
    return written


def _stops(stop: tuple[str, ...] | None, native: Container[str], losses: list[Loss]) -> tuple[str, ...] | None:
    if not stop:
        return None
    if "stop_sequences" in native:
        lose(losses, "stop", "'stop_sequences' says it in Cohere's own words")
    elif len(stop) > MAX_STOPS:
        lose(losses, "stop", f"Cohere takes {MAX_STOPS} of them: the first {MAX_STOPS} were sent")
    return stop[:MAX_STOPS]


def _seed(seed: int | None, losses: list[Loss]) -> int | None:
    if seed is None or 0 <= seed <= MAX_SEED:
        return seed
    lose(losses, "seed", f"Cohere takes 0 to {MAX_SEED}")
    return None
