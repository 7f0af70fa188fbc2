"""Answers in the words of Anthropic and Google, whole and streamed, with what only those providers have. Written by
hand, for tests that look at single members; the corpus has converters (`tests/fakes/wire_*.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tests.fakes.answers import Answer
from tests.fakes.wire_turn import body

Json = dict[str, Any]


def sse(*events: Json, named: bool) -> Answer:
    written = [
        (b"event: " + event["type"].encode() + b"\n" if named else b"")
        + b"data: "
        + msgspec.json.encode(event)
        + b"\n\n"
        for event in events
    ]
    return Answer(headers=(("content-type", "text/event-stream"),), pieces=tuple(written), framing="chunked")


CLAUDE_USAGE = {
    "input_tokens": 5,
    "cache_read_input_tokens": 7,
    "cache_creation_input_tokens": 11,
    "output_tokens": 13,
    "service_tier": "priority",
}
CLAUDE_BLOCKS: list[Json] = [
    {"type": "thinking", "thinking": "Two towns.", "signature": "c2lnbmVk"},
    {"type": "redacted_thinking", "data": "aGlkZGVu"},
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
    {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {"city": "Oslo"}},
]


def claude(blocks: list[Json], stop: str, *, stream: bool) -> Answer:
    """What Anthropic answers."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    head = {**message, "stop_reason": None, "stop_sequence": None, "usage": CLAUDE_USAGE}
    if not stream:
        return body(msgspec.json.encode({**head, "content": blocks, "stop_reason": stop}))
    events: list[Json] = [{"type": "message_start", "message": head}]
    for index, block in enumerate(blocks):
        events += _block_events(index, block)
    delta = {"stop_reason": stop, "stop_sequence": None}
    events += [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 13}}, {"type": "message_stop"}]
    return sse(*events, named=True)


def _block_events(index: int, block: Json) -> Iterator[Json]:
    deltas: Mapping[str, list[Json]] = {
        "text": [{"type": "text_delta", "text": block.get("text")}],
        "thinking": [
            {"type": "thinking_delta", "thinking": block.get("thinking")},
            {"type": "signature_delta", "signature": block.get("signature")},
        ],
        "tool_use": [{"type": "input_json_delta", "partial_json": msgspec.json.encode(block.get("input")).decode()}],
    }
    empty = {"text": "", "thinking": "", "signature": "", "input": {}}
    begun = block if block["type"] == "redacted_thinking" else {k: empty.get(k, v) for k, v in block.items()}
    yield {"type": "content_block_start", "index": index, "content_block": begun | {"type": block["type"]}}
    for delta in deltas.get(block["type"], []):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def gemini(parts: list[Json], *, stream: bool, finish: str = "STOP", **candidate: Any) -> Answer:
    """What Google answers."""
    usage = {
        "promptTokenCount": 5,
        "cachedContentTokenCount": 3,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 11,
        "totalTokenCount": 23,
    }
    told = {"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": finish, **candidate}
    answer = {"candidates": [told], "modelVersion": "gemini-2.5-flash", "responseId": "r1", "usageMetadata": usage}
    return sse(answer, named=False) if stream else body(msgspec.json.encode(answer))
