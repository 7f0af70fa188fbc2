"""Thinking with its signatures over OpenAI's format: in requests, answers and streams, and through the client library
that callers use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.chat import ChatResponse, Choice, JsonText, Message, Part, RawPart, TextPart, ThinkingPart, ToolCall
from isthmusd.core.collect import collect_chat
from isthmusd.core.events import (
    ChoiceEnd,
    End,
    Event,
    RawDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
)
from isthmusd.core.profile import Profile
from isthmusd.core.replay import replay
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, served
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.unit.dialects.openai.values import STAMP

START = StreamStart(id="c", model="m", created_at=7)
SIGNATURE = JsonText('{"google":{"thought_signature":"abc"}}')
THOUGHTS = (
    ThinkingPart(text="first", signature="s1"),
    ThinkingPart(redacted_data="secret"),
    ThinkingPart(text="second", signature="s2"),
)
BLOCKS = [
    {"type": "thinking", "thinking": "first", "signature": "s1"},
    {"type": "redacted_thinking", "data": "secret"},
    {"type": "thinking", "thinking": "second", "signature": "s2"},
]


def request_with(message: dict[str, Any]) -> Message:
    body = {"model": "m", "messages": [{"role": "assistant", **message}]}
    request = served("openai", Operation.CHAT).decode_request(msgspec.json.encode(body))
    return request.messages[0]


def answer_of(*content: Part, **members: Any) -> ChatResponse:
    message = Message(role="assistant", content=content or None, **members)
    return ChatResponse(
        id="c", model="m", created_at=7, choices=(Choice(index=0, message=message, finish_reason="stop"),)
    )


def written(response: ChatResponse) -> dict[str, Any]:
    return msgspec.json.decode(served("openai", Operation.CHAT).encode_response(response))["choices"][0]["message"]


def chunks_of(events: Sequence[Event]) -> list[dict[str, Any]]:
    stream = served("openai", Operation.CHAT).stream_encoder(STAMP, False).feed([START, *events])
    return [msgspec.json.decode(event[6:]) for event in stream.split(b"\n\n") if event and event != b"data: [DONE]"]


def read(chunks: Sequence[dict[str, Any]]) -> Message:
    decoder = called("openai", Operation.CHAT).stream_decoder(STAMP, Profile())
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
    return collect_chat(events + decoder.feed(b"data: [DONE]\n\n")).choices[0].message


def put_together(chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a caller of OpenAI's own library gets."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.get_final_completion().choices[0].message.model_dump()


def test_blocks_of_a_request_win_over_the_text_that_repeats_them() -> None:
    message = request_with({"content": "said", "reasoning_content": "firstsecond", "thinking_blocks": BLOCKS})

    assert message.content == (*THOUGHTS, TextPart(text="said"))
    assert message.extra == ()


def test_parts_of_the_content_win_over_what_lies_beside_it() -> None:
    parts = [*BLOCKS, {"type": "text", "text": "said"}]

    message = request_with({"content": parts, "reasoning_content": "x", "thinking_blocks": BLOCKS[:1]})

    assert message.content == (*THOUGHTS, TextPart(text="said"))


@pytest.mark.parametrize("blocks", [None, [], [{"type": "other"}, 7, {"type": "thinking"}], "no list", [{}]])
def test_blocks_that_say_nothing_leave_the_text(blocks: object) -> None:
    message = request_with({"content": None, "reasoning_content": "why", "thinking_blocks": blocks})

    assert message.content == (ThinkingPart(text="why"),)


def test_what_is_no_thinking_stays_a_part_as_it_came() -> None:
    parts = ['{"type":"thinking","thinking":7}', '{"type":"redacted_thinking","data":7}']

    message = request_with({"content": [msgspec.Raw(part) for part in parts]})

    assert [getattr(part, "json", None) for part in message.content or ()] == parts


def test_unknown_members_of_a_block_survive() -> None:
    part = ThinkingPart(text="a", signature="s", extra=(("cache_control", JsonText('{"type":"x"}')),))

    message = request_with({"content": None, "thinking_blocks": written(answer_of(part))["thinking_blocks"]})

    assert message.content == (part,)


def test_answers_show_thinking_as_text_and_with_its_signatures() -> None:
    shown = written(answer_of(*THOUGHTS, TextPart(text="said")))

    assert shown["reasoning_content"] == "firstsecond"
    assert shown["thinking_blocks"] == BLOCKS
    assert shown["content"] == "said"


def test_plain_thinking_is_text_only() -> None:
    shown = written(answer_of(ThinkingPart(text="why"), TextPart(text="said")))

    assert shown["reasoning_content"] == "why"
    assert "thinking_blocks" not in shown


def test_a_part_that_is_both_is_two_blocks() -> None:
    part = ThinkingPart(text="a", redacted_data="r")

    assert written(answer_of(part))["thinking_blocks"] == [
        {"type": "thinking", "thinking": "a"},
        {"type": "redacted_thinking", "data": "r"},
    ]


def test_a_whole_answer_is_read_back_equal() -> None:
    response = answer_of(*THOUGHTS, TextPart(text="said"))
    body = served("openai", Operation.CHAT).encode_response(response)

    assert called("openai", Operation.CHAT).decode_response(body, STAMP) == response


def test_a_stream_gives_each_block_complete_when_it_closes() -> None:
    chunks = chunks_of(
        [
            ThinkingDelta(choice=0, text="fi"),
            ThinkingDelta(choice=0, text="rst"),
            ThinkingSignature(choice=0, signature="s1"),
            ThinkingSignature(choice=0, redacted_data="secret"),
            ThinkingDelta(choice=0, text="second"),
            ThinkingSignature(choice=0, signature="s2"),
        ]
    )

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"reasoning_content": "fi"},
        {"reasoning_content": "rst"},
        {"thinking_blocks": [{"index": 0, **BLOCKS[0]}]},
        {"thinking_blocks": [{"index": 1, **BLOCKS[1]}]},
        {"reasoning_content": "second"},
        {"thinking_blocks": [{"index": 2, **BLOCKS[2]}]},
    ]


def test_thinking_before_a_text_is_no_part_of_the_block_after_it() -> None:
    chunks = chunks_of(
        [
            ThinkingDelta(choice=0, text="unsigned"),
            TextDelta(choice=0, text="said"),
            ThinkingDelta(choice=0, text="more"),
            ThinkingSignature(choice=0),
            ThinkingSignature(choice=0, signature="s"),
        ]
    )

    assert chunks[-1]["choices"][0]["delta"]["thinking_blocks"] == [
        {"index": 0, "type": "thinking", "thinking": "", "signature": "s"}
    ]


def test_choices_are_counted_apart() -> None:
    chunks = chunks_of([ThinkingSignature(choice=0, signature="a"), ThinkingSignature(choice=1, signature="b")])

    assert [chunk["choices"][0]["delta"]["thinking_blocks"][0]["index"] for chunk in chunks] == [0, 0]


thoughts = st.lists(
    st.builds(ThinkingPart, text=st.text(min_size=1, max_size=4), signature=st.text(max_size=3))
    | st.builds(ThinkingPart, redacted_data=st.text(max_size=3)),
    max_size=4,
)


@given(thoughts, st.text(min_size=1))
def test_a_streamed_answer_is_the_whole_one(parts: list[ThinkingPart], text: str) -> None:
    response = answer_of(*parts, TextPart(text=text))

    assert read(chunks_of(replay(response)[1:])) == response.choices[0].message


def test_the_client_library_puts_blocks_calls_and_annotations_together() -> None:
    annotation = JsonText('[{"type":"url_citation","url_citation":{"url":"https://x"}}]')
    events: list[Event] = [
        RoleDelta(choice=0, role="assistant"),
        ThinkingDelta(choice=0, text="first"),
        ThinkingSignature(choice=0, signature="s1"),
        ThinkingSignature(choice=0, redacted_data="secret"),
        ThinkingDelta(choice=0, text="second"),
        ThinkingSignature(choice=0, signature="s2"),
        TextDelta(choice=0, text="said"),
        RawDelta(choice=0, extra=(("annotations", annotation), ("citations", JsonText('["https://x"]')))),
        RawDelta(choice=0, extra=(("annotations", annotation), ("citations", JsonText('["https://y"]')))),
        ToolCallStart(choice=0, index=0, id="call_1", name="f", extra=(("extra_content", SIGNATURE),)),
        ToolCallDelta(choice=0, index=0, arguments='{"a":'),
        ToolCallDelta(choice=0, index=0, arguments="1}"),
        ChoiceEnd(choice=0, finish_reason="tool_calls"),
        End(),
    ]

    message = put_together(chunks_of(events))

    assert message["content"] == "said"
    assert message["reasoning_content"] == "firstsecond"
    assert message["thinking_blocks"] == [{"index": place, **block} for place, block in enumerate(BLOCKS)]
    assert [entry["index"] for entry in message["annotations"]] == [0, 1]
    assert message["citations"] == ["https://x", "https://y"]
    assert message["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    assert message["tool_calls"][0]["extra_content"] == msgspec.json.decode(SIGNATURE)


def test_what_the_client_library_gives_back_is_understood() -> None:
    """A second turn: the accumulated message goes back as it is, indices included."""
    response = answer_of(
        *THOUGHTS,
        TextPart(text="said"),
        tool_calls=(ToolCall(id="c1", name="f", arguments="{}", extra=(("extra_content", SIGNATURE),)),),
    )
    message = put_together(chunks_of(replay(response)[1:]))

    returned = request_with({name: value for name, value in message.items() if value is not None})

    assert returned.content == response.choices[0].message.content
    call = returned.tool_calls[0]
    assert isinstance(call, ToolCall)
    assert msgspec.json.decode(dict(call.extra)["extra_content"]) == msgspec.json.decode(SIGNATURE)


def test_entries_that_have_an_index_keep_it() -> None:
    details = JsonText('[{"index":3,"type":"reasoning.text","text":"a"}]')
    lists = (("reasoning_details", details), ("search", JsonText('[[1],"x"]')), ("content", JsonText('[{"a":1}]')))

    delta = chunks_of([RawDelta(choice=0, extra=lists)])[0]["choices"][0]["delta"]

    assert delta == {
        "reasoning_details": [{"index": 3, "type": "reasoning.text", "text": "a"}],
        "search": [[1], "x"],
        "content": [{"a": 1}],
    }


def chunk(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_another_gateways_stream_of_blocks_is_understood() -> None:
    """LiteLLM repeats every piece of reasoning_content as a block, and closes with an empty one."""
    message = read(
        [
            chunk(reasoning_content="fi", thinking_blocks=[{"type": "thinking", "thinking": "fi", "signature": None}]),
            chunk(reasoning_content="rst", thinking_blocks=[{"type": "thinking", "thinking": "rst"}]),
            chunk(reasoning_content="", thinking_blocks=[{"type": "thinking", "thinking": "", "signature": "s1"}]),
            chunk(thinking_blocks=[{"type": "redacted_thinking", "data": "secret"}]),
            chunk(thinking_blocks=[{"type": "thinking", "thinking": "sec"}]),
            chunk(thinking_blocks=[{"type": "thinking", "thinking": "ond"}]),
            chunk(thinking_blocks=[{"type": "thinking", "thinking": "", "signature": "s2"}]),
            chunk(content="said"),
        ]
    )

    assert message.content == (*THOUGHTS, TextPart(text="said"))


def test_a_block_without_text_before_it_brings_its_own() -> None:
    assert read([chunk(thinking_blocks=BLOCKS), chunk(content="said")]).content == (*THOUGHTS, TextPart(text="said"))


def test_mistrals_parts_of_thinking_stream() -> None:
    def thinking(text: str, **members: Any) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **members}

    message = read(
        [chunk(content=[thinking("wh")]), chunk(content=[thinking("y", signature="s")]), chunk(content="said")]
    )

    assert message.content == (ThinkingPart(text="why", signature="s"), TextPart(text="said"))


def test_signatures_of_calls_survive_whole_answers() -> None:
    call = ToolCall(id="c1", name="f", arguments="{}", extra=(("extra_content", SIGNATURE),))
    annotations = (("annotations", JsonText('[{"type":"url_citation"}]')), ("citations", JsonText('["https://x"]')))
    response = answer_of(tool_calls=(call,), extra=annotations)
    body = served("openai", Operation.CHAT).encode_response(response)

    again = called("openai", Operation.CHAT).decode_response(body, STAMP)

    assert again == response
    assert request_with(written(response)) == dataclasses.replace(response.choices[0].message)


def test_cache_markers_survive_wherever_they_are_written() -> None:
    marker = {"cache_control": {"type": "ephemeral"}}
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": [{"type": "text", "text": "x", **marker}], **marker}],
        "tools": [
            {"type": "function", "function": {"name": "outer"}, **marker},
            {"type": "function", "function": {"name": "inner", **marker}},
        ],
    }

    request = served("openai", Operation.CHAT).decode_request(msgspec.json.encode(body))

    expected = (("cache_control", '{"type":"ephemeral"}'),)
    message = request.messages[0]
    assert message.extra == expected
    assert message.content == (TextPart(text="x", extra=expected),)
    assert [tool.extra for tool in request.tools] == [expected, expected]


def test_the_text_of_an_answer_is_one_string() -> None:
    parts = (TextPart(text="a"), ThinkingPart(text="why"), TextPart(text="b"))

    assert written(answer_of(*parts))["content"] == "ab"
    assert written(answer_of(ThinkingPart(text="why")))["content"] is None
    assert written(answer_of(TextPart(text=""), TextPart(text="b")))["content"] == "b"


def test_what_is_more_than_text_stays_a_list() -> None:
    reference = RawPart(json=JsonText('{"type":"reference","reference_ids":[1]}'))

    assert written(answer_of(TextPart(text="a"), ThinkingPart(text="why"), reference))["content"] == [
        {"type": "text", "text": "a"},
        {"type": "reference", "reference_ids": [1]},
    ]
