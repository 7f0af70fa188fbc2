"""Streams: order of events, endings, and what breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import TextPart
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, Interrupted, KeyRejected, Overloaded, Rejected, Throttled, TimedOut
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED

from tests.unit.dialects_anthropic.sent import STAMP
from tests.unit.dialects_anthropic.streaming import event, message, read, streamed

START = event("message_start", message=message())
TEXT = event("content_block_start", index=0, content_block={"type": "text", "text": "Hello"})
STOP = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
LAST = event("message_stop")


def delta(index: int, **members: Any) -> bytes:
    return event("content_block_delta", index=index, delta=members)


def test_order_of_events() -> None:
    body = streamed(
        message(
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            stop_reason="refusal",
            container={"id": "c"},
        )
    )

    events, failure = read(body)

    assert failure is None
    assert [type(found) for found in events] == [
        StreamStart,
        RoleDelta,
        ThinkingDelta,
        ThinkingSignature,
        TextDelta,
        ToolCallStart,
        ToolCallDelta,
        ToolCallDelta,
        ToolCallDelta,
        RefusalDelta,
        RawDelta,
        RawDelta,
        ChoiceEnd,
        UsageReport,
        End,
    ]


def test_events_come_as_soon_as_their_bytes_do() -> None:
    decoder = CALLED[Operation.CHAT].stream_decoder(STAMP, Profile())

    assert [type(found) for found in decoder.feed(START)] == [StreamStart, RoleDelta]
    assert decoder.feed(TEXT) == [TextDelta(choice=0, text="Hello")]
    assert decoder.feed(delta(0, type="text_delta", text=" you")) == [TextDelta(choice=0, text=" you")]
    assert not decoder.ended
    decoder.feed(STOP + LAST)
    assert decoder.ended
    assert decoder.feed(TEXT) == []
    assert decoder.close() == []


def test_later_counts_replace_earlier_ones() -> None:
    first = message(usage={"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1})
    last = event(
        "message_delta", delta={}, usage={"input_tokens": 12, "output_tokens": 7, "cache_read_input_tokens": None}
    )

    events, _ = read(event("message_start", message=first) + TEXT + last + STOP + LAST)

    usage = collect_chat(events).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (15, 3, 7)


def test_what_is_not_known_is_passed_over() -> None:
    noise = event("ping") + event("something_new", index=5) + b": comment\n\n" + b"data: {}\n\n"
    strange = delta(0, type="new_delta", text="lost") + event("content_block_stop", index=9)

    events, failure = read(noise + START + noise + TEXT + strange + STOP + LAST)

    assert failure is None
    assert collect_chat(events).choices[0].message.content == (TextPart(text="Hello"),)


def test_deltas_of_blocks_that_are_kept_whole() -> None:
    body = (
        START
        + event("content_block_start", index=0, content_block={"type": "compaction", "content": None})
        + delta(0, type="compaction_delta", content="so ")
        + delta(0, type="compaction_delta", content="far")
        + event("content_block_stop", index=0)
        + event("content_block_start", index=1, content_block={"type": "server_tool_use", "input": {}})
        + delta(1, type="input_json_delta", partial_json='{"cut')
        + event("content_block_stop", index=1)
        + event("content_block_start", index=2, content_block={"type": "redacted_thinking", "data": "x"})
        + delta(2, type="input_json_delta", partial_json="{}")
        + STOP
        + LAST
    )

    events, failure = read(body)

    assert failure is None
    assert dict(collect_chat(events).choices[0].message.extra) == {
        "content_blocks": '[{"type":"compaction","content":"so far"},{"type":"server_tool_use","input":"{\\"cut"}]'
    }


def test_block_that_is_not_closed_counts_as_far_as_it_came() -> None:
    call = event(
        "content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}
    )

    events, failure = read(START + call + STOP + LAST)

    assert failure is None
    assert ToolCallDelta(choice=0, index=0, arguments="{}") in events


def test_input_that_comes_with_the_start_of_a_call() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    call = event("content_block_start", index=0, content_block=block) + event("content_block_stop", index=0)
    empty = call.replace(b'{"a":1}', b"null")

    assert ToolCallDelta(choice=0, index=0, arguments='{"a":1}') in read(START + call + STOP + LAST)[0]
    assert ToolCallDelta(choice=0, index=0, arguments="{}") in read(START + empty + STOP + LAST)[0]


def test_stream_without_its_start_is_read_all_the_same() -> None:
    for body in (TEXT + STOP + LAST, STOP + LAST, LAST):
        events, failure = read(body)

        assert failure is None
        assert isinstance(events[0], StreamStart)
        assert events[0].id == "chatcmpl-abc123"
        assert events[-1] == End()


def test_second_start_says_nothing() -> None:
    events, failure = read(START + START + TEXT + STOP + LAST)

    assert failure is None
    assert sum(isinstance(found, StreamStart) for found in events) == 1


def test_what_context_editing_removed_is_kept() -> None:
    edited = event("message_delta", delta=None, usage=None, context_management={"applied_edits": []})

    events, failure = read(START + TEXT + edited + STOP + LAST)

    assert failure is None
    assert collect_chat(events).extra == (("context_management", '{"applied_edits":[]}'),)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("overloaded_error", Overloaded),
        ("api_error", Overloaded),
        ("rate_limit_error", Throttled),
        ("timeout_error", TimedOut),
        ("authentication_error", KeyRejected),
        ("billing_error", KeyRejected),
        ("permission_error", KeyRejected),
        ("invalid_request_error", Rejected),
        ("not_found_error", Rejected),
        ("something_new", Overloaded),
    ],
)
def test_errors_within_a_stream(kind: str, failure: type[Exception]) -> None:
    broken = event("error", error={"type": kind, "message": "M"}, request_id="req_1")

    events, found = read(START + TEXT + broken + STOP + LAST)

    assert type(found) is failure
    assert found.told.detail == "M"
    assert found.told.request_id == "req_1"
    assert events[-1] == TextDelta(choice=0, text="Hello")


def test_error_of_a_cloud_has_no_type() -> None:
    _, failure = read(START + b'data: {"error":{"code":500,"message":"M","status":"INTERNAL"}}\n\n')

    assert isinstance(failure, Overloaded)


@pytest.mark.parametrize("body", [b"", START, START + TEXT, START + TEXT + STOP, START + TEXT[:-20], START + STOP[:-1]])
def test_stream_that_stops_without_its_end_is_interrupted(body: bytes) -> None:
    _, failure = read(body)

    assert isinstance(failure, Interrupted)


def test_last_event_may_lack_its_empty_line() -> None:
    events, failure = read(START + TEXT + STOP + LAST.rstrip())

    assert failure is None
    assert events[-1] == End()


def test_error_may_be_the_last_event_without_its_empty_line() -> None:
    _, failure = read(START + event("error", error={"type": "overloaded_error", "message": "M"}).rstrip())

    assert isinstance(failure, Overloaded)


@pytest.mark.parametrize(
    "broken",
    [
        b"data: not json\n\n",
        b"data: [1]\n\n",
        b'data: {"type":5}\n\n',
        b'data: "\xff"\n\n',
        event("message_start", message=5),
        event("message_start"),
        event("content_block_start", index=0, content_block={"type": "text", "text": 5}),
        event("content_block_start", index=0),
        delta(7, type="text_delta", text="x"),
        TEXT + delta(0, type="text_delta", text=5),
        event("message_delta", delta={"stop_reason": 5}, usage={}),
        event("message_delta", delta={}, usage={"output_tokens": "x"}) + LAST,
        event("message_delta", delta={"stop_reason": "refusal", "stop_details": "x"}) + LAST,
    ],
)
def test_what_breaks_the_format_garbles_the_stream(broken: bytes) -> None:
    decoder = CALLED[Operation.CHAT].stream_decoder(STAMP, Profile())
    if b"message_start" not in broken:
        decoder.feed(START)

    decoder.feed(broken)

    assert isinstance(decoder.failure, Garbled)
    assert not decoder.ended
    assert decoder.feed(TEXT) == []
    assert decoder.close() == []


def test_event_without_end_garbles_the_stream() -> None:
    decoder = CALLED[Operation.CHAT].stream_decoder(STAMP, Profile())

    for _ in range(9):
        decoder.feed(b"x" * (1 << 20))

    assert isinstance(decoder.failure, Garbled)
