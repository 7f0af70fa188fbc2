"""Streams put together by the client: pieces that fold, steps that it does not know. That nothing of an answer gets
lost on the way is shown beside the dialect that writes the streams.
"""

from collections.abc import AsyncIterator
from typing import Any

import isthmus
import pytest
from isthmus.v1 import chat_pb2, chat_stream_pb2, stream_pb2


def chunk(*events: dict[str, Any]) -> chat_stream_pb2.ChatChunk:
    return chat_stream_pb2.ChatChunk(events=events)


def message_of(*events: dict[str, Any]) -> chat_pb2.Message:
    """Put one choice's steps together, each in a chunk of its own."""
    return isthmus.whole_of([chunk(event) for event in events]).choices[0].message


def raw(json: str, choice: int | None = 0) -> dict[str, Any]:
    return {"raw_json": {"choice": choice, "json": json}}


HELLO = chunk(
    {"start": {"id": "a", "model": "m", "provider": "p", "created": {"seconds": 7}}},
    {"thinking_delta": {"text": "Hm", "signature": b"sig"}},
    {"thinking_delta": {"text": "Hm again"}},
    {"text_delta": {"text": "Hel"}},
    {"text_delta": {"text": "lo"}},
    {"tool_call_start": {"index": 1, "id": "c2", "name": "g"}},
    {"tool_call_start": {"index": 0, "id": "c1", "name": "f", "extra_json": '{"x":1.50}'}},
    {"tool_call_delta": {"index": 0, "arguments": '{"a"'}},
    {"tool_call_delta": {"index": 0, "arguments": ":1}"}},
    {"tool_call_delta": {"index": 9, "arguments": "lost"}},
    {"choice_end": {"finish_reason": stream_pb2.FINISH_REASON_TOOL_CALLS, "native_finish_reason": "tool_use"}},
    {"usage": {"input_tokens": 1}},
    {"usage": {"input_tokens": 2}},
    {},
)
WHOLE = chat_pb2.ChatResponse(
    id="a",
    model="m",
    provider="p",
    created={"seconds": 7},
    usage={"input_tokens": 2},
    choices=[
        {
            "message": {
                "role": "assistant",
                "parts": [
                    {"thinking": {"text": "Hm", "signature": b"sig"}},
                    {"thinking": {"text": "Hm again"}},
                    {"text": "Hello"},
                ],
                "tool_calls": [
                    {"id": "c1", "name": "f", "arguments": '{"a":1}', "extra_json": '{"x":1.50}'},
                    {"id": "c2", "name": "g"},
                ],
            },
            "finish_reason": stream_pb2.FINISH_REASON_TOOL_CALLS,
            "native_finish_reason": "tool_use",
        }
    ],
)


def test_a_stream_is_the_whole_answer() -> None:
    assert isthmus.whole_of([HELLO]) == WHOLE


async def test_a_stream_is_the_whole_answer_for_asyncio() -> None:
    async def chunks() -> AsyncIterator[chat_stream_pb2.ChatChunk]:
        yield HELLO

    assert await isthmus.async_whole_of(chunks()) == WHOLE


def test_an_answer_may_be_asked_for_before_its_end() -> None:
    collector = isthmus.Collector()
    collector.feed(chunk({"text_delta": {"text": "Hel"}}))
    first = isthmus.text_of(collector.response())
    collector.feed(chunk({"text_delta": {"text": "lo"}}))

    assert (first, isthmus.text_of(collector.response())) == ("Hel", "Hello")


@pytest.mark.parametrize(
    ("pieces", "folded"),
    [
        (['{"a":1.50}'], '{"a":1.50}'),
        (['{"a":[1]}', '{"a":[2],"b":null}'], '{"a":[1,2],"b":null}'),
        (
            ['{"d":[{"index":0,"text":"He"}]}', '{"d":[{"index":0,"text":"y"},{"index":1,"text":"x"},3]}'],
            '{"d":[{"index":0,"text":"Hey"},{"index":1,"text":"x"},3]}',
        ),
        (['{"a":{"id":"x","n":1}}', '{"a":{"id":"y","n":null}}'], '{"a":{"id":"y","n":1}}'),
        (['{"content":"no list","tool_calls":{}}'], '{"content":"no list","tool_calls":{}}'),
    ],
)
def test_members_in_pieces_are_folded(pieces: list[str], folded: str) -> None:
    assert message_of(*map(raw, pieces)).extra_json == folded


def test_members_of_the_answer_as_a_whole() -> None:
    events = [{"start": {"extra_json": '{"x":{"a":1}}'}}, raw('{"x":{"b":2}}', None)]

    assert isthmus.whole_of([chunk(*events)]).extra_json == '{"x":{"a":1,"b":2}}'


def test_parts_and_calls_of_other_kinds_stand_among_their_like() -> None:
    message = message_of(
        {"text_delta": {"text": "a"}},
        raw('{"content":[{"type":"reference"}, 3],"role":"critic","x":1}'),
        {"text_delta": {"text": "b"}},
        raw('{"tool_calls":[{"index":0,"id":"c","type":"server","name":"f","arguments":"x"}]}'),
        raw(
            '{"tool_calls":[{"index":0,"arguments":"y","z":1},{"type":"custom","custom":{"name":"g","input":"i"}}, 3]}'
        ),
        raw('{"tool_calls":[{"index":2,"type":"custom","custom":{"input":1}}]}'),
    )

    assert message == chat_pb2.Message(
        role="critic",
        parts=[{"text": "a"}, {"raw_json": '{"type":"reference"}'}, {"text": "b"}],
        tool_calls=[
            {"id": "c", "type": "server", "name": "f", "arguments": "xy", "extra_json": '{"z":1}'},
            {"type": "custom", "name": "g", "arguments": "i"},
            {"type": "custom", "extra_json": '{"custom":{"input":1}}'},
        ],
        extra_json='{"x":1}',
    )


def test_late_members_of_a_call_are_its_own() -> None:
    message = message_of(
        {"tool_call_start": {"id": "c", "name": "f"}},
        raw('{"tool_calls":[{"index":0,"extra_content":{"google":{"thought_signature":"s"}}}]}'),
    )

    assert list(message.tool_calls) == [
        chat_pb2.ToolCall(id="c", name="f", extra_json='{"extra_content":{"google":{"thought_signature":"s"}}}')
    ]


def test_sound_refusal_and_probabilities() -> None:
    token = {"token": "a", "logprob": -0.5}
    logprobs = {"content": [token], "extra_json": '{"z":1}'}
    events: list[dict[str, Any]] = [
        {"audio_delta": {"id": "s", "data": b"RI", "transcript": "h", "extra_json": '{"m":1}'}},
        {"audio_delta": {"data": b"FF", "transcript": "i", "expire_time": {"seconds": 9}}},
        {"refusal_delta": {"text": "N"}},
        {"refusal_delta": {"text": "o"}},
        {"logprobs_delta": {"logprobs": logprobs}},
        {"logprobs_delta": {"logprobs": {"refusal": [token]}}},
    ]

    choice = isthmus.whole_of([chunk(*events)]).choices[0]

    sound = {"id": "s", "data": b"RIFF", "transcript": "hi", "expire_time": {"seconds": 9}}
    assert list(choice.message.parts) == [
        chat_pb2.Part(refusal="No"),
        chat_pb2.Part(audio=sound, extra_json='{"m":1}'),
    ]
    assert choice.logprobs.extra_json == '{"z":1}'
    assert (len(choice.logprobs.content), len(choice.logprobs.refusal)) == (1, 1)
