"""Calls of a schema's tool back to text: in whole answers, in streams, and the same in both."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    FunctionTool,
    JsonSchemaFormat,
    JsonText,
    Message,
    RawPart,
    RawToolCall,
    TextPart,
    ThinkingPart,
    ToolCall,
    plain_text,
)
from isthmusd.core.collect import collect_chat
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
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
from isthmusd.core.forced_tool import ForcedRequest, force
from isthmusd.core.replay import replay
from isthmusd.core.usage import Usage

OURS = ToolCall(id="c1", name="person", arguments='{"a": 1}')
REAL = ToolCall(id="c2", name="look_up", arguments='{"q":"x"}')
X = (("x", JsonText("1")),)


def forced(schema: Any = None, name: str = "person") -> ForcedRequest:
    text = JsonText(msgspec.json.encode(schema or {"type": "object"}).decode())
    form = JsonSchemaFormat(name=name, schema=text)
    messages = (Message(role="user", content=plain_text("hi")),)
    tools = (FunctionTool(name="look_up"),)
    return force(ChatRequest(model="m", messages=messages, tools=tools, response_format=form))


PLAIN, WRAPPED = forced(), forced({"type": "array"})


def answer(finish: str | None, *, native: str | None = None, **members: Any) -> ChatResponse:
    choice = Choice(
        index=0, message=Message(role="assistant", **members), finish_reason=finish, native_finish_reason=native
    )
    return ChatResponse(id="i", model="m", created_at=1, choices=(choice,))


def restored(response: ChatResponse, by: ForcedRequest = PLAIN) -> Choice:
    """Whole, and as a stream: both must agree."""
    whole = by.restore(response)
    assert collect_chat(by.mapper()(replay(response))) == collect_chat(replay(whole)) == whole
    return whole.choices[0]


def test_the_call_becomes_the_text() -> None:
    choice = restored(answer("tool_calls", native="tool_use", tool_calls=(OURS,)))

    assert choice.message == Message(role="assistant", content=plain_text('{"a": 1}'))
    assert (choice.finish_reason, choice.native_finish_reason) == ("stop", "tool_use")


@pytest.mark.parametrize(
    ("finish", "calls", "expected"),
    [
        ("stop", (OURS,), ("stop", None)),
        ("tool_calls", (OURS,), ("stop", "tool_calls")),
        ("tool_calls", (OURS, REAL), ("tool_calls", None)),
        ("length", (OURS,), ("length", None)),
        (None, (OURS,), (None, None)),
    ],
)
def test_finish_reasons(finish: str | None, calls: tuple[ToolCall, ...], expected: tuple[str | None, ...]) -> None:
    choice = restored(answer(finish, tool_calls=calls))

    assert (choice.finish_reason, choice.native_finish_reason) == expected


def test_an_answer_without_the_call_is_left_alone() -> None:
    for members in (
        {"content": plain_text("no JSON today"), "tool_calls": (REAL,)},
        {"content": (TextPart(text="a"), ThinkingPart(text="b"), TextPart(text="c"))},
        {"refusal": "no"},
    ):
        response = answer("stop", **members)

        assert restored(response) == response.choices[0]


def test_nothing_forced_nothing_changed() -> None:
    asked = ChatRequest(model="m", messages=(Message(role="user", content=plain_text("hi")),))
    response = answer("tool_calls", tool_calls=(OURS,))

    assert force(asked).restore(response) == response
    assert force(asked).mapper()(replay(response)) == replay(response)


def test_text_beside_the_call_is_dropped_and_thinking_stays() -> None:
    content = (
        ThinkingPart(text="hm", signature="s"),
        TextPart(text="Here it is:"),
        ThinkingPart(text="a"),
        RawPart(json=JsonText('{"type":"reference"}')),
        ThinkingPart(text="b", signature="t"),
    )

    choice = restored(answer("stop", content=content, tool_calls=(OURS,), refusal="r"))

    assert choice.message.content == (
        ThinkingPart(text="hm", signature="s"),
        ThinkingPart(text="ab", signature="t"),
        TextPart(text='{"a": 1}'),
    )
    assert choice.message.refusal == "r"


def test_real_calls_are_kept_and_renumbered() -> None:
    raw = RawToolCall(json=JsonText('{"type":"custom","custom":{"name":"person"}}'))
    again = dataclasses.replace(OURS, id="c9", arguments='{"a": 2}')

    choice = restored(answer("tool_calls", tool_calls=(OURS, REAL, again, raw)))

    assert choice.message.tool_calls == (REAL, raw)
    assert choice.message.content == plain_text('{"a": 1}')


def test_what_came_with_the_call_stays_with_the_message() -> None:
    signed = (("extra_content", JsonText('{"google":{"thought_signature":"s"}}')),)
    more = (("extra_content", JsonText('{"other":1}')), *X)
    call = dataclasses.replace(OURS, extra=(("index", JsonText("0")), *signed))

    message = restored(answer("stop", tool_calls=(call,), extra=more)).message

    assert message.extra == (("extra_content", '{"google":{"thought_signature":"s"},"other":1}'), *X)


@pytest.mark.parametrize(
    ("finish", "text", "expected"),
    [
        ("stop", "", "{}"),
        ("length", "", None),
        ("length", '{"a": [1', '{"a": [1'),
        ("stop", "not JSON", "not JSON"),
    ],
)
def test_odd_arguments(finish: str, text: str, expected: str | None) -> None:
    message = restored(answer(finish, tool_calls=(dataclasses.replace(OURS, arguments=text),))).message

    assert message.content == (None if expected is None else plain_text(expected))


@pytest.mark.parametrize(
    ("finish", "text", "expected"),
    [
        ("stop", '{"value":[1, {"a":"}]\\\\\\""}]}', '[1,{"a":"}]\\\\\\""}]'),
        ("stop", ' { "value" : "a, b" } ', '"a, b"'),
        ("stop", '{"value": null, "more": 1}', "null"),
        ("stop", '{"other": 1}', '{"other": 1}'),
        ("stop", "[1]", "[1]"),
        ("stop", '{"val', '{"val'),
        ("length", '{"value": [1, "a', '[1,"a'),
        ("stop", "", None),
    ],
)
def test_wrapped_values_come_out_bare(finish: str, text: str, expected: str | None) -> None:
    call = dataclasses.replace(OURS, arguments=text)

    message = restored(answer(finish, tool_calls=(call,)), WRAPPED).message

    shown = message.content
    match shown, expected:
        case (TextPart(text=given),), str():
            assert given.replace(", ", ",") == expected.replace(", ", ",")
        case _:
            assert shown is expected is None


@settings(max_examples=150)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=6)
        | st.sampled_from(['"', "\\", '\\"', "a }", "]"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_any_wrapped_value_comes_out_however_it_is_cut(value: Any, spaced: bool, cuts: list[int]) -> None:
    arguments = msgspec.json.encode({"value": value})
    text = (msgspec.json.format(arguments) if spaced else arguments).decode()
    starts = sorted({0, *(cut % (len(text) + 1) for cut in cuts)})
    events: list[Event] = [ToolCallStart(choice=0, index=0, id="c", name="person")]
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        events.append(ToolCallDelta(choice=0, index=0, arguments=text[start:stop]))
    events.append(ChoiceEnd(choice=0, finish_reason="tool_calls"))

    mapper = WRAPPED.mapper()
    given_events = [given for event in events for given in mapper([event])]

    written = "".join(event.text for event in given_events if isinstance(event, TextDelta))
    assert msgspec.json.decode(written) == value


def test_arguments_stream_through_as_they_come() -> None:
    mapper = PLAIN.mapper()
    start = ToolCallStart(choice=0, index=3, id="c", name="person", extra=X)

    assert mapper([StreamStart(id="i", model="m", created_at=1), RoleDelta(choice=0, role="assistant")])
    assert mapper([start]) == [RawDelta(choice=0, extra=X)]
    assert mapper([ToolCallDelta(choice=0, index=3, arguments='{"a')]) == [TextDelta(choice=0, text='{"a')]
    assert mapper([ToolCallStart(choice=0, index=4, id="d", name="look_up")]) == [
        ToolCallStart(choice=0, index=0, id="d", name="look_up")
    ]
    assert mapper([ToolCallDelta(choice=0, index=4, arguments="{")]) == [
        ToolCallDelta(choice=0, index=0, arguments="{")
    ]
    assert mapper([TextDelta(choice=0, text="so."), ToolCallDelta(choice=0, index=9, arguments="lost")]) == []
    assert mapper([ToolCallStart(choice=0, index=5, id="e", name="person")]) == []
    assert mapper([ToolCallDelta(choice=0, index=5, arguments="{}")]) == []
    assert mapper([ThinkingDelta(choice=0, text="t")]) == [ThinkingDelta(choice=0, text="t")]
    assert mapper([ChoiceEnd(choice=0, finish_reason="tool_calls")]) == [
        ChoiceEnd(choice=0, finish_reason="tool_calls")
    ]
    tail: list[Event] = [UsageReport(usage=Usage(prompt_tokens=1)), End()]
    assert mapper(tail) == tail


def test_held_text_is_given_once_no_call_came_and_in_its_order() -> None:
    mapper = PLAIN.mapper()
    said: list[Event] = [
        TextDelta(choice=0, text="a"),
        LogprobsDelta(choice=0, json=JsonText('{"content":[]}')),
        ThinkingDelta(choice=0, text="b"),
        ThinkingSignature(choice=0, signature="s"),
        RefusalDelta(choice=0, text="r"),
        AudioDelta(choice=0, json=JsonText("{}")),
        RawDelta(choice=0, extra=X),
    ]

    assert mapper(said) == []
    assert mapper([ToolCallStart(choice=0, index=0, id="d", name="look_up")])
    assert mapper([ChoiceEnd(choice=0, finish_reason="stop")]) == [*said, ChoiceEnd(choice=0, finish_reason="stop")]


def test_held_text_without_an_end_of_its_choice_comes_before_the_end() -> None:
    mapper = PLAIN.mapper()

    assert mapper([TextDelta(choice=1, text="a"), End()]) == [TextDelta(choice=1, text="a"), End()]


def test_log_probabilities_of_dropped_text_stay_as_in_whole_answers() -> None:
    mapper = PLAIN.mapper()
    logprobs = LogprobsDelta(choice=0, json=JsonText('{"content":[]}'))

    assert mapper([TextDelta(choice=0, text="a"), logprobs]) == []
    assert mapper([ToolCallStart(choice=0, index=0, id="d", name="person")]) == [logprobs]


def test_pieces_that_calls_get_late_find_their_way() -> None:
    mapper = PLAIN.mapper()
    mapper([ToolCallStart(choice=0, index=0, id="c", name="person")])
    mapper([ToolCallStart(choice=0, index=1, id="d", name="look_up")])
    mapper([ToolCallStart(choice=0, index=2, id="e", name="person")])
    pieces = JsonText('[{"x":1},{"index":1,"y":2},{"index":2,"z":3},{"type":"custom"}]')

    events = mapper([RawDelta(choice=0, extra=(("tool_calls", pieces), ("w", JsonText("4"))))])

    late = JsonText('[{"index":0,"y":2},{"index":1,"type":"custom"}]')
    assert events == [
        RawDelta(choice=0, extra=X),
        RawDelta(choice=0, extra=(("tool_calls", late),)),
        RawDelta(choice=0, extra=(("w", JsonText("4")),)),
    ]


text = st.text(max_size=4)
calls = st.builds(
    ToolCall,
    id=text,
    name=st.sampled_from(["person", "look_up"]),
    arguments=st.sampled_from(["", "{}", '{"value": [1, "}"], "b": 2}', '{"value"', "text"]),
    extra=st.sampled_from([(), X, (("y", JsonText('{"z":1}')),), (("index", JsonText("7")),)]),
) | st.just(RawToolCall(json=JsonText('{"type":"custom"}')))
parts = (
    st.builds(TextPart, text=st.text(min_size=1, max_size=4))
    | st.builds(ThinkingPart, text=st.text(min_size=1, max_size=4), signature=st.none() | text)
    | st.just(RawPart(json=JsonText('{"type":"reference"}')))
)
responses = st.builds(
    ChatResponse,
    id=text,
    model=text,
    created_at=st.just(1),
    choices=st.lists(
        st.builds(
            Choice,
            index=st.just(0),
            message=st.builds(
                Message,
                role=st.just("assistant"),
                content=st.none() | st.lists(parts, min_size=1, max_size=4).map(tuple),
                tool_calls=st.lists(calls, max_size=4).map(tuple),
                refusal=st.none() | text.filter(bool),
                extra=st.sampled_from([(), X]),
            ),
            finish_reason=st.sampled_from([None, "stop", "tool_calls", "length"]),
            native_finish_reason=st.none(),
            logprobs=st.sampled_from([None, JsonText('{"content":[]}')]),
        ),
        min_size=1,
        max_size=2,
    ).map(lambda choices: tuple(dataclasses.replace(choice, index=place) for place, choice in enumerate(choices))),
)


@settings(max_examples=300)
@given(responses, st.sampled_from([PLAIN, WRAPPED]))
def test_a_stream_gives_what_the_whole_answer_gives(response: ChatResponse, by: ForcedRequest) -> None:
    events = replay(response)
    mapper = by.mapper()

    mapped = [given for event in events for given in mapper([event])]

    assert collect_chat(mapped) == by.restore(collect_chat(events))
    assert mapped == by.mapper()(events)
