"""The chat request. Messages are `messages.py`, tools `tools.py`, the knobs `sampling.py`, thinking `thinking.py`.

Source: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from isthmusd.core.chat import ChatRequest
from isthmusd.core.profile import Profile, Thinking
from isthmusd.core.request import Loss
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.cohere.losses import lose, lose_extra, native_members
from isthmusd.dialects.cohere.messages import encode_messages
from isthmusd.dialects.cohere.sampling import encode_sampling
from isthmusd.dialects.cohere.thinking import encode_thinking, is_off
from isthmusd.dialects.cohere.tools import encode_response_format, encode_tool_use
from isthmusd.framing.fields import drop_none

PATH = "/chat"

NATIVE = frozenset(
    {"citation_options", "documents", "k", "p", "priority", "safety_mode", "stop_sequences", "strict_tools", "thinking"}
)
"""Cohere's own members, sent as the caller wrote them."""

_UNSENT: dict[str, Callable[[ChatRequest], bool]] = {
    "parallel_tool_calls": lambda request: request.parallel_tool_calls is not False,
    "verbosity": lambda request: request.verbosity in (None, "medium"),
    "user": lambda request: request.user is None,
    "metadata": lambda request: not request.metadata,
    "store": lambda request: not request.store,
    "service_tier": lambda request: request.service_tier in (None, "auto", "default"),
    "modalities": lambda request: request.modalities in (None, ("text",)),
    "audio": lambda request: request.audio is None,
    "prediction": lambda request: request.prediction is None,
}
"""Fields that Cohere has nothing for, each with whether the request asks for no more than what Cohere does anyway."""


def encode_chat_request(request: ChatRequest, model: str, profile: Profile) -> Encoded:
    """Write a chat request for the upstream model name `model`."""
    losses: list[Loss] = []
    native = native_members(request.extra, NATIVE)
    names = {name for name, _ in native}
    thinking = dict(native).get("thinking") or encode_thinking(request, profile, losses)
    thinks = profile.thinking is not Thinking.NONE and not is_off(thinking)
    members = {
        "model": model,
        "messages": encode_messages(request.messages, thinks, losses),
        **encode_sampling(request.sampling, names, losses),
        **encode_tool_use(request, losses),
        "response_format": encode_response_format(request, "documents" in names, losses),
        "thinking": thinking,
        "stream": request.stream or None,
    }
    for field, is_default in _UNSENT.items():
        if not is_default(request):
            lose(losses, field)
    if "thinking" in names and request.reasoning is not None and request.reasoning.effort is not None:
        lose(losses, "reasoning_effort", "'thinking' says it in Cohere's own words")
    lose_extra(losses, request.extra, known=NATIVE)
    # What the caller says in Cohere's own words counts more than what was made of OpenAI's.
    written = drop_none(members) | {name: msgspec.Raw(text) for name, text in native}
    return Encoded(path=PATH, body=msgspec.json.encode(written), losses=tuple(losses))
