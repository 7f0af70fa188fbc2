"""Sampling and the limit of the answer's length, as far as Anthropic has them, and what it lacks of OpenAI's knobs.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmusd.core.chat import Sampling
from isthmusd.core.profile import Profile
from isthmusd.dialects.anthropic.notes import NO_SUCH_FIELD, Notes
from isthmusd.dialects.anthropic.thinking import Thought
from isthmusd.framing.fields import plain_number

DEFAULT_MAX_TOKENS = 4096
"""For hosts whose profile names none: every model can write that much."""

MIN_THINKING_TOP_P = 0.95

_BESIDE_THINKING = "Anthropic does not take it beside thinking"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWriter:
    """Writes the knobs of one request."""

    profile: Profile
    notes: Notes
    thought: Thought

    def write(self, sampling: Sampling) -> dict[str, object | None]:
        """Give the members to send; what cannot be sent is noted."""
        self._lacking(sampling)
        temperature = self._allowed("temperature", self._temperature(sampling.temperature), 1)
        top_p = self._allowed("top_p", self._top_p(sampling.top_p), 1)
        temperature, top_p = self._one_of(temperature, top_p)
        return {
            "max_tokens": self._max_tokens(sampling),
            "temperature": plain_number(temperature),
            "top_p": plain_number(top_p),
            "top_k": self._allowed("top_k", self._top_k(sampling.top_k), None),
            "stop_sequences": self._stop(sampling.stop),
        }

    def _max_tokens(self, sampling: Sampling) -> int:
        """Anthropic demands a limit, and one above the thinking budget, which counts towards it."""
        total, text = sampling.max_completion_tokens, sampling.max_tokens
        if total is not None and text is not None and total != text:
            self.notes.lose("max_tokens", "max_completion_tokens says otherwise")
        asked = text if total is None else total
        limit = asked if asked is not None else self.profile.default_max_tokens or DEFAULT_MAX_TOKENS
        if limit > self.thought.budget:
            return limit
        if asked is not None:
            field = "max_tokens" if total is None else "max_completion_tokens"
            self.notes.lose(field, f"it must exceed the thinking budget of {self.thought.budget} tokens: raised by it")
        return limit + self.thought.budget

    def _temperature(self, temperature: float | None) -> float | None:
        if temperature is None or temperature == 1:
            return temperature
        if self.thought.on:
            self.notes.lose("temperature", _BESIDE_THINKING)
            return None
        if temperature > 1:
            self.notes.lose("temperature", "Anthropic's temperatures end at 1: lowered to it")
            return 1
        return temperature

    def _top_p(self, top_p: float | None) -> float | None:
        if top_p is not None and self.thought.on and top_p < MIN_THINKING_TOP_P:
            self.notes.lose("top_p", _BESIDE_THINKING)
            return None
        return top_p

    def _one_of(self, temperature: float | None, top_p: float | None) -> tuple[float | None, float | None]:
        """Models since Claude Opus 4.1 refuse both at once; one that stands at its default can be left out."""
        match temperature, top_p:
            case (None, _) | (_, None):
                return temperature, top_p
            case 1, _:
                return None, top_p
            case _, 1:
                return temperature, None
            case _:
                self.notes.lose("top_p", "Anthropic takes either a temperature or top_p")
                return temperature, None

    def _top_k(self, top_k: int | None) -> int | None:
        if top_k is None or top_k <= 0:
            # Zero and -1 are how compatible servers say "no limit", which is Anthropic's default.
            return None
        if self.thought.on:
            self.notes.lose("top_k", _BESIDE_THINKING)
            return None
        return top_k

    def _allowed(self, name: str, value: float | None, default: float | None) -> float | None:
        """Leave out what the host refuses; its default is no loss."""
        if value is None or name not in self.profile.refuses:
            return value
        if value != default:
            self.notes.lose(name, "the model does not take it")
        return None

    def _stop(self, stop: tuple[str, ...] | None) -> list[str] | None:
        if stop is None:
            return None
        kept = [text for text in stop if text.strip()]
        if len(kept) != len(stop):
            self.notes.lose("stop", "Anthropic refuses stop sequences without a visible character")
        return kept or None

    def _lacking(self, sampling: Sampling) -> None:
        """Note the knobs that Anthropic lacks, unless they stand where they do nothing."""
        knobs: tuple[tuple[str, object, tuple[object, ...]], ...] = (
            ("min_p", sampling.min_p, (0,)),
            ("repetition_penalty", sampling.repetition_penalty, (1,)),
            ("frequency_penalty", sampling.frequency_penalty, (0,)),
            ("presence_penalty", sampling.presence_penalty, (0,)),
            ("n", sampling.n, (1,)),
            ("logit_bias", sampling.logit_bias, ((),)),
            ("logprobs", sampling.logprobs, (False,)),
            ("top_logprobs", sampling.top_logprobs, (0,)),
            ("seed", sampling.seed, ()),
        )
        for name, value, idle in knobs:
            if value is not None and value not in idle:
                self.notes.lose(name, NO_SUCH_FIELD)
