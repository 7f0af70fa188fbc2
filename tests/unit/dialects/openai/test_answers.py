"""Answers through the hub, whole and streamed: what sloppy servers leave out, and how one form equals the other."""

from __future__ import annotations

import msgspec
import pytest
from isthmusd.core.chat import ChatResponse, RawPart, RawToolCall, ThinkingPart, ToolCall
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, Interrupted, Overloaded, Throttled, UnsupportedFeature
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    RawDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.base import StreamDecoder
from isthmusd.dialects.registry import called, served

from tests.unit.dialects.openai.values import STAMP

DONE = b"data: [DONE]\n\n"
PROFILE = Profile()


def whole(body: str, operation: Operation = Operation.CHAT) -> ChatResponse:
    return called("openai", operation).decode_response(body.encode(), STAMP)


def stream(
    *chunks: str,
    done: bytes = DONE,
    profile: Profile = PROFILE,
    operation: Operation = Operation.CHAT,
) -> tuple[list[Event], StreamDecoder]:
    decoder = called("openai", operation).stream_decoder(STAMP, profile)
    events = decoder.feed(b"".join(b"data: " + chunk.encode() + b"\n\n" for chunk in chunks) + done)
    return events + decoder.close(), decoder


def deltas(*chunks: str) -> list[Event]:
    """Events of some deltas of choice 0, without start and end."""
    events, decoder = stream(*(f'{{"id":"c","choices":[{{"index":0,"delta":{chunk}}}]}}' for chunk in chunks))
    assert decoder.ended
    return events[1:-1]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.CHAT, "[]"),
        (Operation.CHAT, "{}"),
        (Operation.CHAT, '{"choices":[{}]}'),
        (Operation.CHAT, '{"choices":[],"usage":7}'),
        (Operation.COMPLETION, "{}"),
        (Operation.COMPLETION, '{"choices":[{}]}'),
        (Operation.EMBEDDING, "{}"),
        (Operation.EMBEDDING, '{"data":[{}]}'),
        (Operation.EMBEDDING, '{"data":[{"embedding":["a"]}]}'),
        (Operation.EMBEDDING, "<html>"),
    ],
)
def test_an_answer_that_breaks_the_format_is_garbled(operation: Operation, body: str) -> None:
    with pytest.raises(Garbled):
        whole(body, operation)


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING])
def test_an_error_in_place_of_an_answer_is_raised_as_what_it_is(operation: Operation) -> None:
    with pytest.raises(Throttled, match="slow down"):
        whole('{"error":{"message":"slow down","code":429}}', operation)


def test_what_a_sloppy_server_leaves_out_comes_from_the_stamp() -> None:
    response = whole(
        '{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}},{"message":{}}]}'
    )

    assert (response.id, response.model, response.created_at) == ("chatcmpl-abc123", "", 1_700_000_000)
    assert response.choices[0].message.tool_calls == (ToolCall(id="call_abc123_0_0", name="f", arguments='{"a":1}'),)
    assert [choice.index for choice in response.choices] == [0, 1]
    assert response.choices[1].message.role == "assistant"


def test_usage_null_is_none_and_counts_may_be_floats() -> None:
    assert whole('{"choices":[],"usage":null}').usage is None
    assert whole('{"choices":[],"usage":{"prompt_tokens":3.0}}').usage == Usage(prompt_tokens=3)


def test_embedding_vectors_are_numbered_by_place_where_the_server_does_not() -> None:
    response = called("openai", Operation.EMBEDDING).decode_response(
        b'{"data":[{"embedding":[1]},{"embedding":"AA=="}],"usage":{"prompt_tokens":1,"total_tokens":1}}', STAMP
    )

    assert [(v.index, v.values, v.base64) for v in response.embeddings] == [(0, (1.0,), None), (1, None, "AA==")]
    written = msgspec.json.decode(served("openai", Operation.EMBEDDING).encode_response(response))
    assert written["usage"] == {"prompt_tokens": 1, "total_tokens": 1}


def test_embedding_usage_keeps_completion_tokens_that_were_counted() -> None:
    response = called("openai", Operation.EMBEDDING).decode_response(
        b'{"data":[],"usage":{"completion_tokens":0}}', STAMP
    )

    assert b'"completion_tokens":0' in served("openai", Operation.EMBEDDING).encode_response(response)


