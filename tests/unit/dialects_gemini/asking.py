"""Requests of OpenAI's callers, as the gemini dialect writes them. No tests here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects import gemini, openai

CHAT = gemini.CALLED[Operation.CHAT]
EMBEDDING = gemini.CALLED[Operation.EMBEDDING]
STAMP = Stamp(id="0st4mp", created_at=1_700_000_000)
MODEL = "gemini-2.5-flash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What goes to Google."""

    path: str
    body: dict[str, Any]
    losses: tuple[str, ...]
    """Fields only."""


def read(**members: Any) -> ChatRequest:
    """Read a request that a caller of OpenAI's API would send."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    return openai.SERVED[Operation.CHAT].decode_request(msgspec.json.encode(body))


def send(request: ChatRequest, model: str = MODEL, profile: Profile | None = None) -> Sent:
    """Write a canonical request."""
    encoded = CHAT.encode_request(request, model, profile or Profile())
    losses = tuple(loss.field for loss in encoded.losses)
    return Sent(path=encoded.path, body=msgspec.json.decode(encoded.body), losses=losses)


def asked(**members: Any) -> Sent:
    """Write a caller's request for a model that demands nothing."""
    return send(read(**members))


def turns(*messages: dict[str, Any]) -> Sent:
    """Write a caller's messages."""
    return asked(messages=list(messages))
