"""Requests in OpenAI's format, as callers write them, and what is sent for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest, Message, TextPart
from isthmusd.core.profile import Profile, Thinking
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED
from isthmusd.dialects.openai import SERVED

STAMP = Stamp(id="abc123", created_at=1_700_000_000)
BUDGET = Profile()
LEVEL = replace(BUDGET, thinking=Thinking.LEVEL)
USER = {"role": "user", "content": "Hi"}
HI = Message(role="user", content=(TextPart(text="Hi"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    body: dict[str, Any]
    headers: dict[str, str]
    losses: list[str]
    """Fields of the losses."""
    text: str


def send(request: ChatRequest, profile: Profile = BUDGET) -> Sent:
    """Encode a canonical request."""
    encoded = CALLED[Operation.CHAT].encode_request(request, "claude-x", profile)
    assert encoded.path == "/messages"
    assert all(loss.reason for loss in encoded.losses)
    return Sent(
        body=msgspec.json.decode(encoded.body),
        headers=dict(encoded.headers),
        losses=[loss.field for loss in encoded.losses],
        text=encoded.body.decode(),
    )


def ask(profile: Profile = BUDGET, **members: Any) -> Sent:
    """Encode a request that a caller wrote; a user's greeting unless it brings messages."""
    body = {"model": "m", "messages": [USER], **members}
    return send(SERVED[Operation.CHAT].decode_request(msgspec.json.encode(body)), profile)


def turns(*messages: dict[str, Any], profile: Profile = BUDGET) -> Sent:
    """Encode a conversation that a caller wrote."""
    return ask(profile, messages=list(messages))