def test_embeddings_do_not_stream() -> None:
    with pytest.raises(UnsupportedFeature):
        called("openai", Operation.EMBEDDING).stream_decoder(STAMP, Profile())


def test_a_stream_opens_with_the_first_chunk_that_says_who_it_is() -> None:
    events, _ = stream(
        '{"id":"","model":"","choices":[],"prompt_filter_results":[{"x":1}]}',
        '{"id":"c","model":"m","created":7,"obfuscation":"zz","service_tier":"t","choices":[{"index":0,"delta":{}}]}',
        '{"id":"c","choices":[],"provider":"p"}',
        '{"id":"c","choices":[],"provider":"p","obfuscation":"y"}',
    )

    assert events == [
        StreamStart(
            id="c",
            model="m",
            created_at=7,
            service_tier="t",
            extra=(("prompt_filter_results", '[{"x":1}]'),),  # pyright: ignore[reportArgumentType]
        ),
        RawDelta(choice=None, extra=(("provider", '"p"'),)),  # pyright: ignore[reportArgumentType]
        End(),
    ]


def test_an_empty_stream_still_starts_and_ends() -> None:
    events, decoder = stream()

    assert events == [StreamStart(id="chatcmpl-abc123", model="", created_at=1_700_000_000), End()]
    assert decoder.feed(b"data: {}\n\n") == []


def test_the_role_comes_once_and_the_first_text_counts_even_if_empty() -> None:
    assert deltas('{"role":"assistant","content":""}', '{"role":"assistant","content":""}', '{"content":"a"}') == [
        RoleDelta(choice=0, role="assistant"),
        TextDelta(choice=0, text=""),
        TextDelta(choice=0, text="a"),
    ]


def test_thinking_comes_in_several_dialects() -> None:
    assert deltas(
        '{"reasoning_content":"a","reasoning":"a"}',
        '{"reasoning":"b"}',
        '{"content":[{"type":"thinking","thinking":[{"type":"text","text":"c"}]},{"type":"text","text":"d"}]}',
        '{"content":[{"type":"reference","ids":[1]}],"annotations":[1],"function_call":null}',
        "null",
    ) == [
        ThinkingDelta(choice=0, text="a"),
        ThinkingDelta(choice=0, text="b"),
        ThinkingDelta(choice=0, text="c"),
        TextDelta(choice=0, text="d"),
        RawDelta(choice=0, extra=(("content", '[{"type":"reference","ids":[1]}]'),)),  # pyright: ignore[reportArgumentType]
        RawDelta(choice=0, extra=(("annotations", "[1]"),)),  # pyright: ignore[reportArgumentType]
    ]


def test_an_image_in_an_answers_text_is_garbled() -> None:
    _, decoder = stream('{"id":"c","choices":[{"delta":{"content":[{"type":"image_url","image_url":"u"}]}}]}')

    assert isinstance(decoder.failure, Garbled)


def call(inner: str) -> str:
    return f'{{"tool_calls":[{inner}]}}'


def test_parallel_tool_calls_are_told_apart_by_index() -> None:
    assert deltas(
        call('{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""},"x":1}'),
        call('{"index":0,"id":"a","function":{"arguments":"{"}}'),
        call('{"index":1,"id":"b","function":{"name":"g","arguments":{"k":1}}}'),
        call('{"index":0,"function":{"arguments":"}"}}'),
    ) == [
        ToolCallStart(choice=0, index=0, id="a", name="f", extra=(("x", "1"),)),  # pyright: ignore[reportArgumentType]
        ToolCallDelta(choice=0, index=0, arguments="{"),
        ToolCallStart(choice=0, index=1, id="b", name="g"),
        ToolCallDelta(choice=0, index=1, arguments='{"k":1}'),
        ToolCallDelta(choice=0, index=0, arguments="}"),
    ]


def test_calls_that_all_have_index_0_or_none_are_told_apart_by_id() -> None:
    for index in ('"index":0,', ""):
        assert deltas(
            call(f'{{{index}"id":"a","function":{{"name":"f","arguments":"1"}}}}'),
            call(f'{{{index}"function":{{"arguments":"2"}}}}'),
            call(f'{{{index}"id":"b","function":{{"name":"f","arguments":"3"}}}}'),
            call(f'{{{index}"function":{{"arguments":"4"}}}}'),
        ) == [
            ToolCallStart(choice=0, index=0, id="a", name="f"),
            ToolCallDelta(choice=0, index=0, arguments="1"),
            ToolCallDelta(choice=0, index=0, arguments="2"),
            ToolCallStart(choice=0, index=1, id="b", name="f"),
            ToolCallDelta(choice=0, index=1, arguments="3"),
            ToolCallDelta(choice=0, index=1, arguments="4"),
        ]


