"""How long a model thinks: OpenAI's effort, or a budget, as Google's `thinkingConfig`. Thoughts in messages are
`content.py`.

Source: https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

import re

from isthmusd.core.chat import Reasoning
from isthmusd.core.profile import Thinking
from isthmusd.core.request import Loss

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""As Google's OpenAI-compatible API has them: https://ai.google.dev/gemini-api/docs/openai#thinking"""
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_BEYOND_HIGH = frozenset({"xhigh", "max"})
_OFF = "none"
_LEAST_BUDGET = 128
"""Of the models that always think."""
_LARGEST_BUDGET = 24576
_LARGEST_BUDGET_OF_PRO = 32768
_FROM_LOW = re.compile(r"-pro|gemini-flash-latest|gemini-(?:3\.[7-9]|3\.\d\d|[4-9]|\d\d)[\d.]*-flash(?!-lite)")
"""Models without the level MINIMAL."""


def encode_thinking(
    reasoning: Reasoning | None, model: str, thinking: Thinking, losses: list[Loss]
) -> dict[str, object]:
    """Write `thinkingConfig`; empty if nothing was asked for."""
    if reasoning is None:
        return {}
    effort = _effort(reasoning.effort, losses)
    match thinking:
        case Thinking.NONE:
            asked = {"effort": reasoning.effort, "max_tokens": reasoning.max_tokens, "include": reasoning.include}
            losses += [
                Loss(field=f"reasoning.{name}", reason="the model does not think")
                for name, value in asked.items()
                if value not in (None, _OFF, 0, False)
            ]
            return {}
        case Thinking.BUDGET:
            config = _budget(effort, reasoning.max_tokens, model, losses)
        case Thinking.LEVEL:
            config = _level(effort, reasoning.max_tokens, model, losses)
    off = effort == _OFF or reasoning.max_tokens == 0
    # Other targets show their thoughts unasked; Google hides them unless told otherwise.
    include = reasoning.include if reasoning.include is not None else bool(config) and not off
    return {**config, "includeThoughts": True} if include else config


def _effort(effort: str | None, losses: list[Loss]) -> str | None:
    if effort is None or effort == _OFF or effort in _BUDGETS:
        return effort
    known = effort in _BEYOND_HIGH
    losses.append(Loss(field="reasoning.effort", reason="Gemini knows no effort beyond high" if known else "unknown"))
    return "high" if known else None


def _budget(effort: str | None, tokens: int | None, model: str, losses: list[Loss]) -> dict[str, object]:
    if tokens is not None:
        if effort is not None:
            losses.append(Loss(field="reasoning.effort", reason="the budget in tokens says it already"))
        return {"thinkingBudget": _within(tokens, model, losses)}
    if effort == _OFF:
        if not _always_thinks(model):
            return {"thinkingBudget": 0}
        losses.append(Loss(field="reasoning.effort", reason="the model always thinks: it is told to think little"))
        return {"thinkingBudget": _LEAST_BUDGET}
    return {} if effort is None else {"thinkingBudget": _BUDGETS[effort]}


def _within(tokens: int, model: str, losses: list[Loss]) -> int:
    """Keep a budget within what the model takes: Google refuses others. Negative ones leave it to the model."""
    if tokens < 0:
        return tokens
    pro = _always_thinks(model)
    least, largest = (_LEAST_BUDGET, _LARGEST_BUDGET_OF_PRO) if pro else (0, _LARGEST_BUDGET)
    kept = min(max(tokens, least), largest)
    if kept != tokens:
        losses.append(Loss(field="reasoning.max_tokens", reason=f"the model takes {least} to {largest} tokens"))
    return kept


def _level(effort: str | None, tokens: int | None, model: str, losses: list[Loss]) -> dict[str, object]:
    if effort is None and tokens is not None:
        losses.append(Loss(field="reasoning.max_tokens", reason="the model takes a level: the nearest one is sent"))
        effort = _OFF if tokens == 0 else next((name for name, most in _BUDGETS.items() if 0 < tokens <= most), "high")
    if effort == _OFF:
        losses.append(Loss(field="reasoning", reason="the model always thinks: it is told to think little"))
        effort = "minimal"
    if effort == "minimal" and _FROM_LOW.search(model):
        # "Thinking level MINIMAL is not supported for this model."
        effort = "low"
    return {} if effort is None else {"thinkingLevel": _LEVELS[effort]}


def _always_thinks(model: str) -> bool:
    """The Pro models, see the table of the page above."""
    return "-pro" in model
