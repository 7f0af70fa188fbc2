"""Targets that requests are put to, and what each of them loses: every host of the catalogue as it is for its models,
and hosts that differ in each capability. The requests are `asked.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

from isthmusd.core import bridge
from isthmusd.core.chat import ChatRequest
from isthmusd.core.errors import InvalidRequest, UnsupportedFeature
from isthmusd.core.forced_tool import force, needs_tool
from isthmusd.core.profile import EarlierThinking, Profile, StructuredOutput, Thinking
from isthmusd.core.request import Loss, Operation
from isthmusd.dialects.base import Called, Request
from isthmusd.dialects.registry import CALLABLE, called
from isthmusd.providers.catalog import CATALOG

from tests.golden import asked

BRIDGE = "bridge"

MODELS = {
    "anthropic": ("claude-sonnet-4-5",),
    "bedrock": (
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.amazon.nova-2-lite-v1:0",
        "cohere.command-r-plus-v1:0",
        "openai.gpt-oss-120b-1:0",
        "mistral.mistral-large-2407-v1:0",
        "qwen.qwen3-235b-a22b-2507-v1:0",
    ),
    "cohere": ("command-a-03-2025",),
    "gemini": ("gemini-2.5-flash", "gemini-3-pro-preview"),
    "openai": ("gpt-4o",),
}
EMBEDDERS = {
    "bedrock": ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1", "cohere.embed-english-v3"),
    "cohere": ("embed-v4.0",),
    "gemini": ("gemini-embedding-001",),
    "openai": ("text-embedding-3-small",),
}

_KNOBS = frozenset({"temperature", "top_p", "top_k", "tool_choice", "n", "user"})
DIFFERENCES: tuple[dict[str, object], ...] = (
    {},
    *({"thinking": thinking} for thinking in Thinking),
    *({"structured_output": means} for means in StructuredOutput),
    {"structured_output": StructuredOutput.TOOL, "thinking": Thinking.LEVEL, "refuses": _KNOBS},
    {"thinking": Thinking.LEVEL, "thinking_off": "", "lacks_efforts": frozenset({"xhigh"})},
    {"accepts_system_prompt": False, "accepts_tool_call_ids": False},
    {"fetches": frozenset[str]()},
    {"refuses": _KNOBS},
)
"""What any dialect asks of a profile."""
OF_OPENAI: tuple[dict[str, object], ...] = (
    {"accepts_stream_options": False},
    {"accepts_unknown_fields": False},
    {"accepts_message_names": False, "accepts_developer_role": False},
    {"accepts_reasoning_object": True},
    {"renames": {"max_completion_tokens": "max_tokens", "seed": "random_seed"}},
    *({"earlier_thinking": form} for form in EarlierThinking),
    {"refuses": frozenset({*_KNOBS, "stop", "logit_bias", "logprobs", "top_logprobs", "metadata", "dimensions"})},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A loss, and who reported it."""

    owner: str
    loss: Loss


def losses() -> Iterator[Lost]:
    """Give what all requests lose at all targets."""
    for dialect in CALLABLE:
        for operation in (Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING):
            yield from (Lost(owner=dialect, loss=loss) for loss in _lost(dialect, operation))
    for chat in asked.chats():
        yield from (Lost(owner=BRIDGE, loss=loss) for loss in bridge.losses_of_chat(chat))
    for completion in asked.completions():
        yield from (Lost(owner=BRIDGE, loss=loss) for loss in bridge.losses_of_completion(completion))


def profiles(dialect: str) -> list[Profile]:
    """Give a host of a dialect, and hosts that differ from it in one capability each."""
    return [Profile(**difference) for difference in (*DIFFERENCES, *(OF_OPENAI if dialect == "openai" else ()))]


def catalogued(dialect: str) -> list[Profile]:
    """Give the hosts of the catalogue, each as it is for its models."""
    hosts = [host for provider in CATALOG.values() for host in (provider, *provider.variants.values())]
    return list({repr(host.profile): host.profile for host in hosts if host.dialect == dialect}.values())


def encoded_losses(half: Called, request: Request, model: str, profile: Profile) -> tuple[Loss, ...]:
    """Write a request as a call does, forced tools included, and give what is lost. Raises what the dialect raises."""
    match request:
        case ChatRequest() if needs_tool(request, profile.structured_output):
            forced = force(request)
            return forced.blamed(half.encode_request(forced.request, model, profile).losses)
        case _:
            return half.encode_request(request, model, profile).losses


def _lost(dialect: str, operation: Operation) -> Iterator[Loss]:
    try:
        half = called(dialect, operation)
    except UnsupportedFeature:
        return
    for request, model, profile in _asked(dialect, operation):
        # What is refused outright is told by that.
        with suppress(InvalidRequest, UnsupportedFeature):
            yield from encoded_losses(half, replace(request, model=model), model, profile)


def _asked(dialect: str, operation: Operation) -> Iterator[tuple[Request, str, Profile]]:
    made, known = profiles(dialect), catalogued(dialect)
    match operation:
        case Operation.EMBEDDING:
            yield from product(asked.embeddings(), EMBEDDERS.get(dialect, ()), (*made, *known))
        case Operation.COMPLETION:
            yield from product(asked.completions(), MODELS[dialect], (*made, *known))
        case _:
            first, *others = MODELS[dialect]
            yield from product(asked.chats(), [first], made)
            yield from product(asked.chats(), others, made[:6])
            yield from product(asked.brief(), [first], known)
