"""An answer goes to a caller in OpenAI's format and comes back in the next turn: what Anthropic wants unchanged must
be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import ChatResponse
from isthmusd.core.collect import collect_chat
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED
from isthmusd.dialects.openai import SERVED

from tests.unit.dialects_anthropic.sent import STAMP, USER, ask
from tests.unit.dialects_anthropic.streaming import message, read, streamed

THINKING = {"type": "thinking", "thinking": "Let me see", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "eHl6"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
TEXT = {"type": "text", "text": "So:"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
RESULT = {"role": "tool", "tool_call_id": "toolu_1", "content": "1"}


def answered(response: ChatResponse) -> dict[str, Any]:
    """Give the message as a caller gets it."""
    return msgspec.json.decode(SERVED[Operation.CHAT].encode_response(response))["choices"][0]["message"]


@pytest.mark.parametrize(
    "blocks",
    [
        [TEXT, CALL],
        [THINKING, CALL],
        [THINKING, REDACTED, TEXT, CALL],
        [SEARCH, FOUND, TEXT, CALL],
        [THINKING, SEARCH, FOUND, TEXT, CALL],
    ],
)
@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_answer_comes_back_as_it_was(blocks: list[dict[str, Any]], way: str) -> None:
    body = message(*blocks, stop_reason="tool_use")
    if way == "whole":
        response = CALLED[Operation.CHAT].decode_response(msgspec.json.encode(body), STAMP)
    else:
        response = collect_chat(read(streamed(body))[0])

    sent = ask(messages=[USER, answered(response), RESULT], reasoning_effort="low")

    assert sent.body["messages"][1] == {"role": "assistant", "content": blocks}
    thinks = blocks[0] is THINKING
    assert ("thinking" in sent.body) is thinks
    assert sent.losses == ([] if thinks else ["reasoning_effort"])


def test_answer_with_text_around_its_thinking_is_one_text_for_callers() -> None:
    body = message(TEXT, THINKING, {"type": "text", "text": " done"})

    found = answered(CALLED[Operation.CHAT].decode_response(msgspec.json.encode(body), STAMP))

    assert found["content"] == "So: done"
