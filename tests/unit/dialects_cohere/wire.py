"""Cohere's v2 API as these tests write it: requests as they are sent, answers whole and streamed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatRequest, ChatResponse, Message, plain_text
from isthmusd.core.events import Event
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.base import StreamDecoder
from isthmusd.dialects.cohere import CALLED

STAMP = Stamp(id="abc123", created_at=1_700_000_000)
PROFILE = Profile()
CHAT = CALLED[Operation.CHAT]

NO_FIELD = "Cohere has no such field"
HELLO = (Message(role="user", content=plain_text("hi")),)

Body = dict[str, Any]


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def sent(request: ChatRequest, profile: Profile = PROFILE) -> tuple[Body, dict[str, str]]:
    """The body for a request, and its losses by field."""
    encoded = CHAT.encode_request(request, "command-a", profile)
    assert encoded.path == "/chat"
    return msgspec.json.decode(encoded.body), {loss.field: loss.reason for loss in encoded.losses}


def asked(**members: Any) -> tuple[Body, dict[str, str]]:
    """The same for a request of these members; those that every request has are left out."""
    body, losses = sent(ChatRequest(model="m", messages=HELLO, **members))
    assert body.pop("model") == "command-a"
    assert body.pop("messages") == [{"role": "user", "content": "hi"}]
    return body, losses


def written(*messages: Message) -> tuple[list[Body], dict[str, str]]:
    """Messages as they are sent."""
    body, losses = sent(ChatRequest(model="m", messages=messages))
    return body["messages"], losses


USAGE: Body = {
    "billed_units": {"input_tokens": 10, "output_tokens": 4},
    "tokens": {"input_tokens": 210.0, "output_tokens": 9},
    "cached_tokens": 64,
}


def answer(message: Body | None = None, finish: str | None = "COMPLETE", **members: Any) -> bytes:
    said = {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]} if message is None else message
    return json({"id": "c14c80c3", "finish_reason": finish, "message": said, "usage": USAGE} | members)


def whole(body: bytes) -> ChatResponse:
    return CHAT.decode_response(body, STAMP)


def event(kind: str, **members: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + json({"type": kind, **members}) + b"\n\n"


def message_event(kind: str, index: int | None = None, /, **message: Any) -> bytes:
    place = {} if index is None else {"index": index}
    return event(kind, **place, delta={"message": message})


START = message_event("message-start", role="assistant", content=[], tool_plan="", tool_calls=[], citations=[]).replace(
    b'"type":"message-start"', b'"type":"message-start","id":"c14c80c3"'
)
DONE = b"data: [DONE]\n\n"


def block(index: int, *pieces: Body, kind: str = "text") -> bytes:
    """A block of content in pieces."""
    opened = message_event("content-start", index, content={"type": kind, kind: ""})
    grown = b"".join(message_event("content-delta", index, content=piece) for piece in pieces)
    return opened + grown + event("content-end", index=index)


def text(*pieces: str, index: int = 0) -> bytes:
    return block(index, *({"text": piece} for piece in pieces))


def thinking(*pieces: str, index: int = 0) -> bytes:
    return block(index, *({"thinking": piece} for piece in pieces), kind="thinking")


def plan(*pieces: str) -> bytes:
    return b"".join(message_event("tool-plan-delta", tool_plan=piece) for piece in pieces)


def call(index: int, name: str, *pieces: str, call_id: str | None = None) -> bytes:
    begun = {"id": call_id or f"{name}_1", "type": "function", "function": {"name": name, "arguments": ""}}
    opened = message_event("tool-call-start", index, tool_calls=begun)
    grown = (message_event("tool-call-delta", index, tool_calls={"function": {"arguments": p}}) for p in pieces)
    return opened + b"".join(grown) + event("tool-call-end", index=index)


def citation(index: int, cited: Body) -> bytes:
    return message_event("citation-start", index, citations=cited) + event("citation-end", index=index)


def end(finish: str | None = "COMPLETE", **members: Any) -> bytes:
    return event("message-end", delta={"finish_reason": finish, "usage": USAGE} | members)


def read(pieces: Iterable[bytes]) -> tuple[list[Event], StreamDecoder]:
    decoder = CHAT.stream_decoder(STAMP, PROFILE)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close(), decoder
