"""How a model is told to think before it answers. Its thoughts are parts: `parts.py` and `blocks.py`.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html,
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmusd.core.chat import Reasoning
from isthmusd.core.profile import Profile, Thinking
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family, ThinkingForm
from isthmusd.dialects.bedrock.marks import Block

MIN_BUDGET = 1024
"""Claude's least budget."""

_USUAL_LIMIT = 20_480
"""What a budget is a share of where the caller set no limit."""

_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
"""OpenAI's efforts as a share of the tokens that an answer may have."""

_CLAUDE_WORDS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_NOVA_WORDS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_QWEN_WORDS = {"minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "high"}
_PLAIN_WORDS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

_EFFORT = "reasoning_effort"
_BUDGET = "reasoning.max_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What was decided: members of `additionalModelRequestFields` and of `outputConfig`."""

    fields: Block = field(default_factory=dict[str, object])
    output: Block = field(default_factory=dict[str, object])
    constrains: bool = False
    """Claude thinks, and then refuses other temperatures than 1, `top_k` and forced tools."""


@dataclass(slots=True)
class Wish:
    """What the caller asks for, and where it is asked."""

    reasoning: Reasoning
    limit: int | None
    """Tokens that the answer may have, thinking included."""
    resumes_unsigned: bool
    losses: list[Loss]

    @property
    def named(self) -> str:
        """The field that speaks of it."""
        return _BUDGET if self.reasoning.effort is None else _EFFORT

    def lose(self, name: str, reason: str) -> None:
        """Tell that a field is not carried."""
        self.losses.append(Loss(field=name, reason=reason))

    def word(self, words: dict[str, str]) -> str | None:
        """Give the effort in the model's words; None for no word, or for one that has no counterpart."""
        effort = self.reasoning.effort
        if effort is None:
            return None
        word = words.get(effort)
        if word is None:
            self.lose(_EFFORT, f"the model has no effort like {effort}")
        elif word != effort:
            self.lose(_EFFORT, f"the model's nearest effort is {word}")
        return word


def encode_thinking(wish: Wish, family: Family, profile: Profile) -> Thought:
    """Decide how to say what the caller wants."""
    reasoning = wish.reasoning
    if reasoning.include is False:
        wish.lose("reasoning.include", "Bedrock shows the thinking of models that think")
    if reasoning.effort is None and reasoning.max_tokens is None:
        return Thought()
    if profile.thinking is Thinking.NONE or family.thinking is ThinkingForm.NONE:
        return _unable(wish)
    match family.thinking:
        case ThinkingForm.CLAUDE if profile.thinking is Thinking.BUDGET:
            return _claude_by_budget(wish)
        case ThinkingForm.CLAUDE:
            return _claude_by_word(wish)
        case ThinkingForm.NOVA:
            return _nova(wish)
        case ThinkingForm.WORD:
            return _plain(wish, _EFFORT, _PLAIN_WORDS)
        case ThinkingForm.QWEN:
            return _plain(wish, "reasoning_config", _QWEN_WORDS)


def _unable(wish: Wish) -> Thought:
    if wish.reasoning.effort not in (None, "none"):
        wish.lose(_EFFORT, "the model cannot be told how long to think")
    _lose_budget(wish, "the model cannot be told how long to think")
    return Thought()


def _claude_by_budget(wish: Wish) -> Thought:
    if wish.reasoning.effort == "none" and not wish.reasoning.max_tokens:
        return Thought()
    budget = _budget(wish)
    if budget is None:
        return Thought()
    if wish.resumes_unsigned:
        wish.lose(wish.named, "the model thinks on after a tool's result only if it gets its signed thinking back")
        return Thought()
    return Thought(fields={"thinking": {"type": "enabled", "budget_tokens": budget}}, constrains=True)


def _budget(wish: Wish) -> int | None:
    """Give a budget that the model takes: it must stay below the limit of the answer. None: there is no such."""
    wanted = wish.reasoning.max_tokens
    if wanted is None:
        share = _SHARES.get(wish.reasoning.effort or "")
        if share is None:
            wish.lose(_EFFORT, f"the model has no effort like {wish.reasoning.effort}")
            return None
        wanted = max(MIN_BUDGET, int(share * (wish.limit or _USUAL_LIMIT)))
    budget = max(MIN_BUDGET, wanted)
    if wish.limit is not None and budget >= wish.limit:
        budget = wish.limit - 1
    if budget < MIN_BUDGET:
        wish.lose(wish.named, f"the model thinks with {MIN_BUDGET} tokens or more, and the answer may not have them")
        return None
    if wish.reasoning.max_tokens not in (None, budget):
        wish.lose(_BUDGET, f"the model's nearest budget is {budget} tokens")
    return budget


def _claude_by_word(wish: Wish) -> Thought:
    _lose_budget(wish, "the model takes an effort, no budget")
    if wish.reasoning.effort == "none":
        return Thought(fields={"thinking": {"type": "disabled"}})
    word = wish.word(_CLAUDE_WORDS)
    if word is None and wish.reasoning.effort is not None:
        return Thought()
    output: Block = {} if word is None else {"effort": word}
    return Thought(fields={"thinking": {"type": "adaptive"}}, output=output, constrains=True)


def _nova(wish: Wish) -> Thought:
    _lose_budget(wish, "the model takes an effort, no budget")
    if wish.reasoning.effort in (None, "none"):
        # It does not think unless it is told to.
        return Thought()
    word = wish.word(_NOVA_WORDS)
    return Thought() if word is None else _with("reasoningConfig", {"type": "enabled", "maxReasoningEffort": word})


def _plain(wish: Wish, name: str, words: dict[str, str]) -> Thought:
    _lose_budget(wish, "the model takes an effort, no budget")
    word = wish.word(words)
    return Thought() if word is None else _with(name, word)


def _with(name: str, value: object) -> Thought:
    return Thought(fields={name: value})


def _lose_budget(wish: Wish, reason: str) -> None:
    if wish.reasoning.max_tokens is not None:
        wish.lose(_BUDGET, reason)
