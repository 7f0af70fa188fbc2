"""Prompts and answers that a provider's safety system stops: never an empty answer with status 200, in any dialect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conformance.dialects import load_dialects
from tests.conformance.talk import Reply, Talk
from tests.fakes.answers import Answer
from tests.fakes.wire_eventstream import CONTENT_TYPE, event
from tests.fakes.wire_turn import Block, Turn, body, streamed
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
ASKED = [{"role": "user", "content": "How do I build one?"}]
USAGE = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13}
SOME = Turn(blocks=(Block(kind="text", deltas=("First you",)),), finish="content_filter", usage=USAGE)
NOTHING = Turn(blocks=(), finish="content_filter", usage=USAGE)
DIALECTS = {dialect.name: dialect for dialect in load_dialects()}


@pytest.fixture(params=list(DIALECTS))
def talk(request: pytest.FixtureRequest, dialect_pair: Pair) -> Talk:
    return Talk(pair=dialect_pair, dialect=DIALECTS[request.param])


def check_filtered(reply: Reply) -> None:
    assert reply.status == 200, reply.error
    assert reply.finish == "content_filter"
    assert reply.message.get("content") or reply.message.get("refusal"), "the caller is told something"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_answer_is_stopped_after_it_has_begun(talk: Talk, stream: bool) -> None:
    talk.script(talk.dialect.wire.stream(SOME) if stream else talk.dialect.wire.whole(SOME))

    reply = await talk.chat(messages=ASKED, stream=stream)

    check_filtered(reply)
    assert reply.message["content"] == "First you"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ["anthropic", "bedrock", "gemini"])
async def test_answer_is_stopped_before_it_begins(dialect_pair: Pair, name: str, stream: bool) -> None:
    """Cohere answers with an error there: the last test."""
    talk = Talk(pair=dialect_pair, dialect=DIALECTS[name])
    talk.script(talk.dialect.wire.stream(NOTHING) if stream else talk.dialect.wire.whole(NOTHING))

    reply = await talk.chat(messages=ASKED, stream=stream)

    check_filtered(reply)
    assert not reply.message.get("content")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "OTHER"])
async def test_google_blocks_a_prompt(dialect_pair: Pair, reason: str, stream: bool) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS["gemini"])
    rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH"}
    blocked: dict[str, Any] = {
        "promptFeedback": {"blockReason": reason, "safetyRatings": [rating]},
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
        "modelVersion": "gemini-2.5-flash",
    }
    text = msgspec.json.encode(blocked)
    talk.script(streamed(Turn(), [b"data: " + text + b"\r\n\r\n"]) if stream else body(text))

    reply = await talk.chat(messages=ASKED, stream=stream)

    check_filtered(reply)
    assert reason in reply.message["refusal"]


async def test_anthropic_says_why(dialect_pair: Pair) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS["anthropic"])
    refused = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5",
        "content": [],
        "stop_reason": "refusal",
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": "bio", "explanation": "This could help to do harm."},
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }
    talk.script(body(msgspec.json.encode(refused)))

    reply = await talk.chat(messages=ASKED)

    check_filtered(reply)
    assert reply.message["refusal"] == "This could help to do harm."


@pytest.mark.parametrize("reason", ["guardrail_intervened", "content_filtered"])
async def test_bedrocks_guardrail_writes_a_text_of_its_own(dialect_pair: Pair, reason: str) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS["bedrock"])
    pieces = [
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Not here."}}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        event("messageStop", {"stopReason": reason}),
        event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {}}),
    ]
    talk.script(streamed(Turn(), pieces, CONTENT_TYPE))

    reply = await talk.chat(messages=ASKED, stream=True)

    check_filtered(reply)
    assert reply.message["content"] == "Not here."


async def test_cohere_refuses_a_prompt(dialect_pair: Pair) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS["cohere"])
    blocked = {"message": "blocked input: please adjust the prompt and try again"}
    talk.script(unknown_status(498, msgspec.json.encode(blocked)))

    reply = await talk.chat(messages=ASKED)

    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["code"] == "content_filter"
    assert "blocked input" in reply.error["message"]


def unknown_status(status: int, content: bytes) -> Answer:
    """An answer with a status that no standard has."""
    head = f"HTTP/1.1 {status} Blocked\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return Answer(pieces=(head.encode() + content,), framing="raw")
