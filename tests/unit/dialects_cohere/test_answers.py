"""Whole answers of Cohere, and the same answers streamed: both must come out equal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import (
    ChatResponse,
    Choice,
    JsonText,
    Message,
    RawPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    plain_text,
)
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, Overloaded, TimedOut, UpstreamError
from isthmusd.core.usage import Usage

from tests.unit.dialects_cohere import wire
from tests.unit.dialects_cohere.wire import START, answer, end, read, whole

COUNTED = Usage(
    prompt_tokens=210,
    completion_tokens=9,
    total_tokens=219,
    cached_tokens=64,
    extra=(("billed_units", '{"input_tokens":10,"output_tokens":4}'),),
)


def hub(
    *, finish: str = "stop", native: str | None = "COMPLETE", logprobs: str | None = None, **message: Any
) -> ChatResponse:
    choice = Choice(
        index=0,
        message=Message(role="assistant", **message),
        finish_reason=finish,
        native_finish_reason=native,
        logprobs=None if logprobs is None else JsonText(logprobs),
    )
    return ChatResponse(id="c14c80c3", model="", created_at=1_700_000_000, choices=(choice,), usage=COUNTED)


def content(*blocks: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)} | members


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thought(said: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": said}


def calls(*named: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"id": f"{name}_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in named
    ]


def both(body: bytes, *stream: bytes) -> ChatResponse:
    """Read the whole answer and the streamed one, which must be equal."""
    events, decoder = read([START, *stream])
    assert decoder.failure is None
    assert decoder.ended
    answered = whole(body)
    assert collect_chat(events) == answered
    return answered


def test_text() -> None:
    assert both(answer(), wire.text("Hel", "lo"), end()) == hub(content=plain_text("Hello"))


def test_thinking_comes_before_text() -> None:
    body = answer(content(thought("Let me see."), text("Done.")))

    got = both(body, wire.thinking("Let me ", "see."), wire.text("Done", ".", index=1), end())

    assert got == hub(content=(ThinkingPart(text="Let me see."), TextPart(text="Done.")))


def test_parallel_tool_calls_with_a_plan() -> None:
    message = {"role": "assistant", "tool_plan": "I will look.", "tool_calls": calls(("look", '{"q":1}'), ("add", ""))}

    got = both(
        answer(message, "TOOL_CALL"),
        wire.plan("I will", " look."),
        wire.call(0, "look", '{"q"', ":1}"),
        wire.call(1, "add"),
        end("TOOL_CALL"),
    )

    assert got == hub(
        finish="tool_calls",
        native="TOOL_CALL",
        content=(ThinkingPart(text="I will look."),),
        tool_calls=(
            ToolCall(id="look_1", name="look", arguments='{"q":1}'),
            ToolCall(id="add_1", name="add", arguments="{}"),
        ),
        extra=(("tool_plan", '"I will look."'),),
    )


def test_a_plan_after_thinking() -> None:
    message = content(thought("hm "), text("So."), tool_plan="plan", tool_calls=calls(("look", "{}")))

    got = whole(answer(message, "TOOL_CALL"))

    assert got.choices[0].message.content == (ThinkingPart(text="hm plan"), TextPart(text="So."))


def test_blocks_of_one_kind_are_one_part() -> None:
    body = answer(content(thought("a"), thought("b"), text(""), text("c"), text("d")))

    got = both(body, wire.thinking("a"), wire.thinking("b", index=1), wire.text("c", index=2), wire.text("d"), end())

    assert got == hub(content=(ThinkingPart(text="ab"), TextPart(text="cd")))


WEB = {
    "start": 1,
    "end": 4,
    "text": "ell",
    "sources": [
        {"type": "document", "id": "d", "document": {"id": "d", "title": "T", "url": "https://x", "snippet": "…"}},
        {"type": "tool", "id": "t:0", "tool_output": {"url": "https://y"}},
        {"type": "tool", "id": "t:1", "tool_output": {"content": "z"}},
    ],
    "type": "TEXT_CONTENT",
    "content_index": 1,
}
PLAN = {"start": 0, "end": 1, "text": "I", "sources": [{"document": {"url": "https://p"}}], "type": "PLAN"}
ODD = {"start": "?", "sources": 7}


def test_citations_are_kept_and_those_of_the_web_are_annotations() -> None:
    body = answer(content(text("So: "), text("Hello"), citations=[WEB, PLAN, ODD]))

    got = both(
        body,
        wire.text("So: "),
        wire.text("Hello", index=1),
        *(wire.citation(index, cited) for index, cited in enumerate((WEB, PLAN, ODD))),
        end(),
    )

    names, values = zip(*got.choices[0].message.extra, strict=True)
    assert names == ("annotations", "citations")
    annotations, citations = map(msgspec.json.decode, values)
    assert citations == [WEB, PLAN, ODD]
    cited = {"start_index": 5, "end_index": 8}
    assert annotations == [
        {"type": "url_citation", "url_citation": cited | {"url": "https://x", "title": "T"}},
        {"type": "url_citation", "url_citation": cited | {"url": "https://y", "title": "https://y"}},
    ]


def test_citations_of_no_page_are_only_kept() -> None:
    cited = {"start": 0, "end": 1, "text": "a", "sources": [{"type": "tool", "tool_output": {"content": "1"}}]}

    got = both(answer(content(text("a"), citations=[cited])), wire.text("a"), wire.citation(0, cited), end())

    assert got.choices[0].message.extra == (("citations", msgspec.json.encode([cited]).decode()),)


@pytest.mark.parametrize(
    ("word", "reason", "native"),
    [
        ("COMPLETE", "stop", "COMPLETE"),
        ("STOP_SEQUENCE", "stop", "STOP_SEQUENCE"),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        ("ERROR_TOXIC", "content_filter", "ERROR_TOXIC"),
        ("SOMETHING_NEW", "SOMETHING_NEW", None),
        (None, "stop", None),
    ],
)
def test_finish_reasons(word: str | None, reason: str, native: str | None) -> None:
    got = both(answer(finish=word), wire.text("Hello"), end(word))

    assert got == hub(content=plain_text("Hello"), finish=reason, native=native)


def test_an_answer_with_calls_is_finished_by_them() -> None:
    got = both(answer({"tool_calls": calls(("f", "{}"))}), wire.call(0, "f", "{}"), end())

    assert got.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(("word", "kind"), [("ERROR", Overloaded), ("TIMEOUT", TimedOut)])
def test_failures_are_no_answers(word: str, kind: type[UpstreamError]) -> None:
    with pytest.raises(kind):
        whole(answer(finish=word))

    events, decoder = read([START, wire.text("Hel"), end(word)])
    assert isinstance(decoder.failure, kind)
    assert collect_chat(events).choices[0].finish_reason is None
    assert not decoder.ended


def test_an_error_in_place_of_an_answer() -> None:
    with pytest.raises(Overloaded) as failed:
        whole(b'{"id":"x","message":"model is asleep"}')

    assert failed.value.told.detail == "model is asleep"


LOGPROBS = [
    {"text": "Hel", "token_ids": [1], "logprobs": [-0.5]},
    {"text": "lo", "token_ids": [2, 3], "logprobs": [-0.25, -1.5]},
]


def test_log_probabilities_have_openais_shape() -> None:
    grown = [
        wire.event("content-delta", index=0, delta={"message": {"content": {"text": item["text"]}}}, logprobs=item)
        for item in LOGPROBS
    ]
    opened = wire.message_event("content-start", 0, content={"type": "text", "text": ""})

    got = both(answer(logprobs=LOGPROBS), opened, *grown, end())

    one = {"token": "Hel", "logprob": -0.5, "bytes": [72, 101, 108], "top_logprobs": []}
    several = {"token_ids": [2, 3], "token_logprobs": [-0.25, -1.5]}
    two = {"token": "lo", "logprob": -1.75, "bytes": [108, 111], "top_logprobs": []} | several
    assert msgspec.json.decode(got.choices[0].logprobs or "") == {"content": [one, two], "refusal": None}


def test_pieces_without_probabilities_say_nothing() -> None:
    delta = wire.event("content-delta", delta={"message": {"content": {"text": "Hello"}}}, logprobs={"token_ids": [1]})

    assert both(answer(logprobs=[{"text": "Hello"}]), delta, end()) == hub(content=plain_text("Hello"))


def test_what_is_left_out_or_unknown() -> None:
    odd = {"type": "image", "image": {"url": "u"}}

    got = whole(wire.json({"message": {"content": [odd], "mood": "good"}, "future": [1], "usage": None}))

    assert got == ChatResponse(
        id="chatcmpl-abc123",
        model="",
        created_at=1_700_000_000,
        choices=(
            Choice(
                index=0,
                message=Message(
                    role="assistant",
                    content=(RawPart(json=JsonText('{"type":"image","image":{"url":"u"}}')),),
                    extra=(("mood", JsonText('"good"')),),
                ),
                finish_reason="stop",
            ),
        ),
        extra=(("future", JsonText("[1]")),),
    )


def test_content_as_a_plain_string_and_none_at_all() -> None:
    assert whole(answer({"content": "Hello"})) == hub(content=plain_text("Hello"))
    assert both(answer({"content": []}), end()) == hub()
    assert both(answer({"content": ""}), end()) == hub()


def test_calls_without_ids_get_some() -> None:
    body = answer({"tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g", "arguments": "{}"}, "x": 1}]})

    made = whole(body).choices[0].message.tool_calls

    assert made == (
        ToolCall(id="call_abc123_0", name="f", arguments="{}"),
        ToolCall(id="call_abc123_1", name="g", arguments="{}", extra=(("x", JsonText("1")),)),
    )


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"billed_units": {"input_tokens": 3, "output_tokens": 2}}, (3, 2, 5, None)),
        ({"tokens": {"input_tokens": 3}}, (3, None, None, None)),
        ({"tokens": {"input_tokens": -1, "output_tokens": 1e300}, "cached_tokens": 0}, (None, None, None, 0)),
    ],
)
def test_counts(usage: dict[str, Any], counted: tuple[int | None, ...]) -> None:
    got = both(answer(usage=usage), wire.text("Hello"), end(usage=usage)).usage

    assert got is not None
    assert (got.prompt_tokens, got.completion_tokens, got.total_tokens, got.cached_tokens) == counted


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"message":{"content":7}}',
        b'{"message":{"content":[7]}}',
        b'{"message":{"tool_calls":[{}]}}',
        b'{"message":{},"usage":7}',
        b'{"message":{},"logprobs":7}',
        b'{"message":{},"finish_reason":7}',
        b'{"message":{"content":[{"type":"text","text":"\xff"}]}}',
    ],
)
def test_broken_answers_are_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        whole(body)


@pytest.mark.parametrize("pieces", [("null",), ("nu", "ll"), (" ", "null"), ()])
def test_arguments_that_are_none_are_an_empty_object(pieces: tuple[str, ...]) -> None:
    message = {"role": "assistant", "tool_calls": calls(("now", "".join(pieces)))}

    got = both(answer(message, "TOOL_CALL"), wire.call(0, "now", *pieces), end("TOOL_CALL"))

    assert got.choices[0].message.tool_calls == (ToolCall(id="now_1", name="now", arguments="{}"),)


def test_arguments_that_begin_like_none_are_kept() -> None:
    message = {"role": "assistant", "tool_calls": calls(("now", "nulla"))}

    got = both(answer(message, "TOOL_CALL"), wire.call(0, "now", "nul", "la"), end("TOOL_CALL"))

    assert got.choices[0].message.tool_calls == (ToolCall(id="now_1", name="now", arguments="nulla"),)
