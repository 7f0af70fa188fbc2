"""Streams of Cohere: the order of events, every cut, odd and broken streams."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, Interrupted, Overloaded
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    RawDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.core.usage import Usage

from tests.unit.dialects_cohere.wire import (
    DONE,
    START,
    answer,
    call,
    citation,
    end,
    event,
    message_event,
    plan,
    read,
    text,
    thinking,
    whole,
)

CITED = {"start": 0, "end": 2, "text": "Hé", "sources": [{"document": {"url": "https://x"}}]}
FULL = START + thinking("Hm", "…") + plan("I ", "löok.") + call(0, "look", '{"q":', ' "é"}') + call(1, "add", "{}")
FULL += text("Hé", "llo 🌍", index=1) + citation(0, CITED) + end("TOOL_CALL") + DONE
WHOLE = answer(
    {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm…"}, {"type": "text", "text": "Héllo 🌍"}],
        "tool_plan": "I löok.",
        "tool_calls": [
            {"id": "look_1", "type": "function", "function": {"name": "look", "arguments": '{"q": "é"}'}},
            {"id": "add_1", "type": "function", "function": {"name": "add", "arguments": "{}"}},
        ],
        "citations": [CITED],
    },
    "TOOL_CALL",
)


def test_events_come_in_the_order_of_the_hub() -> None:
    stream = START + plan("I look.") + call(0, "look", '{"q":1}') + end("TOOL_CALL") + DONE

    events, decoder = read([stream])

    assert events == [
        StreamStart(id="c14c80c3", model="", created_at=1_700_000_000),
        RoleDelta(choice=0, role="assistant"),
        ThinkingDelta(choice=0, text="I look."),
        ToolCallStart(choice=0, index=0, id="look_1", name="look"),
        ToolCallDelta(choice=0, index=0, arguments='{"q":1}'),
        RawDelta(choice=0, extra=(("tool_plan", '"I look."'),)),
        ChoiceEnd(choice=0, finish_reason="tool_calls", native_finish_reason="TOOL_CALL"),
        UsageReport(
            usage=Usage(
                prompt_tokens=210,
                completion_tokens=9,
                total_tokens=219,
                cached_tokens=64,
                extra=(("billed_units", '{"input_tokens":10,"output_tokens":4}'),),
            )
        ),
        End(),
    ]
    assert decoder.ended
    assert decoder.feed(b"data: anything\n\n") == []


def test_every_byte_alone_gives_the_same() -> None:
    events, _ = read([FULL])

    assert read(bytes([byte]) for byte in FULL)[0] == events
    assert collect_chat(events) == whole(WHOLE)


@settings(max_examples=100)
@given(st.lists(st.integers(1, len(FULL) - 1), max_size=12, unique=True).map(sorted), st.sampled_from([b"\n", b"\r\n"]))
def test_any_cut_gives_the_whole_answer(cuts: list[int], line_end: bytes) -> None:
    pieces = [FULL[a:b] for a, b in zip([0, *cuts], [*cuts, len(FULL)], strict=True)]

    events, decoder = read(piece.replace(b"\n", line_end) for piece in pieces)

    assert collect_chat(events) == whole(WHOLE)
    assert decoder.failure is None


WORDS = st.lists(st.text(min_size=1, max_size=5), max_size=3)


@settings(max_examples=100)
@given(WORDS, WORDS, WORDS, st.lists(st.tuples(st.sampled_from("fg"), WORDS), max_size=3))
def test_any_answer_streams_to_the_same(
    thoughts: list[str], plans: list[str], texts: list[str], calls: list[tuple[str, list[str]]]
) -> None:
    blocks = [{"type": "thinking", "thinking": "".join(thoughts)}, {"type": "text", "text": "".join(texts)}]
    made = [
        {"id": f"{name}_1", "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
        for name, pieces in calls
    ]
    message = {"role": "assistant", "content": blocks, "tool_plan": "".join(plans), "tool_calls": made}
    streamed = b"".join(call(index, name, *pieces) for index, (name, pieces) in enumerate(calls))

    events, decoder = read([START, thinking(*thoughts), plan(*plans), text(*texts, index=1), streamed, end()])

    assert decoder.failure is None
    assert collect_chat(events) == whole(answer(message))


def test_what_is_unknown_says_nothing() -> None:
    plain = START + text("a") + end()
    noisy = START + event("debug", prompt="x") + event("future-thing", delta=7) + b": comment\n\n" + text("a") + end()

    assert read([noisy])[0] == read([plain])[0]


def test_missing_and_null_members_say_nothing() -> None:
    empty = b"".join(
        event(kind, **members)
        for kind in ("content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta")
        for members in ({}, {"delta": None}, {"delta": {"message": None}}, {"delta": {"message": {}}})
    )
    odd = event("citation-start") + message_event("citation-start", citations=[]) + event("message-start")
    odd += message_event("tool-call-start", 4, tool_calls={"id": "x"})
    odd += message_event("tool-call-delta", 9, tool_calls={"function": {"arguments": "lost"}})
    odd += message_event("content-start", 0, content=None)

    assert read([START + empty + odd + text("a") + end()])[0] == read([START + text("a") + end()])[0]


def test_a_block_may_begin_with_its_text_and_a_call_with_its_arguments() -> None:
    begun = {"function": {"name": "f", "arguments": "{}"}}
    stream = message_event("content-start", 0, content={"type": "text", "text": "a"})
    stream += event("tool-call-start", delta={"message": {"tool_calls": begun}})
    stream += event("tool-call-delta", delta={"message": {"tool_calls": {"function": {"arguments": " "}}}})

    events, _ = read([START + stream + event("message-end")])

    assert events[2:] == [
        TextDelta(choice=0, text="a"),
        ToolCallStart(choice=0, index=0, id="call_abc123_0", name="f"),
        ToolCallDelta(choice=0, index=0, arguments="{}"),
        ToolCallDelta(choice=0, index=0, arguments=" "),
        ChoiceEnd(choice=0, finish_reason="tool_calls"),
        End(),
    ]


def test_an_index_that_comes_again_is_another_call() -> None:
    events, _ = read([START + call(0, "f", "1") + call(0, "g", "2") + end("TOOL_CALL")])

    assert [event.index for event in events if isinstance(event, ToolCallStart | ToolCallDelta)] == [0, 0, 1, 1]


def test_blocks_of_unknown_kinds_are_kept_as_they_began() -> None:
    events, decoder = read([START + message_event("content-start", 0, content={"type": "image", "x": 1}) + end()])

    assert RawDelta(choice=0, extra=(("content", '[{"type":"image","x":1}]'),)) in events
    assert decoder.ended


def test_a_stream_that_does_not_say_who_it_is() -> None:
    events, _ = read([text("a") + end()])

    assert events[:2] == [
        StreamStart(id="chatcmpl-abc123", model="", created_at=1_700_000_000),
        RoleDelta(choice=0, role="assistant"),
    ]


def test_the_last_event_may_lack_its_empty_line() -> None:
    stream = START + text("a") + end()

    events, decoder = read([stream.removesuffix(b"\n\n")])

    assert decoder.ended
    assert events == read([stream])[0]


@pytest.mark.parametrize(
    "stream",
    [b"", START, START + text("a"), START + text("a") + DONE, START + b'data: {"type":"content-del', START + b"data: "],
)
def test_streams_that_stop_early_are_interrupted(stream: bytes) -> None:
    _, decoder = read([stream])

    assert isinstance(decoder.failure, Interrupted)
    assert not decoder.ended


@pytest.mark.parametrize(
    "broken",
    [
        b"data: {oops}\n\n",
        b"data: <html>\n\n",
        b"data: []\n\n",
        b'data: {"type":7}\n\n',
        b'data: {"type":"content-delta","delta":7}\n\n',
        b'data: {"type":"content-start","delta":{"message":{"content":7}}}\n\n',
        b'data: {"type":"message-end","delta":{"usage":7}}\n\n',
        b'data: {"type":"content-delta","delta":{"message":{"content":{"text":"\xff"}}}}\n\n',
    ],
)
def test_broken_streams_are_garbled(broken: bytes) -> None:
    events, decoder = read([START + text("a") + broken + text("b") + end()])

    assert isinstance(decoder.failure, Garbled)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a"]


def test_an_event_without_end_is_garbled() -> None:
    events, decoder = read([START, b"data: ", b"x" * (8 << 20), b"\n\n", end()])

    assert isinstance(decoder.failure, Garbled)
    assert len(events) == 2


@pytest.mark.parametrize(
    "failing",
    [end("ERROR", error="out of memory"), end(error="out of memory"), b'data: {"message":"out of memory"}\n\n'],
)
def test_errors_in_streams(failing: bytes) -> None:
    _, decoder = read([START + text("a") + failing + end()])

    assert isinstance(decoder.failure, Overloaded)
    assert decoder.failure.told.detail == "out of memory"
    assert not decoder.ended


def test_an_error_as_the_last_words() -> None:
    _, decoder = read([START + end("ERROR").removesuffix(b"\n\n")])

    assert isinstance(decoder.failure, Overloaded)


@pytest.mark.parametrize("failing", [end("ERROR", error="out of memory"), end("ERROR")])
def test_an_error_as_the_first_words_begins_no_answer(failing: bytes) -> None:
    events, decoder = read([failing])

    assert events == []
    assert isinstance(decoder.failure, Overloaded)
