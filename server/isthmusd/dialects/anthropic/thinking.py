"""Thinking: how much of it is asked for, in Anthropic's terms, and what it forbids beside it.

Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking,
https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking,
https://platform.claude.com/docs/en/build-with-claude/effort
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import JsonText, Reasoning
from isthmusd.core.profile import Profile, Thinking
from isthmusd.dialects.anthropic.notes import Notes

MIN_BUDGET = 1024
"""Anthropic refuses a smaller one."""

BUDGETS = {"minimal": MIN_BUDGET, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 28672}
"""Effort to tokens. The largest leaves room for an answer within the 32,000 that every thinking model can write."""

LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
"""OpenAI's words for effort to Anthropic's."""

_OFF = "none"
_ORDINARY = "high"
"""Every model with levels has it, and takes it unasked."""
_EFFORT = "reasoning_effort"


class _Config(msgspec.Struct):
    """Anthropic's own `thinking` member."""

    type: str = ""
    budget_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What is sent of thinking."""

    config: object | None = None
    effort: str | None = None
    budget: int = 0
    """Tokens that `max_tokens` must exceed."""
    on: bool = False
    must_begin: bool = False
    """The turn that the model continues must begin with thinking: so it is with budgets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingWriter:
    """Writes the thinking of one request."""

    profile: Profile
    notes: Notes

    def write(self, reasoning: Reasoning | None, native: JsonText | None) -> Thought:
        """Write what the caller asked for, in OpenAI's words or (`native`) in Anthropic's, which wins."""
        if native is not None:
            return self._native(reasoning or Reasoning(), native)
        if reasoning is None:
            return Thought()
        match self.profile.thinking:
            case Thinking.NONE:
                thought = self._none(reasoning)
            case Thinking.BUDGET:
                thought = self._budget(reasoning)
            case Thinking.LEVEL:
                thought = self._level(reasoning)
        if reasoning.include and not thought.on and self.profile.thinking is not Thinking.NONE:
            self.notes.lose("reasoning.include", "no thinking was asked for that could be shown")
        return thought

    def _native(self, reasoning: Reasoning, json: JsonText) -> Thought:
        try:
            config = msgspec.json.decode(json, type=_Config)
        except msgspec.DecodeError:
            config = _Config()
        for name, value in (("max_tokens", reasoning.max_tokens), ("include", reasoning.include)):
            if value is not None:
                self.notes.lose(f"reasoning.{name}", "'thinking' says it in Anthropic's own words")
        effort = None
        if self.profile.thinking is Thinking.LEVEL:
            effort = self._word(reasoning.effort)
        elif reasoning.effort is not None:
            self.notes.lose(_EFFORT, "'thinking' says it in Anthropic's own words")
        return Thought(
            config=msgspec.Raw(json),
            effort=effort,
            budget=config.budget_tokens,
            on=config.type != "disabled",
            must_begin=config.type == "enabled",
        )

    def _none(self, reasoning: Reasoning) -> Thought:
        asked = {
            _EFFORT: reasoning.effort if reasoning.effort != _OFF else None,
            "reasoning.max_tokens": reasoning.max_tokens,
            "reasoning.include": reasoning.include,
        }
        for path, value in asked.items():
            if value:
                self.notes.lose(path, "the model does not think")
        return Thought()

    def _budget(self, reasoning: Reasoning) -> Thought:
        budget = reasoning.max_tokens
        if budget is None:
            if reasoning.effort in (None, _OFF):
                # Not thinking is what these models do unasked.
                return Thought()
            budget = BUDGETS.get(reasoning.effort)
            if budget is None:
                self.notes.lose(_EFFORT, f"no budget is known for {reasoning.effort!r}")
                return Thought()
        elif budget <= 0:
            return Thought()
        elif budget < MIN_BUDGET:
            self.notes.lose("reasoning.max_tokens", f"Anthropic's least budget is {MIN_BUDGET} tokens: raised to it")
            budget = MIN_BUDGET
        config: dict[str, object] = {"type": "enabled", "budget_tokens": budget, **_display(reasoning.include, None)}
        return Thought(config=config, budget=budget, on=True, must_begin=True)

    def _level(self, reasoning: Reasoning) -> Thought:
        if reasoning.effort == _OFF or reasoning.max_tokens == 0:
            return self._off()
        if reasoning.max_tokens is not None:
            self.notes.lose("reasoning.max_tokens", "the model decides itself how many tokens it thinks")
        effort = self._word(reasoning.effort)
        if effort is None and not reasoning.include and reasoning.max_tokens is None:
            return Thought()
        config: dict[str, object] = {"type": "adaptive", **_display(reasoning.include, "summarized")}
        return Thought(config=config, effort=effort, on=True)

    def _off(self) -> Thought:
        """Later models think unless told not to, and some whatever they are told."""
        if self.profile.thinking_off:
            return Thought(config={"type": self.profile.thinking_off})
        self.notes.lose(_EFFORT, "the model always thinks: it is told to think little")
        return Thought(effort=LEVELS["minimal"], on=True)

    def _word(self, effort: str | None) -> str | None:
        if effort is None:
            return None
        word = LEVELS.get(effort)
        if word is None:
            self.notes.lose(_EFFORT, f"Anthropic has no effort {effort!r}")
        elif word in self.profile.lacks_efforts:
            self.notes.lose(_EFFORT, f"the model has no effort {word!r}: lowered to {_ORDINARY!r}")
            return _ORDINARY
        return word


def without_thinking(thought: Thought, notes: Notes) -> Thought:
    """Switch thinking off: Anthropic refuses to go on thinking in a turn of the model that does not begin with it
    (https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks), and OpenAI's
    format brings no signed thinking back."""
    if not thought.must_begin:
        return thought
    notes.lose(_EFFORT, "the model's turn came back without its signed thinking, so it cannot go on thinking")
    return Thought()


def _display(include: bool | None, shown: str | None) -> dict[str, object]:
    """Budgeted thinking is shown unless told otherwise, adaptive thinking by some models only if told so."""
    display = shown if include else "omitted" if include is False else None
    return {} if display is None else {"display": display}
