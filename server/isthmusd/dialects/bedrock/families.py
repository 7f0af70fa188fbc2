"""What the models behind Converse want beyond it, by who made them. It encodes nothing.

Converse hides most differences between models, but not the names of knobs it has none for, nor how a model is told to
think. A model's id names its maker: `us.anthropic.claude-...`, `arn:...:foundation-model/amazon.nova-...`. Ids of
application inference profiles do not, and get the defaults.
Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The models of one maker."""

    knobs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"top_k": ("top_k",)})
    """OpenAI's name to the path in `additionalModelRequestFields`."""
    thinking: ThinkingForm = ThinkingForm.CLAUDE
    signs_thinking: bool = True
    """Thinking without a signature is refused when it comes back."""
    chooses_tools: bool = True
    """Takes `toolChoice`."""
    serialises_tools: bool = False
    """Can be told to call one tool at a time."""


DEFAULT = Family()

_OPEN = Family(thinking=ThinkingForm.WORD, signs_thinking=False)
_FAMILIES = {
    "anthropic": Family(serialises_tools=True),
    # https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
    "amazon": Family(knobs={"top_k": ("inferenceConfig", "topK")}, thinking=ThinkingForm.NOVA, signs_thinking=False),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
    "cohere": Family(
        knobs={
            "top_k": ("k",),
            "frequency_penalty": ("frequency_penalty",),
            "presence_penalty": ("presence_penalty",),
            "seed": ("seed",),
        },
        thinking=ThinkingForm.NONE,
        chooses_tools=False,
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jamba.html
    "ai21": Family(
        knobs={"frequency_penalty": ("frequency_penalty",), "presence_penalty": ("presence_penalty",)},
        thinking=ThinkingForm.NONE,
        chooses_tools=False,
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html
    "meta": Family(knobs={}, thinking=ThinkingForm.NONE, chooses_tools=False),
    "mistral": Family(thinking=ThinkingForm.NONE, signs_thinking=False),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-deepseek.html
    "deepseek": Family(knobs={}, thinking=ThinkingForm.WORD, signs_thinking=False),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html
    "openai": Family(knobs={}, thinking=ThinkingForm.WORD, signs_thinking=False),
    "qwen": _OPEN,
    "moonshot": _OPEN,
    "moonshotai": _OPEN,
    "minimax": _OPEN,
    "zai": _OPEN,
    "nvidia": _OPEN,
    "google": _OPEN,
    "writer": Family(knobs={}, thinking=ThinkingForm.NONE, signs_thinking=False),
}
_MAKER = re.compile(rf"(?:^|[./:])({'|'.join(_FAMILIES)})\.")


def family_of(model: str) -> Family:
    """Give what is known of a model's maker."""
    found = _MAKER.search(model)
    return DEFAULT if found is None else _FAMILIES[found.group(1)]
