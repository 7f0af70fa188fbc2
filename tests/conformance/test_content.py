"""What messages are made of, through Envoy to a provider of each dialect: parallel tools and their results, images and
documents, answers in JSON. Thinking, refusals and failures have files of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conformance.dialects import Dialect, load_dialects
from tests.conformance.talk import Reply, Talk
from tests.fakes.answers import Answer
from tests.fakes.wire_turn import Block, Turn, body
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcfsj6IKMSAwIG9iago8PD4+CmVuZG9iago="
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current temperature.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS = (
    Block(kind="call", id="call_1", name="get_weather", deltas=('{"ci', 'ty":', '"Zürich"}')),
    Block(kind="call", id="call_2", name="get_weather", deltas=('{"city":"', '東京"}')),
)
ASKED = [{"role": "user", "content": "How warm is it in Zürich and in Tokyo?"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
FACTS = '{"city":"Zürich","degrees":14}'


@pytest.fixture(params=load_dialects(), ids=lambda dialect: dialect.name)
def talk(request: pytest.FixtureRequest, dialect_pair: Pair) -> Talk:
    return Talk(pair=dialect_pair, dialect=request.param)


def answer(dialect: Dialect, turn: Turn, *, stream: bool) -> Answer:
    return dialect.wire.stream(turn) if stream else dialect.wire.whole(turn)


def calls_of(reply: Reply) -> list[tuple[str, str, Any]]:
    return [
        (call["id"], call["function"]["name"], msgspec.json.decode(call["function"]["arguments"]))
        for call in reply.message["tool_calls"]
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_parallel_calls_and_their_results(talk: Talk, stream: bool) -> None:
    said = Block(kind="text", deltas=("I look ", "twice."))
    talk.script(answer(talk.dialect, Turn(blocks=(said, *CALLS), finish="tool_calls", usage=USAGE), stream=stream))

    first = await talk.chat(messages=ASKED, tools=[WEATHER], stream=stream)

    assert first.finish == "tool_calls"
    assert first.message["content"] == "I look twice."
    assert calls_of(first) == [
        ("call_1", "get_weather", {"city": "Zürich"}),
        ("call_2", "get_weather", {"city": "東京"}),
    ]
    assert first.usage is not None
    assert first.usage["total_tokens"] == 19

    done = Turn(blocks=(Block(kind="text", deltas=("14 °C", " and 19 °C.")),), usage=USAGE)
    talk.script(answer(talk.dialect, done, stream=stream))
    # Out of order: a provider must get each result at its call.
    results = [
        {"role": "tool", "tool_call_id": "call_2", "content": "19 °C"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "14 °C"}]},
    ]

    second = await talk.chat(messages=[*ASKED, first.message, *results], tools=[WEATHER], stream=stream)

    assert second.message["content"] == "14 °C and 19 °C."
    assert second.finish == "stop"
    user, assistant, told = talk.asked().turns
    assert user == ("user", [("text", ASKED[0]["content"])])
    assert assistant == (
        "assistant",
        [
            ("text", "I look twice."),
            ("call", "call_1", "get_weather", {"city": "Zürich"}),
            ("call", "call_2", "get_weather", {"city": "東京"}),
        ],
    )
    assert told[0] == "user"
    assert sorted(told[1]) == [("result", "call_1", "14 °C"), ("result", "call_2", "19 °C")]


async def test_image_and_document_arrive_as_they_were_sent(talk: Talk) -> None:
    talk.script(talk.dialect.wire.whole(Turn(blocks=(Block(kind="text", deltas=("Seen.",)),), usage=USAGE)))
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    document = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}
    texts = [{"type": "text", "text": "Compare"}, {"type": "text", "text": "these."}]

    reply = await talk.chat(messages=[{"role": "user", "content": [texts[0], image, document, texts[1]]}])

    assert reply.message["content"] == "Seen."
    lost = reply.headers.get("x-isthmus-losses", "")
    wanted = [("text", "Compare"), ("image", "image/png", PNG), ("file", "application/pdf", PDF), ("text", "these.")]
    if "messages[0].content[2]" in lost:
        assert talk.dialect.name == "cohere", "only Cohere's chat takes no documents"
        del wanted[2]
    assert talk.asked().turns == [("user", wanted)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_answer_in_json(talk: Talk, stream: bool) -> None:
    forced = Block(kind="call", id="call_1", name="weather", deltas=(FACTS[:9], FACTS[9:]))
    plain = Block(kind="text", deltas=(FACTS[:9], FACTS[9:]))
    blocks = (forced if talk.dialect.forces_tool else plain,)
    finish = "tool_calls" if talk.dialect.forces_tool else "stop"
    talk.script(answer(talk.dialect, Turn(blocks=blocks, finish=finish, usage=USAGE), stream=stream))

    reply = await talk.chat(messages=ASKED, response_format=FORMAT, stream=stream)

    asked = talk.asked()
    if talk.dialect.forces_tool:
        assert asked.choice == "=weather"
        assert asked.tools["weather"]["parameters"] == SCHEMA
    else:
        assert asked.schema == SCHEMA
    assert reply.message["content"] == FACTS
    assert not reply.message.get("tool_calls")
    assert reply.finish == "stop"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_answer_in_json_of_a_model_without_a_field_for_it(dialect_pair: Pair, stream: bool) -> None:
    talk = Talk(pair=dialect_pair, dialect=next(one for one in load_dialects() if one.name == "anthropic"))
    forced = Block(kind="call", id="toolu_1", name="weather", deltas=(FACTS[:9], FACTS[9:]))
    thought = Block(kind="text", deltas=("Here it is:",))
    turn = Turn(blocks=(thought, forced), finish="tool_calls", usage=USAGE)
    talk.script(answer(talk.dialect, turn, stream=stream))

    reply = await talk.chat("claude-3-7-sonnet-latest", messages=ASKED, response_format=FORMAT, stream=stream)

    assert talk.asked().choice == "=weather"
    assert reply.message["content"] == FACTS
    assert reply.finish == "stop"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_answer_in_json_beside_the_callers_own_tools(talk: Talk, stream: bool) -> None:
    turn = Turn(blocks=(CALLS[0],), finish="tool_calls", usage=USAGE)
    talk.script(answer(talk.dialect, turn, stream=stream))

    reply = await talk.chat(messages=ASKED, response_format=FORMAT, tools=[WEATHER], stream=stream)

    asked = talk.asked()
    # Cohere takes no schema beside tools.
    if talk.dialect.forces_tool or talk.dialect.name == "cohere":
        assert list(asked.tools) == ["get_weather", "weather"]
        assert asked.choice == "required"
    else:
        assert asked.schema == SCHEMA
    assert calls_of(reply) == [("call_1", "get_weather", {"city": "Zürich"})]
    assert reply.finish == "tool_calls"


async def test_several_answers_of_googles(dialect_pair: Pair) -> None:
    talk = Talk(pair=dialect_pair, dialect=next(one for one in load_dialects() if one.name == "gemini"))
    candidates = [
        {"index": place, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}
        for place, text in enumerate(("one", "two"))
    ]
    talk.script(body(msgspec.json.encode({"candidates": candidates, "modelVersion": "m", "responseId": "r"})))

    reply = await talk.chat(messages=ASKED, n=2)

    assert talk.asked().knobs["n"] == 2
    assert [choice["message"]["content"] for choice in reply.body["choices"]] == ["one", "two"]
