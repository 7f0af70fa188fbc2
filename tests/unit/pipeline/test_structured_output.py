"""Structured output at targets that have no field for it: a tool's call is asked for, and text is given back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.call import Stamp
from isthmusd.core.profile import Profile, Provider, StructuredOutput
from isthmusd.core.request import Inbound, Operation
from isthmusd.core.routing import Target
from isthmusd.dialects.registry import served
from isthmusd.pipeline.exchange import Exchange, exchange_for

from tests.unit.pipeline.gateway import DONE, chat_answer, chat_request, event

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def exchange(body: bytes, structured: StructuredOutput = StructuredOutput.TOOL) -> Exchange:
    provider = Provider(name="p", base_url="http://p/v1", profile=Profile(structured_output=structured))
    peeked = served("openai", Operation.CHAT).peek(body)
    inbound = Inbound(operation=Operation.CHAT, dialect="openai", body=body, peeked=peeked)
    return exchange_for(inbound, Target(provider=provider, model="tiny"), Stamp(id="s", created_at=1))


def sent(made: Exchange) -> Any:
    return msgspec.json.decode(made.encoded[0].body)


def call(arguments: str, name: str = "thing", index: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": f"c{index}", "type": "function", "function": function}


def test_the_format_goes_as_a_tool_and_its_call_comes_back_as_text() -> None:
    made = exchange(chat_request(response_format=FORMAT))

    asked = sent(made)
    assert "response_format" not in asked
    assert asked["tools"][0]["function"]["parameters"] == SCHEMA
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "thing"}}
    assert made.losses == ()

    message = {"role": "assistant", "content": "Sure:", "tool_calls": [call('{"a":1}')]}
    body = chat_answer(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])
    choice = msgspec.json.decode(made.read([body]).body)["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": '{"a":1}', "refusal": None}
    assert choice["finish_reason"] == "stop"


def test_beside_tools_of_the_caller() -> None:
    asked = sent(exchange(chat_request(response_format={"type": "json_object"}, tools=TOOLS)))

    assert [tool["function"]["name"] for tool in asked["tools"]] == ["look_up", "answer"]
    assert asked["tool_choice"] == "required"


def test_a_stream_of_the_call_is_a_stream_of_text() -> None:
    made = exchange(chat_request(response_format=FORMAT, stream=True))
    relay = made.relay()

    pieces = [
        relay.feed(event({"role": "assistant", "tool_calls": [call("")]})),
        relay.feed(event({"tool_calls": [call('{"a"')]}) + event({"tool_calls": [call(":1}")]})),
        relay.feed(event({}, "tool_calls") + DONE),
    ]

    chunks = [line[6:] for line in b"".join(filter(None, pieces)).splitlines() if line.startswith(b"data: {")]
    choices = [msgspec.json.decode(chunk)["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == '{"a":1}'
    assert not any("tool_calls" in choice["delta"] for choice in choices)
    assert choices[-1]["finish_reason"] == "stop"
    assert relay.ended


def test_a_target_that_answers_a_stream_whole_is_read_the_same() -> None:
    made = exchange(chat_request(response_format=FORMAT, stream=True))
    message = {"role": "assistant", "content": None, "tool_calls": [call('{"a":1}')]}

    replayed = made.replay([chat_answer(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])])

    assert b'"content":"{\\"a\\":1}"' in replayed
    assert b"tool_calls" not in replayed


@pytest.mark.parametrize(
    ("members", "structured"),
    [({}, StructuredOutput.TOOL), ({"response_format": FORMAT}, StructuredOutput.NATIVE)],
)
def test_bytes_pass_where_nothing_must_be_forced(members: dict[str, Any], structured: StructuredOutput) -> None:
    made = exchange(chat_request(**members), structured)

    assert sent(made) == msgspec.json.decode(chat_request(**members)) | {"model": "tiny"}
    assert made.read([b'{"whatever":  1}']).body == b'{"whatever":  1}'


def test_plain_text_is_asked_for_as_it_was() -> None:
    made = exchange(chat_request(response_format={"type": "text"}))

    assert sent(made)["response_format"] == {"type": "text"}
    assert msgspec.json.decode(made.read([chat_answer()]).body) == msgspec.json.decode(chat_answer()) | {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ]
    }


def test_a_target_that_does_not_name_its_model_has_the_one_that_was_asked() -> None:
    whole = exchange(chat_request(response_format=FORMAT))
    streamed = exchange(chat_request(response_format=FORMAT, stream=True)).relay()
    nameless = event({"role": "assistant", "content": "hi"}).replace(b'"model":"gpt-1"', b'"model":""')

    answered = msgspec.json.decode(whole.read([chat_answer(model="")]).body)

    assert answered["model"] == "tiny"
    assert b'"model":"tiny"' in (streamed.feed(nameless + event({}, "stop") + DONE) or b"")
