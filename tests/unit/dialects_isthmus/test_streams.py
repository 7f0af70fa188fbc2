"""Streamed answers: which event becomes which step."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from isthmus.v1 import chat_stream_pb2, completion_pb2, stream_pb2
from isthmusd.core.call import Stamp
from isthmusd.core.chat import JsonText
from isthmusd.core.errors import Garbled, Interrupted
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RawDelta,
    RoleDelta,
    TextDelta,
    ThinkingSignature,
)
from isthmusd.core.request import Operation
from isthmusd.dialects.isthmus import SERVED

from tests.unit.dialects_isthmus.answers import CHAT, COMPLETION, EVENTS, EXTRA_JSON

STAMP = Stamp(id="0", created_at=0)
STREAMED = [Operation.CHAT, Operation.COMPLETION]


def feed(operation: Operation, *events: Event) -> Any:
    return SERVED[operation].stream_encoder(STAMP, include_usage=True).feed(events)


def raw(json: str) -> dict[str, Any]:
    return {"raw_json": {"choice": 1, "json": json}}


def start() -> dict[str, Any]:
    return {
        "start": {
            "id": "s1",
            "model": "gpt",
            "created": {"seconds": 7},
            "system_fingerprint": "fp",
            "service_tier": "default",
            "extra_json": EXTRA_JSON,
        }
    }


def tail(usage: Any) -> list[dict[str, Any]]:
    end = {
        "choice": 1,
        "finish_reason": stream_pb2.FINISH_REASON_TOOL_CALLS,
        "native_finish_reason": "tool_use",
        "extra_json": EXTRA_JSON,
    }
    return [raw(EXTRA_JSON), {"raw_json": {"json": EXTRA_JSON}}, {"choice_end": end}, {"usage": usage}]


def test_every_event_is_tried() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_steps_of_a_chat() -> None:
    whole = SERVED[Operation.CHAT].encode_response(CHAT)
    audio = {"choice": 1, "data": b"pcm"}
    call = {"choice": 1, "index": 2, "id": "c1", "name": "f", "type": "custom", "extra_json": EXTRA_JSON}

    assert feed(Operation.CHAT, *EVENTS) == chat_stream_pb2.ChatChunk(
        events=[
            start(),
            raw('{"role":"critic"}'),
            {"text_delta": {"choice": 1, "text": "Hello"}},
            {"thinking_delta": {"choice": 1, "text": "Hm"}},
            {"thinking_delta": {"choice": 1, "signature": b"c2ln"}},
            {"thinking_delta": {"choice": 1, "signature": b"aGk=", "redacted": True}},
            {"refusal_delta": {"choice": 1, "text": "No"}},
            {"audio_delta": {**audio, "id": "a1", "transcript": "hi", "expire_time": {"seconds": 9}}},
            {"audio_delta": {**audio, "extra_json": '{"z":1}'}},
            raw('{"audio":{"data":"c"}}'),
            {"tool_call_start": call},
            {"tool_call_start": {"choice": 1, "index": 3, "id": "c2", "name": "g", "extra_json": EXTRA_JSON}},
            {"tool_call_delta": {"choice": 1, "index": 2, "arguments": '{"a":'}},
            {"logprobs_delta": {"choice": 1, "logprobs": whole.choices[0].logprobs}},
            {"logprobs_delta": {"choice": 1, "logprobs": {"extra_json": COMPLETION.choices[0].logprobs}}},
            *tail(whole.usage),
        ]
    )


def test_steps_of_a_completion() -> None:
    whole = SERVED[Operation.COMPLETION].encode_response(COMPLETION)
    chat = SERVED[Operation.CHAT].encode_response(CHAT).choices[0].logprobs
    in_shape_of_chat = {"tokens": chat.content, "extra_json": '{"refusal":[{"token":"n","logprob":null}],"z":1}'}

    assert feed(Operation.COMPLETION, *EVENTS) == completion_pb2.CompletionChunk(
        events=[
            start(),
            raw('{"role":"critic"}'),
            {"text_delta": {"choice": 1, "text": "Hello"}},
            raw('{"reasoning_content":"Hm"}'),
            raw('{"signature":"c2ln"}'),
            raw('{"redacted_data":"aGk="}'),
            raw('{"refusal":"No"}'),
            raw('{"audio":{"id":"a1","data":"cGNt","transcript":"hi","expires_at":9}}'),
            raw('{"audio":{"data":"cGNt","z":1}}'),
            raw('{"audio":{"data":"c"}}'),
            raw(
                '{"tool_calls":[{"index":2,"id":"c1","function":{"name":"f"},"type":"custom",'
                '"x":{"b":1,"a":2.50},"y":null}]}'
            ),
            raw('{"tool_calls":[{"index":3,"id":"c2","function":{"name":"g"},"x":{"b":1,"a":2.50},"y":null}]}'),
            raw('{"tool_calls":[{"index":2,"function":{"arguments":"{\\"a\\":"}}]}'),
            {"logprobs_delta": {"choice": 1, "logprobs": in_shape_of_chat}},
            {"logprobs_delta": {"choice": 1, "logprobs": whole.choices[0].logprobs}},
            *tail(whole.usage),
        ]
    )


@pytest.mark.parametrize("operation", STREAMED)
@pytest.mark.parametrize("events", [(), (End(),), (RoleDelta(choice=0, role="assistant"),)])
def test_nothing_to_say_is_no_chunk(operation: Operation, events: tuple[Event, ...]) -> None:
    assert feed(operation, *events) is None


def test_calls_with_free_text_are_calls() -> None:
    pieces = [
        RawDelta(choice=1, extra=(("tool_calls", JsonText(text)), *after))
        for text, after in (
            ('[{"index":0,"id":"c","type":"custom","custom":{"name":"g","input":"SEL"}}]', ()),
            ('[{"index":0,"custom":{"input":"ECT"}}]', (("x", JsonText("1")),)),
        )
    ]

    assert feed(Operation.CHAT, *pieces) == chat_stream_pb2.ChatChunk(
        events=[
            {"tool_call_start": {"choice": 1, "index": 0, "id": "c", "name": "g", "type": "custom"}},
            {"tool_call_delta": {"choice": 1, "index": 0, "arguments": "SEL"}},
            {"tool_call_delta": {"choice": 1, "index": 0, "arguments": "ECT"}},
            raw('{"x":1}'),
        ]
    )


@pytest.mark.parametrize(
    "text", ['[{"index":0,"id":"c","type":"server","name":"g"}]', '[{"index":0,"custom":{"input":"a"},"x":1}]']
)
def test_calls_of_another_shape_stay_json(text: str) -> None:
    assert feed(Operation.CHAT, RawDelta(choice=1, extra=(("tool_calls", JsonText(text)),))).events[
        0
    ] == chat_stream_pb2.ChatEvent(**raw(f'{{"tool_calls":{text}}}'))


def test_thinking_that_is_redacted_in_part_ends_twice() -> None:
    event = ThinkingSignature(choice=1, signature="c2ln", redacted_data="aGk=")

    assert feed(Operation.CHAT, event) == chat_stream_pb2.ChatChunk(
        events=[
            {"thinking_delta": {"choice": 1, "signature": b"c2ln"}},
            {"thinking_delta": {"choice": 1, "signature": b"aGk=", "redacted": True}},
        ]
    )


@pytest.mark.parametrize("operation", STREAMED)
def test_logprobs_of_another_shape_stay_json(operation: Operation) -> None:
    event = LogprobsDelta(choice=1, json=JsonText('{"content":1}'))

    assert feed(operation, event).events[0].raw_json.json == '{"logprobs":{"content":1}}'


@pytest.mark.parametrize("operation", STREAMED)
@pytest.mark.parametrize(
    "event",
    [
        TextDelta(choice=2**31, text=""),
        TextDelta(choice=0, text="\ud800"),
        ChoiceEnd(choice=-(2**40), finish_reason="stop"),
    ],
)
def test_values_that_no_answer_has_are_the_providers_fault(operation: Operation, event: Event) -> None:
    with pytest.raises(Garbled):
        feed(operation, event)


@pytest.mark.parametrize("operation", STREAMED)
def test_failure_is_the_status_of_the_rpc(operation: Operation) -> None:
    encoder = SERVED[operation].stream_encoder(STAMP, include_usage=True)

    assert encoder.fail(Interrupted("The provider hung up.")) is None
    assert SERVED[operation].keep_alive is None


def test_embeddings_do_not_stream() -> None:
    with pytest.raises(NotImplementedError):
        SERVED[Operation.EMBEDDING].stream_encoder(STAMP, include_usage=False)
