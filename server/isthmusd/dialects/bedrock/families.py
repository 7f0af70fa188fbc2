"""What the models behind Converse want beyond it, by who made them. It encodes nothing.

Converse hides most differences between models, but not the names of knobs it has none for, nor how a model is told to
think. A model's id names its maker: `us.anthropic.claude-...`, `arn:...:foundation-model/amazon.nova-...`. Ids of
application inference profiles do not, and get the defaults.
Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class ThinkingForm(StrEnum):
    """How a maker's models are told to think."""

    NONE = "none"
    """They are not."""
    CLAUDE = "claude"
    """`thinking` with a budget, or adaptive with an effort."""
    NOVA = "nova"
    """`reasoningConfig` with an effort."""
    WORD = "word"
    """`reasoning_effort`, as OpenAI has it."""
    QWEN = "qwen"
    """`reasoning_config`, low or high."""


_CHOICES = frozenset({"auto", "any", "tool"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The models of one maker. The defaults are Claude's: that is what a profile is mostly made of."""

    knobs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"top_k": ("top_k",)})
    """OpenAI's name to the path in `additionalModelRequestFields`."""
    thinking: ThinkingForm = ThinkingForm.CLAUDE
    signs_thinking: bool = True
    """Thinking without a signature is refused when it comes back."""
    choices: frozenset[str] = _CHOICES
    """Kinds of `toolChoice` that it takes."""
    serialises_tools: bool = False
    """Can be told to call one tool at a time."""
    schemas_may_branch: bool = True
    """Takes schemas of tools with `anyOf`, `oneOf` or `allOf` at their top."""
    picks_by_both: bool = True
    """Takes a temperature and `top_p` together."""
    stops_at_blanks: bool = True
    """Takes stop sequences without a visible character."""
    caches: bool = False
    """Takes cache points among the messages and instructions."""
    caches_tools: bool = False
    """Takes them among the tools, beside calls and results, and told how long to keep what they mark."""
    continues: bool = False
    """Goes on with a turn of its own that the conversation ends with; others answer the user's only."""
    beside_results: frozenset[str] | None = None
    """Kinds of blocks that may share a turn with results of tools; None: any."""


_CLAUDE = Family(
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html
    picks_by_both=False,
    stops_at_blanks=False,
    # https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
    caches=True,
    caches_tools=True,
    continues=True,
    # https://github.com/pydantic/pydantic-ai/pull/6098
    beside_results=frozenset({"text", "image", "guardContent", "searchResult"}),
    schemas_may_branch=False,
)
DEFAULT = _CLAUDE

_OPEN = Family(thinking=ThinkingForm.WORD, signs_thinking=False)
_FAMILIES = {
    "anthropic": replace(_CLAUDE, serialises_tools=True),
    # https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
    "amazon": Family(
        knobs={"top_k": ("inferenceConfig", "topK")}, thinking=ThinkingForm.NOVA, signs_thinking=False, caches=True
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
    "cohere": Family(
        knobs={
            "top_k": ("k",),
            "frequency_penalty": ("frequency_penalty",),
            "presence_penalty": ("presence_penalty",),
            "seed": ("seed",),
        },
        thinking=ThinkingForm.NONE,
        choices=frozenset(),
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jamba.html
    "ai21": Family(
        knobs={"frequency_penalty": ("frequency_penalty",), "presence_penalty": ("presence_penalty",)},
        thinking=ThinkingForm.NONE,
        choices=frozenset(),
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html
    "meta": Family(knobs={}, thinking=ThinkingForm.NONE, choices=frozenset(), beside_results=frozenset()),
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html
    "mistral": Family(
        thinking=ThinkingForm.NONE,
        signs_thinking=False,
        choices=frozenset({"auto", "any"}),
        beside_results=frozenset(),
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-deepseek.html
    "deepseek": Family(knobs={}, thinking=ThinkingForm.WORD, signs_thinking=False, choices=frozenset({"any"})),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html
    "openai": Family(knobs={}, thinking=ThinkingForm.WORD, signs_thinking=False),
    # https://github.com/pydantic/pydantic-ai/blob/main/pydantic_ai_slim/pydantic_ai/providers/bedrock.py
    "qwen": Family(thinking=ThinkingForm.QWEN, signs_thinking=False),
    "moonshot": _OPEN,
    "moonshotai": _OPEN,
    "minimax": _OPEN,
    "zai": _OPEN,
    "nvidia": _OPEN,
    "google": _OPEN,
    "writer": Family(knobs={}, thinking=ThinkingForm.NONE, signs_thinking=False),
}
_OLD_CLAUDE = re.compile(r"\bclaude-(?:3|v2|instant)\b")
"""Refuse to be told so: https://github.com/anthropics/anthropic-sdk-python/issues/739"""
_MAKER = re.compile(rf"(?:^|[./:])({'|'.join(_FAMILIES)})\.")


def family_of(model: str) -> Family:
    """Give what is known of a model's maker."""
    found = _MAKER.search(model)
    family = DEFAULT if found is None else _FAMILIES[found.group(1)]
    return replace(family, serialises_tools=False) if _OLD_CLAUDE.search(model) else family
