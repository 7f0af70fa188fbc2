"""Requests for the tests of this folder, and what is written for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest, Message, TextPart
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.bedrock import CALLED

STAMP = Stamp(id="s7", created_at=1_700_000_000)
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-lite-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
GPT = "openai.gpt-oss-120b-1:0"
CHAT = CALLED[Operation.CHAT]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A written request."""

    path: str
    body: Json
    losses: dict[str, str]
    """Field to reason."""


def user(text: str) -> Message:
    """Make a user's turn."""
    return Message(role="user", content=(TextPart(text=text),))


def said(role: str, text: str, **more: Any) -> Message:
    """Make a turn of text."""
    return Message(role=role, content=(TextPart(text=text),), **more)


def sent(*messages: Message, model: str = CLAUDE, profile: Profile | None = None, **request: Any) -> Sent:
    """Write a request; without messages it says hi."""
    chat = ChatRequest(model="m", messages=messages or (user("hi"),), **request)
    encoded = CHAT.encode_request(chat, model, profile or Profile())
    losses = {loss.field: loss.reason for loss in encoded.losses}
    assert len(losses) == len(encoded.losses)
    return Sent(encoded.path, msgspec.json.decode(encoded.body), losses)
