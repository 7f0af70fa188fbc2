"""What is wrong with a request is refused, and the refusal names the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isthmus.v1 import chat_pb2, completion_pb2, embedding_pb2
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.request import Operation
from isthmusd.dialects.isthmus import SERVED

from tests.unit.dialects_isthmus.requests import chat
from tests.unit.dialects_isthmus.wire import messages

NONE = chat_pb2.TOOL_CHOICE_MODE_NONE
DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"


def turn(**fields: Any) -> chat_pb2.ChatRequest:
    good = {"role": "user", "parts": [{"text": "a"}]}
    return chat(messages=[good, {"role": "user", **fields}])


def part(**fields: Any) -> chat_pb2.ChatRequest:
    return turn(parts=[{"text": "a"}, fields])


CHAT = [
    (chat(model=""), "model"),
    (chat(messages=[]), "messages"),
    (turn(role=""), "messages[1].role"),
    (turn(extra_json="[]"), "messages[1].extra_json"),
    (turn(tool_calls=[{"extra_json": "x"}]), "messages[1].tool_calls[0].extra_json"),
    (part(), "messages[1].parts[1]"),
    (part(text="a", extra_json="{"), "messages[1].parts[1].extra_json"),
    (part(raw_json="1"), "messages[1].parts[1].raw_json"),
    (part(image={}), "messages[1].parts[1].image"),
    (part(image={"raw_json": ""}), "messages[1].parts[1].image.raw_json"),
    (part(file={}), "messages[1].parts[1].file"),
    (part(file={"raw_json": "{"}), "messages[1].parts[1].file.raw_json"),
    (part(thinking={"signature": b"\xff"}), "messages[1].parts[1].thinking.signature"),
    (part(audio={"id": "a"}, extra_json="3"), "messages[1].parts[1].extra_json"),
    (turn(parts=[{"audio": {"id": "a"}}, {"audio": {"id": "b"}}]), "messages[1].parts[1].audio.id"),
    (chat(tools=[{}]), "tools[0]"),
    (chat(tools=[{"raw_json": "{}"}, {"raw_json": "[]"}]), "tools[1].raw_json"),
    (chat(tools=[{"function": {}}]), "tools[0].function.name"),
    (chat(tools=[{"function": {"name": "f", "parameters_json": "{'a'"}}]), "tools[0].function.parameters_json"),
    (chat(tools=[{"function": {"name": "f", "extra_json": "1"}}]), "tools[0].function.extra_json"),
    (chat(tool_choice={}), "tool_choice"),
    (chat(tool_choice={"mode": 9}), "tool_choice.mode"),
    (chat(tool_choice={"function_name": ""}), "tool_choice.function_name"),
    (chat(tool_choice={"raw_json": ""}), "tool_choice.raw_json"),
    (chat(tool_choice={"allowed_tools": {"mode": NONE}}), "tool_choice.allowed_tools.mode"),
    (chat(tool_choice={"allowed_tools": {"tools_json": ["1"]}}), "tool_choice.allowed_tools.tools_json[0]"),
    (chat(response_format={}), "response_format"),
    (chat(response_format={"raw_json": "1"}), "response_format.raw_json"),
    (chat(response_format={"json_schema": {}}), "response_format.json_schema.name"),
    (
        chat(response_format={"json_schema": {"name": "s", "schema_json": "{"}}),
        "response_format.json_schema.schema_json",
    ),
    (chat(audio={"format": "wav"}), "audio.voice"),
    (chat(audio={"voice": "v"}), "audio.format"),
    (chat(audio={"voice_json": "v", "format": "wav"}), "audio.voice_json"),
    (chat(prediction_json="[]"), "prediction_json"),
    (chat(temperature=float("nan")), "temperature"),
    (chat(top_p=float("inf")), "top_p"),
    (chat(logit_bias={"7": float("inf")}), "logit_bias.7"),
    (chat(extra_json="nonsense"), "extra_json"),
    (chat(extra_json=DEEP), "extra_json"),
    (chat(extra_json='{"stream":true}'), "extra_json.stream"),
    (chat(extra_json='{"model":"dear"}'), "extra_json.model"),
    (chat(extra_json='{"Model":"dear"}'), "extra_json.Model"),
    (chat(extra_json='{"STREAM":true}'), "extra_json.STREAM"),
    (chat(extra_json='{"Stream_Options":{}}'), "extra_json.Stream_Options"),
    (chat(extra_json='{"Prompt":"x"}'), "extra_json.Prompt"),
    (chat(extra_json='{"stream_options":1}'), "extra_json.stream_options"),
]
COMPLETION = [
    ({"model": ""}, "model"),
    ({"prompt": [{"text": "a"}, {}]}, "prompt[1]"),
    ({"prompt": [{"raw_json": '{"a":1}'}]}, "prompt[0].raw_json"),
    ({"extra_json": '{"prompt":"x"}'}, "extra_json.prompt"),
    ({"min_p": float("nan")}, "min_p"),
]
EMBEDDING = [
    ({"model": ""}, "model"),
    ({"input": []}, "input"),
    ({"input": [{}]}, "input[0]"),
    ({"input": [{"raw_json": "{"}]}, "input[0].raw_json"),
    ({"encoding": 9}, "encoding"),
    ({"extra_json": '{"input":"x"}'}, "extra_json.input"),
]
CASES = [
    *((Operation.CHAT, message, param) for message, param in CHAT),
    *(
        (Operation.COMPLETION, completion_pb2.CompletionRequest(**{"model": "m", **fields}), param)
        for fields, param in COMPLETION
    ),
    *(
        (
            Operation.EMBEDDING,
            embedding_pb2.EmbeddingRequest(**{"model": "m", "input": [{"text": "a"}], **fields}),
            param,
        )
        for fields, param in EMBEDDING
    ),
]


@pytest.mark.parametrize(("operation", "message", "param"), [pytest.param(*case, id=case[2]) for case in CASES])
def test_refusal_names_the_field(operation: Operation, message: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        SERVED[operation].decode_request(message)

    assert refusal.value.param == param
    assert refusal.value.message.startswith(f"`{param}` ")


@pytest.mark.parametrize("operation", list(SERVED))
def test_peek_refuses_what_it_cannot_read(operation: Operation) -> None:
    kinds: dict[Operation, Any] = {
        Operation.CHAT: chat_pb2.ChatRequest,
        Operation.COMPLETION: completion_pb2.CompletionRequest,
        Operation.EMBEDDING: embedding_pb2.EmbeddingRequest,
    }

    for message, param in [(kinds[operation](), "model"), (kinds[operation](model="m", extra_json="{"), "extra_json")]:
        with pytest.raises(InvalidRequest) as refusal:
            SERVED[operation].peek(message)

        assert refusal.value.param == param


ANY_REQUEST = st.one_of(
    st.tuples(st.just(Operation.CHAT), messages(chat_pb2.ChatRequest)),
    st.tuples(st.just(Operation.CHAT), messages(chat_pb2.Message).map(lambda message: chat(messages=[message]))),
    st.tuples(st.just(Operation.COMPLETION), messages(completion_pb2.CompletionRequest)),
    st.tuples(st.just(Operation.EMBEDDING), messages(embedding_pb2.EmbeddingRequest)),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_REQUEST)
def test_nothing_but_a_refusal_is_raised(case: tuple[Operation, Any]) -> None:
    operation, message = case
    before = message.SerializeToString(deterministic=True)

    for read in (SERVED[operation].peek, SERVED[operation].decode_request):
        try:
            assert read(message).model == message.model
        except InvalidRequest as refusal:
            assert refusal.param

    assert message.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (chat(messages=[{"role": "user"}] * 50_001), "messages"),
        (turn(parts=[{"text": "a"}] * 50_001), "messages.parts"),
        (chat(tools=[{}] * 50_001), "tools"),
    ],
)
def test_r17_more_than_any_request_has_is_refused(request_: chat_pb2.ChatRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        SERVED[Operation.CHAT].decode_request(request_)

    assert refusal.value.param == field
    assert "at most 50000" in refusal.value.message
