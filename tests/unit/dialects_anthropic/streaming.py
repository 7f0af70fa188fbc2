"""Anthropic's side of a stream: the events that a whole message is sent as.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from isthmusd.core.errors import UpstreamError
from isthmusd.core.events import Event
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED

from tests.unit.dialects_anthropic.sent import STAMP

PIECE = 3
"""Characters per delta."""


def event(kind: str, **members: Any) -> bytes:
    """Write one event."""
    data = msgspec.json.encode({"type": kind, **members})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def message(*content: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Give a whole message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        **members,
    }


def streamed(whole: dict[str, Any]) -> bytes:
    """Write the stream of a message."""
    late = ("stop_reason", "stop_sequence", "stop_details", "container")
    first = {**whole, "content": [], **{name: None for name in late if name in whole}}
    first["usage"] = {**whole.get("usage", {}), "output_tokens": 1}
    events = [event("message_start", message=first), event("ping")]
    for index, block in enumerate(whole["content"]):
        events += _block(index, block)
    delta = {name: whole[name] for name in late if name in whole}
    events += [event("message_delta", delta=delta, usage=whole.get("usage", {})), event("message_stop")]
    return b"".join(events)


def read(body: bytes, step: int | None = None) -> tuple[list[Event], UpstreamError | None]:
    """Decode a stream, fed in pieces of `step` bytes."""
    decoder = CALLED[Operation.CHAT].stream_decoder(STAMP, Profile())
    events: list[Event] = []
    for start in range(0, len(body), step or len(body) or 1):
        events += decoder.feed(body[start : start + (step or len(body))])
    return events + decoder.close(), decoder.failure


def _block(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    def delta(kind: str, **members: Any) -> bytes:
        return event("content_block_delta", index=index, delta={"type": kind, **members})

    opened, deltas = block, list[bytes]()
    match block:
        case {"type": "text", "text": text, **rest}:
            opened = {"type": "text", "text": ""} | ({"citations": []} if "citations" in rest else {})
            deltas = [delta("citations_delta", citation=citation) for citation in rest.get("citations") or []]
            deltas += [delta("text_delta", text=piece) for piece in _pieces(text)]
        case {"type": "thinking", "thinking": thinking, "signature": signature}:
            opened = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [delta("thinking_delta", thinking=piece) for piece in _pieces(thinking)]
            deltas += [delta("signature_delta", signature=signature)]
        case {"type": "tool_use" | "server_tool_use", "input": arguments}:
            opened = {**block, "input": {}}
            written = msgspec.json.encode(arguments).decode() if arguments else ""
            deltas = [delta("input_json_delta", partial_json=piece) for piece in ["", *_pieces(written)]]
        case _:
            pass
    yield event("content_block_start", index=index, content_block=opened)
    yield from deltas
    yield event("content_block_stop", index=index)


def _pieces(text: str) -> list[str]:
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
