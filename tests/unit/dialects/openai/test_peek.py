"""Peeking: the few fields that decisions need, and which bodies are refused at once."""

from __future__ import annotations

import pytest
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.registry import served


def peek(body: str, operation: Operation = Operation.CHAT) -> Peeked:
    return served("openai", operation).peek(body.encode())


def test_the_deciding_fields_are_read() -> None:
    peeked = peek(
        '{"model":"gpt-4o","messages":[{}],"stream":true,"stream_options":{"include_usage":true,"x":1},'
        '"temperature":0,"seed":12345678901234567890123,"vendor":{"a":1}}'
    )

    assert (peeked.model, peeked.stream, peeked.include_usage) == ("gpt-4o", True, True)
    assert (peeked.temperature, peeked.seed) == (0, "12345678901234567890123")
    assert (peeked.has_messages, peeked.has_prompt) == (True, False)
    assert peeked.spans["model"] == (9, 17)


def test_absent_fields_have_their_defaults() -> None:
    peeked = peek('{"model":"m","messages":[1],"stream":null,"stream_options":null,"seed":null}')

    assert (peeked.stream, peeked.include_usage, peeked.temperature, peeked.seed) == (False, False, None, None)


@pytest.mark.parametrize("temperature", ["false", '"0"', "null", "[]"])
def test_only_a_number_is_a_temperature(temperature: str) -> None:
    assert peek(f'{{"model":"m","messages":[1],"temperature":{temperature}}}').temperature is None


@pytest.mark.parametrize("messages", ["{}", '"hi"', "[ 1 ]", "3"])
def test_what_messages_hold_is_the_providers_business(messages: str) -> None:
    assert peek(f'{{"model":"m","messages":{messages}}}').has_messages


@pytest.mark.parametrize("options", ["true", "[]", '"x"'])
def test_odd_stream_options_are_refused_since_we_act_on_them(options: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        peek(f'{{"model":"m","messages":[1],"stream_options":{options}}}')

    assert refused.value.param == "stream_options"


@pytest.mark.parametrize(
    ("body", "operation", "param"),
    [
        ('{"messages":[1]}', Operation.CHAT, "model"),
        ('{"model":null,"messages":[1]}', Operation.CHAT, "model"),
        ('{"model":7,"messages":[1]}', Operation.CHAT, "model"),
        ('{"model":" ","messages":[1]}', Operation.CHAT, "model"),
        ('{"model":"m","messages":[1],"stream":"yes"}', Operation.CHAT, "stream"),
        ('{"model":"m","messages":[1],"stream":1}', Operation.CHAT, "stream"),
        (
            '{"model":"m","messages":[1],"stream_options":{"include_usage":1}}',
            Operation.CHAT,
            "stream_options.include_usage",
        ),
        ('{"model":"m"}', Operation.CHAT, "messages"),
        ('{"model":"m","messages":null}', Operation.CHAT, "messages"),
        ('{"model":"m","messages":[]}', Operation.CHAT, "messages"),
        ('{"model":"m","messages":[ \\n ]}'.replace("\\n", "\n"), Operation.CHAT, "messages"),
        ('{"model":"m","messages":[1]}', Operation.COMPLETION, "prompt"),
        ('{"model":"m"}', Operation.EMBEDDING, "input"),
        ('{"model":"m","input":[]}', Operation.EMBEDDING, "input"),
        ('{"model":"m"}', Operation.AUTO, "messages"),
        ('{"model":"m","messages":[1],"prompt":"x"}', Operation.AUTO, "messages"),
        ('{"model":"m","prompt":[]}', Operation.AUTO, "prompt"),
        ('{"input":"x"}', Operation.RESPONSES, "model"),
    ],
)
def test_bodies_without_what_decides_are_refused_by_name(body: str, operation: Operation, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        peek(body, operation)

    assert caught.value.param == param


def test_an_empty_text_is_an_input() -> None:
    assert peek('{"model":"m","input":""}', Operation.EMBEDDING).model == "m"


@pytest.mark.parametrize(("name", "is_chat"), [("messages", True), ("prompt", False)])
def test_an_auto_body_says_what_it_is(name: str, is_chat: bool) -> None:
    peeked = peek(f'{{"model":"m","{name}":["x"]}}', Operation.AUTO)

    assert (peeked.has_messages, peeked.has_prompt) == (is_chat, not is_chat)


@pytest.mark.parametrize("body", ['{"input":"x"}', '{"model":null,"input":"x"}'])
def test_moderations_have_a_default_model(body: str) -> None:
    assert peek(body, Operation.MODERATION).model == "omni-moderation-latest"
