"""A kept answer in another form says the same: a stream as whole, a whole one streamed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import isthmus
import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from isthmus.v1 import chat_pb2, chat_stream_pb2, completion_pb2, embedding_pb2, stream_pb2
from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatResponse, JsonText
from isthmusd.core.collect import collect_chat, collect_completion
from isthmusd.core.completion import CompletionResponse
from isthmusd.core.entry import Form
from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    Event,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
)
from isthmusd.core.replay import replay
from isthmusd.core.request import Operation
from isthmusd.dialects.isthmus import KEPT, SERVED
from isthmusd.dialects.isthmus.provenance import name_provider

from tests.unit.dialects_isthmus import answers
from tests.unit.dialects_isthmus.hub import CHAT_RESPONSES, COMPLETION_RESPONSES
from tests.unit.dialects_isthmus.streams import CHATS, COMPLETIONS, CUTS, encoded

CHAT, COMPLETION = Operation.CHAT, Operation.COMPLETION
STAMP = Stamp(id="9", created_at=9)
WHOLE, STREAM = Form(stream=False), Form(stream=True)
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def whole_of(operation: Operation, pieces: Sequence[Message]) -> Any:
    (whole,) = KEPT[operation].recast(pieces, STREAM, WHOLE, STAMP, usage=None)
    return whole


def stream_of(operation: Operation, whole: Message) -> list[Any]:
    return KEPT[operation].recast([whole], WHOLE, STREAM, STAMP, usage=None)


def answered(operation: Operation, response: ChatResponse | CompletionResponse) -> Any:
    wire = SERVED[operation].encode_response(response)
    name_provider(wire, "acme")
    return wire


def plain(value: Any) -> Any:
    """Give a message as data with its JSON read, since the order of members says nothing."""
    match value:
        case Message():
            return {field.name: _plain(field.name, one) for field, one in value.ListFields()}
        case str() | bytes() | bool() | int() | float():
            return value
        case _:
            return [plain(one) for one in value]


def _plain(name: str, value: Any) -> Any:
    return msgspec.json.decode(value) if name in ("extra_json", "raw_json") else plain(value)


@slow
@given(CHATS, CUTS)
def test_a_streamed_chat_is_the_whole_one_that_the_same_events_make(events: tuple[Event, ...], cuts: list[int]) -> None:
    assert plain(whole_of(CHAT, encoded(CHAT, events, cuts))) == plain(answered(CHAT, collect_chat(events)))


@slow
@given(COMPLETIONS, CUTS)
def test_a_streamed_completion_is_the_whole_one_that_the_same_events_make(
    events: tuple[Event, ...], cuts: list[int]
) -> None:
    whole = whole_of(COMPLETION, encoded(COMPLETION, events, cuts))

    assert plain(whole) == plain(answered(COMPLETION, collect_completion(events)))


@slow
@given(CHAT_RESPONSES, CUTS)
def test_a_whole_chat_comes_back_from_its_stream(response: ChatResponse, cuts: list[int]) -> None:
    whole = answered(CHAT, response)

    stream = stream_of(CHAT, whole)

    assert plain(whole_of(CHAT, stream)) == plain(whole)
    assert plain(isthmus.whole_of(stream)) == plain(whole)
    assert plain(whole_of(CHAT, encoded(CHAT, replay(response), cuts))) == plain(whole)


@slow
@given(COMPLETION_RESPONSES)
def test_a_whole_completion_comes_back_from_its_stream(response: CompletionResponse) -> None:
    whole = answered(COMPLETION, response)

    assert plain(whole_of(COMPLETION, stream_of(COMPLETION, whole))) == plain(whole)


@slow
@given(CHATS)
def test_usage_that_the_gateway_does_not_know_survives(events: tuple[Event, ...]) -> None:
    whole = answered(CHAT, collect_chat(events))
    whole.usage.cost_nano_usd = 7

    assert whole_of(CHAT, stream_of(CHAT, whole)).usage == whole.usage


def chat_of(*events: Event) -> chat_pb2.ChatChoice:
    """Give the first choice of a streamed chat."""
    return whole_of(CHAT, encoded(CHAT, events)).choices[0]


def test_every_step_at_once() -> None:
    for operation, collect in ((CHAT, collect_chat), (COMPLETION, collect_completion)):
        stream = encoded(operation, answers.EVENTS)

        whole = whole_of(operation, stream)

        expected = collect(answers.EVENTS)
        assert (whole.id, whole.model, whole.provider) == (expected.id, expected.model, "acme")
        assert whole.usage == answered(operation, expected).usage
        assert whole.choices[0].native_finish_reason == "tool_use"


def test_signed_thinking_parts_what_follows_it() -> None:
    choice = chat_of(
        ThinkingDelta(choice=0, text="H"),
        ThinkingDelta(choice=0, text="m"),
        ThinkingSignature(choice=0, signature="c2ln"),
        ThinkingDelta(choice=0, text="So"),
        TextDelta(choice=0, text="A"),
    )

    assert list(choice.message.parts) == [
        chat_pb2.Part(thinking=chat_pb2.Thinking(text="Hm", signature=b"c2ln")),
        chat_pb2.Part(thinking=chat_pb2.Thinking(text="So")),
        chat_pb2.Part(text="A"),
    ]


def test_sound_without_an_id_stays_json() -> None:
    pieces = [
        '{"data":"AA==","transcript":"a"}',
        '{"data":"AQ==","transcript":"b","expires_at":4,"z":1}',
        '{"data":"c"}',
    ]
    choice = chat_of(*(AudioDelta(choice=0, json=JsonText(piece)) for piece in pieces[:2]))
    odd = chat_of(*(AudioDelta(choice=0, json=JsonText(piece)) for piece in ("{}", *pieces[2:])))

    assert not choice.message.parts
    assert msgspec.json.decode(choice.message.extra_json) == {
        "audio": {"data": "AAE=", "transcript": "ab", "expires_at": 4, "z": 1}
    }
    assert msgspec.json.decode(odd.message.extra_json) == {"audio": {"data": "c"}}


def test_probabilities_of_an_unknown_shape_stay_json() -> None:
    event = LogprobsDelta(choice=0, json=JsonText('{"content":1}'))
    end = ChoiceEnd(choice=0, finish_reason="stop", extra=(("x", JsonText("1.50")),))

    assert chat_of(event, end).extra_json == '{"x":1.50,"logprobs":{"content":1}}'
    assert whole_of(COMPLETION, encoded(COMPLETION, [event, end])).choices[0].extra_json == (
        '{"x":1.50,"logprobs":{"content":1}}'
    )


def test_calls_whose_arguments_are_free_text_are_put_together() -> None:
    def started(**start: Any) -> chat_stream_pb2.ChatEvent:
        return chat_stream_pb2.ChatEvent(tool_call_start=start)

    def more(text: str) -> chat_stream_pb2.ChatEvent:
        return chat_stream_pb2.ChatEvent(tool_call_delta={"index": 3, "arguments": text})

    raw = chat_stream_pb2.ChatEvent(
        raw_json={"choice": 0, "json": '{"tool_calls":[{"index":3,"custom":{"input":"b","n":1},"x":1}]}'}
    )
    events = [
        more("of no call"),
        started(index=3, id="c", type="custom"),
        started(index=3, name="f", type="custom"),
        *(more("a"), raw, more("c")),
    ]

    (call,) = whole_of(CHAT, [chat_stream_pb2.ChatChunk(events=events)]).choices[0].message.tool_calls

    assert call == chat_pb2.ToolCall(
        id="c", type="custom", name="f", arguments="abc", extra_json='{"custom":{"n":1},"x":1}'
    )


def test_members_that_come_late_join_their_call_and_calls_of_other_kinds_have_places() -> None:
    events = (
        ToolCallStart(choice=0, index=1, id="c", name="f", extra=(("x", JsonText("1.50")),)),
        ToolCallDelta(choice=0, index=1, arguments="{}"),
        RawDelta(choice=0, extra=(("tool_calls", JsonText('[{"id":"s","type":"server"},{"late":[1]}]')),)),
    )

    calls = chat_of(*events).message.tool_calls

    assert list(calls) == [
        chat_pb2.ToolCall(id="s", type="server"),
        chat_pb2.ToolCall(id="c", name="f", arguments="{}", extra_json='{"x":1.50,"late":[1]}'),
    ]


def test_a_long_call_is_put_together() -> None:
    start = chat_stream_pb2.ChatEvent(tool_call_start={"id": "c", "type": "custom", "name": "f"})
    piece = chat_stream_pb2.ChatEvent(tool_call_delta={"arguments": "abcdefgh"})
    chunk = chat_stream_pb2.ChatChunk(events=[start, *[piece] * 50_000])

    (call,) = whole_of(CHAT, [chunk]).choices[0].message.tool_calls

    assert call.arguments == "abcdefgh" * 50_000


def test_what_a_chat_model_streamed_to_a_completion_stays_with_its_choice() -> None:
    events = (
        StreamStart(id="c", model="m", created_at=1, service_tier="flex"),
        ThinkingDelta(choice=0, text="H"),
        ThinkingDelta(choice=0, text="m"),
        RefusalDelta(choice=0, text="N"),
        RefusalDelta(choice=0, text="o"),
        ToolCallStart(choice=0, index=0, id="t", name="f"),
        ToolCallDelta(choice=0, index=0, arguments='{"a"'),
        ToolCallDelta(choice=0, index=0, arguments=":1}"),
        RawDelta(choice=0, extra=(("x", JsonText("1.50")),)),
        ChoiceEnd(choice=0, finish_reason="stop", extra=(("x", JsonText("2")),)),
    )

    whole = whole_of(COMPLETION, encoded(COMPLETION, events))

    assert whole.extra_json == '{"service_tier":"flex"}'
    assert msgspec.json.decode(whole.choices[0].extra_json) == {
        "reasoning_content": "Hm",
        "refusal": "No",
        "tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": '{"a":1}'}}],
        "x": 2,
    }


@pytest.mark.parametrize("operation", [CHAT, COMPLETION])
def test_members_of_the_answer_that_come_late_replace_those_of_its_start(operation: Operation) -> None:
    events = (
        StreamStart(id="c", model="m", created_at=1, extra=(("x", JsonText("1.50")), ("y", JsonText("2")))),
        RawDelta(choice=None, extra=(("z", JsonText("[1]")), ("x", JsonText('"late"')))),
        RawDelta(choice=None, extra=(("z", JsonText("[2]")),)),
    )

    assert whole_of(operation, encoded(operation, events)).extra_json == '{"x":"late","y":2,"z":[1,2]}'


def test_a_stream_of_nothing_is_an_answer_of_nothing() -> None:
    assert whole_of(CHAT, []) == chat_pb2.ChatResponse()
    assert whole_of(COMPLETION, []) == completion_pb2.CompletionResponse()


def test_each_choice_ends_even_where_nobody_said_why() -> None:
    whole = chat_pb2.ChatResponse(id="c", choices=[{"index": 4, "message": {"role": "assistant"}}])

    stream = stream_of(CHAT, whole)

    assert stream[1:] == [chat_stream_pb2.ChatChunk(events=[{"choice_end": {"choice": 4}}])]
    assert whole_of(CHAT, stream) == whole


@pytest.mark.parametrize(
    "message",
    [
        {"name": "bot"},
        {"tool_call_id": "c"},
        {"parts": [{"text": "a", "extra_json": '{"x":1}'}]},
        {"parts": [{"thinking": {"text": "a"}, "extra_json": '{"x":1}'}]},
        {"parts": [{"thinking": {"text": "a"}}, {"thinking": {"text": "b", "signature": b"c2ln"}}]},
        {"parts": [{"thinking": {"text": "a"}}, {"thinking": {"signature": b"aGk=", "redacted": True}}]},
        {"parts": [{"thinking": {"text": "a"}}, {"thinking": {"text": "b"}}]},
        {"parts": [{"thinking": {"text": "a"}}, {"refusal": "No."}, {"thinking": {"text": "b"}}]},
        {"parts": [{"image": {"url": "https://example.org/a.png"}}]},
        {"parts": [{"file": {"file_id": "f"}}]},
        {"parts": [{"audio": {"data": b"a", "format": "wav"}}]},
        {"parts": [{"audio": {"id": "a", "format": "wav"}}]},
        {"parts": [{}]},
    ],
)
def test_what_a_stream_cannot_say_is_not_streamed(message: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeature):
        stream_of(CHAT, chat_pb2.ChatResponse(choices=[{"message": {"role": "assistant", **message}}]))


@pytest.mark.parametrize(
    "parts",
    [
        [{"thinking": {"text": "a", "signature": b"c2ln"}}, {"thinking": {"text": "b", "signature": b"c2lo"}}],
        [{"thinking": {"text": "a", "signature": b"c2ln"}}, {"thinking": {"text": "b"}}, {"text": "c"}],
        [{"thinking": {"signature": b"aGk=", "redacted": True}}, {"thinking": {"text": "b"}}],
        [{"thinking": {"text": "a"}}, {"text": "b"}, {"thinking": {"text": "c", "signature": b"c2ln"}}],
        [{"thinking": {"text": "a"}}, {"raw_json": '{"type":"mine"}'}, {"thinking": {"text": "c"}}],
        [{"text": "a"}, {"thinking": {"text": "b"}}, {"refusal": "No."}],
    ],
)
def test_thoughts_that_a_stream_can_part_come_back_as_they_were(parts: list[dict[str, Any]]) -> None:
    whole = chat_pb2.ChatResponse(choices=[{"message": {"role": "assistant", "parts": parts}}])

    assert whole_of(CHAT, stream_of(CHAT, whole)) == whole


@pytest.mark.parametrize(
    ("operation", "chunk"),
    [
        (CHAT, chat_stream_pb2.ChatChunk(events=[{}])),
        (COMPLETION, completion_pb2.CompletionChunk(events=[{}])),
    ],
)
def test_steps_of_another_version_are_not_left_out(operation: Operation, chunk: Message) -> None:
    with pytest.raises(UnsupportedFeature):
        whole_of(operation, [chunk])


@pytest.mark.parametrize("text", ["{", "[]", '{"content":1}', '{"tool_calls":[1]}', '{"role":1}', "[" * 100_000])
def test_what_is_no_json_of_ours_is_not_turned_into_an_answer(text: str) -> None:
    raw = stream_pb2.RawDelta(choice=0, json=text)

    with pytest.raises(Garbled):
        whole_of(CHAT, [chat_stream_pb2.ChatChunk(events=[{"raw_json": raw}])])


@pytest.mark.parametrize("count", [0, 2])
def test_a_whole_answer_is_one_piece(count: int) -> None:
    with pytest.raises(Garbled):
        KEPT[CHAT].recast([chat_pb2.ChatResponse()] * count, WHOLE, STREAM, STAMP, usage=None)


def test_the_same_form_is_the_same_pieces() -> None:
    pieces = encoded(CHAT, answers.EVENTS)
    whole = [embedding_pb2.EmbeddingResponse(model="m")]

    assert KEPT[CHAT].recast(pieces, STREAM, Form(stream=True, include_usage=True), STAMP, usage=None) == pieces
    assert KEPT[Operation.EMBEDDING].recast(whole, WHOLE, WHOLE, STAMP, usage=None) == whole


def test_embeddings_have_one_form() -> None:
    with pytest.raises(UnsupportedFeature):
        stream_of(Operation.EMBEDDING, embedding_pb2.EmbeddingResponse())
