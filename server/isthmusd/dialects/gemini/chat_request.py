"""The generateContent request. Messages are `messages.py`, tools `tools.py`, knobs `generation.py`.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import ChatRequest
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.base import Encoded
from isthmusd.dialects.gemini.generation import encode_generation
from isthmusd.dialects.gemini.messages import encode_messages
from isthmusd.dialects.gemini.native import UNKNOWN, native_members
from isthmusd.dialects.gemini.paths import method_path
from isthmusd.dialects.gemini.tools import encode_tools
from isthmusd.framing.fields import drop_none

_STANDARD = "standard"
_TIERS = {"default": _STANDARD, "standard": _STANDARD, "flex": "flex", "priority": "priority"}


def chat_path(model: str, stream: bool) -> str:
    """Give the method's path. Without `alt=sse` a stream is one JSON array."""
    return method_path(model, "streamGenerateContent?alt=sse" if stream else "generateContent")


def encode_chat_request(request: ChatRequest, model: str, profile: Profile) -> Encoded:
    """Write a chat request for the upstream model name `model`."""
    losses: list[Loss] = []
    native = native_members(request.extra, losses)
    conversation = encode_messages(request.messages, model, profile, losses)
    tools = encode_tools(request, native, losses)
    tier = _tier(request.service_tier, losses)
    members = {
        "systemInstruction": conversation.system,
        "contents": conversation.contents,
        "tools": tools.tools,
        "toolConfig": tools.config,
        "generationConfig": encode_generation(request, model, profile, native, losses) or None,
        "serviceTier": tier if profile.tier_header is None else None,
        **native.top,
    }
    lost = {
        "verbosity": None if request.verbosity == "medium" else request.verbosity,
        "user": request.user,
        "metadata": request.metadata or None,
        "store": request.store or None,
        "prediction": request.prediction,
    }
    losses += [Loss(field=name, reason=UNKNOWN) for name, value in lost.items() if value is not None]
    body = msgspec.json.encode(drop_none(members))
    headers = () if profile.tier_header is None or tier in (None, _STANDARD) else ((profile.tier_header, tier),)
    return Encoded(path=chat_path(model, request.stream), body=body, headers=headers, losses=tuple(losses))


def _tier(tier: str | None, losses: list[Loss]) -> str | None:
    if tier is None or tier == "auto":
        return None
    if tier not in _TIERS:
        losses.append(Loss(field="service_tier", reason="Gemini has no such tier"))
    return _TIERS.get(tier)