def test_a_call_without_an_id_gets_one() -> None:
    assert deltas(call('{"function":{"name":"f"}},{"function":{"name":"g"}}')) == [
        ToolCallStart(choice=0, index=0, id="call_abc123_0_0", name="f"),
        ToolCallStart(choice=0, index=1, id="call_abc123_0_1", name="g"),
    ]


def test_other_tool_calls_and_late_members_of_calls_are_kept_and_collected() -> None:
    events = deltas(
        call('{"index":0,"id":"a","type":"custom","custom":{"name":"n","input":"1"}}'),
        call('{"index":0,"custom":{"input":"2"}}'),
        call('{"index":1,"id":"b","function":{"name":"f"}}'),
        call('{"index":1,"function":{"arguments":"x"},"extra_content":{"s":1}}'),
    )

    assert collect_chat(events).choices[0].message.tool_calls == (
        RawToolCall(json='{"id":"a","type":"custom","custom":{"name":"n","input":"12"}}'),  # pyright: ignore[reportArgumentType]
        ToolCall(id="b", name="f", arguments="x", extra=(("extra_content", '{"s":1}'),)),  # pyright: ignore[reportArgumentType]
    )


def test_usage_is_reported_once_at_the_end_and_the_last_counts() -> None:
    events, _ = stream('{"id":"c","usage":{"prompt_tokens":1}}', '{"id":"c","usage":{"prompt_tokens":2}}')

    assert events[1:] == [UsageReport(usage=Usage(prompt_tokens=2)), End()]


def test_members_of_a_choice_wait_for_its_end_and_say_more_than_nothing() -> None:
    events, _ = stream(
        '{"id":"c","choices":[{"delta":{},"filter":{"a":1},"stop_reason":null,"finish_reason":""}]}',
        '{"id":"c","choices":[{"delta":{},"filter":{},"native_finish_reason":"END","finish_reason":"stop"}]}',
        '{"id":"c","choices":[{"delta":{},"finish_reason":"stop"}]}',
    )

    assert events[1:-1] == [
        ChoiceEnd(
            choice=0,
            finish_reason="stop",
            native_finish_reason="END",
            extra=(("filter", '{"a":1}'), ("stop_reason", "null")),  # pyright: ignore[reportArgumentType]
        )
    ]


FINISHED = '{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}'
NO_DONE = Profile(stream_ends_with_done=False)


def test_a_stream_without_its_terminator_is_interrupted() -> None:
    for cut in (b"", b'data: {"id":', b"data: [DO"):
        events, decoder = stream(FINISHED, done=cut)
        assert isinstance(decoder.failure, Interrupted)
        assert End() not in events


def test_the_terminator_may_lack_its_empty_line_or_be_left_out() -> None:
    for events, decoder in (stream(FINISHED, done=b"data: [DONE]"), stream(FINISHED, done=b"", profile=NO_DONE)):
        assert decoder.ended
        assert events[-1] == End()
    assert isinstance(stream(done=b"", profile=NO_DONE)[1].failure, Interrupted)


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ('{"error":{"message":"x"}}', Overloaded),
        ('{"object":"error","message":"x"}', Overloaded),
        ("nonsense", Garbled),
        ('{"choices":[{"index":"0"}]}', Garbled),
        ('{"choices":7}', Garbled),
        ("x" * (9 << 20), Garbled),
    ],
)
def test_a_broken_stream_keeps_what_came_before(chunk: str, kind: type[Exception]) -> None:
    events, decoder = stream(FINISHED, chunk, FINISHED)

    assert [type(event) for event in events] == [StreamStart, TextDelta, ChoiceEnd]
    assert type(decoder.failure) is kind
    assert decoder.feed(DONE) == []


def test_thinking_and_references_are_collected_in_order() -> None:
    response = collect_chat(deltas('{"reasoning":"a"}', '{"content":[{"type":"reference"}]}', '{"content":"b"}'))

    content = response.choices[0].message.content
    assert content is not None
    assert [type(part) for part in content][:2] == [ThinkingPart, RawPart]
