"""What providers of other formats than OpenAI's do wrong, each in its own words: a typed error for the caller, never a
traceback, a hang or an answer that is no JSON. That talk goes on where a provider only says something new is here too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.dialects import load_dialects
from tests.conformance.talk import Talk
from tests.fakes.answers import Answer
from tests.fakes.wire_anthropic import sse as anthropic_sse
from tests.fakes.wire_cohere import sse as cohere_sse
from tests.fakes.wire_eventstream import event, exception, frame, spoiled
from tests.fakes.wire_gemini import sse as gemini_sse
from tests.fakes.wire_turn import Block, Problem, Turn, body
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
ASKED = [{"role": "user", "content": "Say hello."}]
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
HELLO = Turn(blocks=(Block(kind="text", deltas=("Hel", "lo")),), usage=USAGE)
BEGUN = replace(HELLO, finish=None, ends=False)
DIALECTS = {dialect.name: dialect for dialect in load_dialects()}

TOO_LONG: dict[str, tuple[int, str]] = {
    "anthropic": (400, "prompt is too long: 210032 tokens > 200000 maximum"),
    "gemini": (400, "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576)."),
    "bedrock": (400, "Input is too long for requested model."),
    "cohere": (400, "too many tokens: size limit exceeded by 12301 tokens. Try using shorter or fewer inputs."),
}
UNKNOWN_MODEL: dict[str, tuple[int, str]] = {
    "anthropic": (404, "model: claude-9"),
    "gemini": (404, "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent."),
    "bedrock": (400, "The provided model identifier is invalid."),
    "cohere": (404, "model 'command-9' not found, make sure the correct model ID was used"),
}
UNKNOWN_EVENTS: dict[str, bytes] = {
    "anthropic": anthropic_sse({"type": "weather_report", "index": 7, "sky": ["blue"]}),
    "gemini": gemini_sse({"weatherReport": {"sky": ["blue"]}}),
    "bedrock": event("weatherReport", {"sky": ["blue"]}) + frame(b"\x00\x01", {":message-type": "weather"}),
    "cohere": cohere_sse({"type": "weather-report", "index": 7, "delta": {"sky": ["blue"]}}),
}
WRONG_TYPES: dict[str, tuple[bytes, bytes]] = {
    "anthropic": (
        b'{"id":"m","type":"message","role":"assistant","model":"m","content":{"type":"text"},"usage":7}',
        anthropic_sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}}),
    ),
    "gemini": (
        b'{"candidates":{"content":"Hello"},"usageMetadata":[]}',
        gemini_sse({"candidates": [{"content": {"parts": [{"text": 7}]}}]}),
    ),
    "bedrock": (
        b'{"output":{"message":"Hello"},"stopReason":7,"usage":"much"}',
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": 7}}),
    ),
    "cohere": (
        b'{"id":"c","message":{"role":"assistant","content":7},"finish_reason":7}',
        cohere_sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": 7}}}}),
    ),
}
"""A whole answer, and an event."""


@pytest.fixture(params=list(DIALECTS))
def talk(request: pytest.FixtureRequest, dialect_pair: Pair) -> Talk:
    return Talk(pair=dialect_pair, dialect=DIALECTS[request.param])


def begun(talk: Talk, *more: bytes) -> Answer:
    """A stream that has begun to say hello, and goes on with something else."""
    answer = talk.dialect.wire.stream(BEGUN)
    return replace(answer, pieces=(*answer.pieces, *more))


def with_said(talk: Talk, stream: bool, status: int, message: str) -> Any:
    talk.script(talk.dialect.wire.problem(Problem(status=status, message=message)))
    return talk.chat(messages=ASKED, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_throttled_with_a_time_to_wait(talk: Talk, stream: bool) -> None:
    problem = Problem(status=429, message="Too many requests.", headers=(("retry-after", "9"),))
    talk.script(talk.dialect.wire.problem(problem))

    reply = await talk.chat(messages=ASKED, stream=stream)

    assert reply.status == 429
    assert reply.error is not None
    assert reply.error["code"] == "rate_limit_exceeded"
    assert float(reply.headers["retry-after"]) == 9
    assert reply.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_overloaded(talk: Talk, stream: bool) -> None:
    reply = await with_said(talk, stream, 503, "Overloaded")

    assert reply.status == 502
    assert reply.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_prompt_is_too_long_in_the_providers_words(talk: Talk, stream: bool) -> None:
    status, message = TOO_LONG[talk.dialect.name]

    reply = await with_said(talk, stream, status, message)

    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["code"] == "context_length_exceeded"
    assert message in reply.error["message"]


async def test_model_is_unknown_in_the_providers_words(talk: Talk) -> None:
    status, message = UNKNOWN_MODEL[talk.dialect.name]

    reply = await with_said(talk, False, status, message)

    assert reply.status == status
    assert reply.error is not None
    assert reply.error["code"] in ("model_not_found", "invalid_request")
    assert message in reply.error["message"]


async def test_overloaded_in_the_middle_of_a_stream(talk: Talk) -> None:
    turn = replace(BEGUN, trouble="error", says="Overloaded")
    talk.script(talk.dialect.wire.stream(turn))

    reply = await talk.chat(messages=ASKED, stream=True)

    assert reply.message["content"] == "Hello"
    assert reply.inband
    assert reply.error is not None
    assert reply.error["type"] == "upstream_error"
    assert reply.finish is None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [200, 502])
async def test_page_of_a_proxy_in_place_of_an_answer(talk: Talk, status: int, stream: bool) -> None:
    page = b"<!doctype html><html><body><h1>Bad Gateway</h1>nginx</body></html>"
    talk.script(Answer(status=status, headers=(("content-type", "text/html"),), pieces=(page,)))

    reply = await talk.chat(messages=ASKED, stream=stream)

    assert reply.status == 502
    assert reply.error is not None
    assert reply.error["type"] == "upstream_error"
    assert "nginx" not in reply.error["message"]


@pytest.mark.parametrize("cut", [1, 0.5, 0.99])
async def test_json_is_truncated(talk: Talk, cut: float) -> None:
    whole = b"".join(piece for piece in talk.dialect.wire.whole(HELLO).pieces if isinstance(piece, bytes))
    talk.script(body(whole[: int(cut * len(whole)) if cut < 1 else 1]))

    reply = await talk.chat(messages=ASKED)

    assert reply.status == 502
    assert reply.error is not None
    assert reply.error["code"] == "upstream_garbled"


@pytest.mark.parametrize("text", [b"null", b"[]", b"7", b'"Hello"', b"{}", b'{"message":7}'])
async def test_json_is_of_another_kind(talk: Talk, text: bytes) -> None:
    talk.script(body(text))

    reply = await talk.chat(messages=ASKED)

    assert reply.status == 502, reply.body
    assert reply.error is not None
    assert reply.error["type"] == "upstream_error"


async def test_members_are_of_another_type(talk: Talk) -> None:
    talk.script(body(WRONG_TYPES[talk.dialect.name][0]))

    reply = await talk.chat(messages=ASKED)

    assert reply.status == 502
    assert reply.error is not None
    assert reply.error["code"] == "upstream_garbled"


async def test_members_of_an_event_are_of_another_type(talk: Talk) -> None:
    talk.script(begun(talk, WRONG_TYPES[talk.dialect.name][1]))

    reply = await talk.chat(messages=ASKED, stream=True)

    assert reply.message["content"] == "Hello"
    assert reply.inband
    assert reply.error is not None
    assert reply.error["code"] == "upstream_garbled"


async def test_unknown_events_are_passed_over(talk: Talk) -> None:
    answer = talk.dialect.wire.stream(HELLO)
    new = UNKNOWN_EVENTS[talk.dialect.name]
    pieces = [part for piece in answer.pieces for part in (piece, new) if isinstance(piece, bytes)]
    # What follows the end is nobody's.
    talk.script(replace(answer, pieces=tuple(pieces[:-1])))

    reply = await talk.chat(messages=ASKED, stream=True)

    assert reply.error is None
    assert reply.message["content"] == "Hello"
    assert reply.finish == "stop"
    assert reply.usage is not None
    assert reply.usage["total_tokens"] == 8


async def test_bytes_in_any_pieces(talk: Talk) -> None:
    text = Turn(blocks=(Block(kind="text", deltas=("naïve ", "👩‍👩‍👧 ", "日本")),), usage=USAGE)
    answer = talk.dialect.wire.stream(text)
    content = b"".join(piece for piece in answer.pieces if isinstance(piece, bytes))
    talk.script(replace(answer, pieces=tuple(content[at : at + 1] for at in range(len(content)))))

    reply = await talk.chat(messages=ASKED, stream=True)

    assert reply.message["content"] == "naïve 👩‍👩‍👧 日本"
    assert reply.finish == "stop"


@pytest.mark.parametrize(
    "kind", ["throttlingException", "modelStreamErrorException", "internalServerException", "brandNewException"]
)
async def test_exception_of_bedrocks_in_the_middle_of_a_stream(dialect_pair: Pair, kind: str) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS["bedrock"])
    talk.script(begun(talk, exception(kind, "It broke.")))

    reply = await talk.chat(messages=ASKED, stream=True)

    assert reply.message["content"] == "Hello"
    assert reply.inband
    assert reply.error is not None


@pytest.mark.parametrize("place", ["first", "later"])
async def test_sum_of_a_message_is_wrong(dialect_pair: Pair, place: str) -> None:
    talk = Talk(pair=dialect_pair, dialect=DIALECTS["bedrock"])
    answer = talk.dialect.wire.stream(HELLO)
    at = 0 if place == "first" else 2
    pieces = [spoiled(piece) if number == at and isinstance(piece, bytes) else piece
              for number, piece in enumerate(answer.pieces)]  # fmt: skip
    talk.script(replace(answer, pieces=tuple(pieces)))

    reply = await talk.chat(messages=ASKED, stream=True)

    assert reply.error is not None
    assert reply.error["code"] == "upstream_garbled"
    assert reply.inband is (place == "later")
