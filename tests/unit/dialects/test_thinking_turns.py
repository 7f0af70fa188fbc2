"""Thinking with tools over several turns: what Anthropic streams comes back to it unchanged, though the caller only
knows OpenAI's client library."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, served
from isthmusd.dialects.translation import Translation
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

STAMP = Stamp(id="abc", created_at=7)
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "I must look.", "signature": "c2lnbmVk"},
    {"type": "redacted_thinking", "data": "c2VjcmV0"},
    {"type": "text", "text": "Looking."},
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"where": "here"}},
]
WHOLE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 5},
}
STREAM: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**WHOLE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "I must "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "look."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmVk"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": BLOCKS[1]},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Looking."}},
    {"type": "content_block_stop", "index": 2},
    {"type": "content_block_start", "index": 3, "content_block": {**BLOCKS[3], "input": {}}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": '{"where":'}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": '"here"}'}},
    {"type": "content_block_stop", "index": 3},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
QUESTION: dict[str, Any] = {"role": "user", "content": "What is here?"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def streamed() -> dict[str, Any]:
    decoder = called("anthropic", Operation.CHAT).stream_decoder(STAMP, Profile())
    relay = Translation(decoder, served("openai", Operation.CHAT).stream_encoder(STAMP, False))
    told = b""
    for event in STREAM:
        told += (
            relay.feed(f"event: {event['type']}\n".encode() + b"data: " + msgspec.json.encode(event) + b"\n\n") or b""
        )
    assert relay.failure is None
    state = ChatCompletionStreamState()
    for line in told.split(b"\n\n"):
        if line and line != b"data: [DONE]":
            state.handle_chunk(ChatCompletionChunk.model_validate_json(line[6:]))
    return state.get_final_completion().choices[0].message.model_dump()


def whole() -> dict[str, Any]:
    response = called("anthropic", Operation.CHAT).decode_response(msgspec.json.encode(WHOLE), STAMP)
    told = served("openai", Operation.CHAT).encode_response(response)
    return ChatCompletion.model_validate_json(told).choices[0].message.model_dump()


@pytest.mark.parametrize("answer", [streamed, whole])
def test_the_next_turn_carries_what_the_model_thought(answer: Any) -> None:
    message = answer()
    assert message["reasoning_content"] == "I must look."
    body = {
        "model": "claude",
        "tools": TOOLS,
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [QUESTION, message, {"role": "tool", "tool_call_id": "toolu_1", "content": "a door"}],
    }

    request = served("openai", Operation.CHAT).decode_request(msgspec.json.encode(body))
    encoded = called("anthropic", Operation.CHAT).encode_request(request, "claude", Profile())

    sent = msgspec.json.decode(encoded.body)
    assert sent["messages"][1] == {"role": "assistant", "content": BLOCKS}
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert encoded.losses == ()
