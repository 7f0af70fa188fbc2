"""The canonical legacy completion (prompt in, text out). Chat is `core/chat.py`."""

from __future__ import annotations

from dataclasses import dataclass

from isthmusd.core.chat import Extra, JsonText, Sampling
from isthmusd.core.usage import Usage

Prompt = str | tuple[int, ...]
"""Text, or token ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    model: str
    prompts: tuple[Prompt, ...]
    """At least one; a single prompt and a list of one are the same request."""
    sampling: Sampling = Sampling()
    """Its `logprobs` and `top_logprobs` stay unset: completions count alternatives in `logprobs` below."""
    logprobs: int | None = None
    """How many alternatives to report per token."""
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    user: str | None = None
    stream: bool = False
    include_usage: bool = False
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionChoice:
    index: int
    text: str
    finish_reason: str | None
    logprobs: JsonText | None = None
    extra: Extra = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionResponse:
    id: str
    model: str
    created_at: int
    """Unix seconds."""
    choices: tuple[CompletionChoice, ...]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    extra: Extra = ()
