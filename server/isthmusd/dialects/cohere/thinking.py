"""How much a model should think. What it thought is a part of its message.

Source: https://docs.cohere.com/docs/reasoning
"""

from __future__ import annotations

from typing import Any

import msgspec

from isthmusd.core.chat import ChatRequest, JsonText, Reasoning
from isthmusd.core.profile import Profile, Thinking
from isthmusd.core.request import Loss
from isthmusd.dialects.cohere.losses import lose

MAX_BUDGET = 31_000
"""Of the 32,000 tokens that the reasoning models write at most, some must be left for the answer."""
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": MAX_BUDGET}
"""Effort to tokens: Cohere knows no words for it."""

_ENABLED, _DISABLED = "enabled", "disabled"


def encode_thinking(request: ChatRequest, profile: Profile, losses: list[Loss]) -> dict[str, object] | None:
    """Write `thinking`; None leaves it to the model."""
    reasoning = request.reasoning
    if reasoning is None:
        return None
    if reasoning.include is False:
        lose(losses, "reasoning.include", "Cohere does not hide thinking")
    asked = reasoning.effort is not None or reasoning.max_tokens is not None
    if not asked:
        return None
    if profile.thinking is Thinking.NONE:
        if reasoning.effort != "none" and reasoning.max_tokens != 0:
            lose(losses, _field(reasoning), "the model does not think")
        return None
    return _thinking(request, reasoning, losses)


def is_off(thinking: JsonText | dict[str, object] | None) -> bool:
    """Tell whether a `thinking` member, written here or by the caller, switches it off."""
    match thinking:
        case None:
            return False
        case dict():
            return thinking["type"] == _DISABLED
        case text:
            found: Any = msgspec.json.decode(text)
            match found:
                case {"type": kind}:
                    return kind == _DISABLED
                case _:
                    return False


def _thinking(request: ChatRequest, reasoning: Reasoning, losses: list[Loss]) -> dict[str, object] | None:
    if reasoning.max_tokens is not None:
        # A budget is more exact than a word for it.
        budget = reasoning.max_tokens
        return {"type": _ENABLED, "token_budget": budget} if budget > 0 else {"type": _DISABLED}
    if reasoning.effort == "none":
        return {"type": _DISABLED}
    budget = BUDGETS.get(reasoning.effort or "")
    if budget is None:
        lose(losses, "reasoning_effort", f"not one of {', '.join(('none', *BUDGETS))}")
        return None
    return {"type": _ENABLED, "token_budget": _room(request, budget)}


def _room(request: ChatRequest, budget: int) -> int:
    """Thinking counts towards the limit of the answer: leave half of that for what follows it."""
    sampling = request.sampling
    limit = sampling.max_completion_tokens if sampling.max_completion_tokens is not None else sampling.max_tokens
    return budget if limit is None else max(1, min(budget, limit // 2))


def _field(reasoning: Reasoning) -> str:
    return "reasoning_effort" if reasoning.effort is not None else "reasoning.max_tokens"
