"""Whole answers, and streams that amount to the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.chat import ChatResponse, Choice, TextPart, ThinkingPart, ToolCall
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, Overloaded, Rejected
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.anthropic import CALLED

from tests.unit.dialects_anthropic.sent import STAMP
from tests.unit.dialects_anthropic.streaming import message, read, streamed

TEXT = {"type": "text", "text": "Hello"}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}


def whole(body: dict[str, Any]) -> ChatResponse:
    return CALLED[Operation.CHAT].decode_response(msgspec.json.encode(body), STAMP)


def both(body: dict[str, Any]) -> ChatResponse:
    """Read an answer whole and streamed: both must say the same."""
    response = whole(body)
    events, failure = read(streamed(body))
    assert failure is None
    assert collect_chat(events) == response
    return response


def choice(*content: dict[str, Any], **members: Any) -> Choice:
    return both(message(*content, **members)).choices[0]


def extras(found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {name: msgspec.json.decode(text) for name, text in found}


def test_plain_answer() -> None:
    response = both(message(TEXT))

    assert (response.id, response.model, response.created_at) == ("msg_1", "claude-x", STAMP.created_at)
    assert response.choices[0].message.content == (TextPart(text="Hello"),)
    assert response.choices[0].message.role == "assistant"
    assert response.extra == ()


def test_answer_without_a_name_gets_one() -> None:
    response = whole({"content": []})

    assert (response.id, response.model) == ("chatcmpl-abc123", "")
    assert response.choices[0].message.content is None
    assert response.choices[0].finish_reason == "stop"
    assert response.usage is None


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_else", "stop"),
    ],
)
def test_reasons_to_stop(native: str, reason: str) -> None:
    found = choice(TEXT, stop_reason=native)

    assert (found.finish_reason, found.native_finish_reason) == (reason, native)


def test_stop_sequence_is_told() -> None:
    assert extras(choice(TEXT, stop_reason="stop_sequence", stop_sequence="10").extra) == {"stop_sequence": "10"}


@pytest.mark.parametrize(
    ("details", "refusal"),
    [
        (None, "The provider's safety system stopped this answer."),
        (
            {"type": "refusal", "category": "cyber", "explanation": None},
            "The provider's safety system stopped this answer (cyber).",
        ),
        ({"type": "refusal", "category": "bio", "explanation": "Not that."}, "Not that."),
    ],
)
def test_refusal_says_why(details: dict[str, Any] | None, refusal: str) -> None:
    found = choice(TEXT, stop_reason="refusal", stop_details=details)

    assert found.message.refusal == refusal
    assert found.message.content == (TextPart(text="Hello"),)
    assert extras(found.extra) == ({"stop_details": details} if details else {})


def test_thinking_comes_with_its_signature() -> None:
    found = choice(
        {"type": "thinking", "thinking": "Let me see", "signature": "sig"},
        {"type": "thinking", "thinking": "", "signature": "sig2"},
        {"type": "redacted_thinking", "data": "xyz"},
        TEXT,
    )

    assert found.message.content == (
        ThinkingPart(text="Let me see", signature="sig"),
        ThinkingPart(signature="sig2"),
        ThinkingPart(redacted_data="xyz"),
        TextPart(text="Hello"),
    )


def test_thinking_of_hosts_that_do_not_sign() -> None:
    assert choice({"type": "thinking", "thinking": "hm", "signature": ""}, TEXT).message.content == (
        ThinkingPart(text="hm"),
        TextPart(text="Hello"),
    )


def test_parallel_calls() -> None:
    second = {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}, "caller": {"type": "direct"}}

    found = choice(TEXT, TOOL, second, stop_reason="tool_use")

    assert found.message.content == (TextPart(text="Hello"),)
    assert found.message.tool_calls == (
        ToolCall(id="toolu_1", name="f", arguments='{"a":1}'),
        ToolCall(id="toolu_2", name="g", arguments="{}"),
    )


def test_arguments_of_a_whole_call_stay_as_they_were_written() -> None:
    body = b'{"content":[{"type":"tool_use","name":"f","input":{"b": 1.0, "a":12345678901234567890123}}]}'

    call = CALLED[Operation.CHAT].decode_response(body, STAMP).choices[0].message.tool_calls[0]

    assert call == ToolCall(id="call_abc123_0_0", name="f", arguments='{"b": 1.0, "a":12345678901234567890123}')


def test_call_of_code_that_the_model_ran_keeps_its_caller() -> None:
    caller = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}

    call = choice(TOOL | {"caller": caller, "toolset_name": "browser"}).message.tool_calls[0]

    assert isinstance(call, ToolCall)
    assert extras(call.extra) == {"caller": caller, "toolset_name": "browser"}


def test_texts_are_one_text_and_citations_span_their_blocks() -> None:
    web = {
        "type": "web_search_result_location",
        "url": "https://x/y",
        "title": "Y",
        "cited_text": "c",
        "encrypted_index": "e",
    }
    page = {"type": "page_location", "cited_text": "c", "document_index": 0, "start_page_number": 1}
    own = {"type": "search_result_location", "source": "https://z", "title": None, "cited_text": "c"}
    odd = {"type": "odd", "url": 5}

    found = choice(
        {"type": "text", "text": "Héllo "},
        {"type": "text", "text": "world", "citations": [web, page]},
        {"type": "text", "text": "!", "citations": [own, odd]},
    )

    assert found.message.content == (TextPart(text="Héllo world!"),)
    assert extras(found.message.extra) == {
        "annotations": [
            {
                "type": "url_citation",
                "url_citation": {"start_index": 6, "end_index": 11, "url": "https://x/y", "title": "Y"},
            },
            {
                "type": "url_citation",
                "url_citation": {"start_index": 11, "end_index": 12, "url": "https://z", "title": ""},
            },
        ],
        "citations": [web, page, own, odd],
    }


def test_citations_of_documents_are_no_annotations() -> None:
    page = {"type": "page_location", "cited_text": "c", "document_index": 0}

    found = choice({"type": "text", "text": "x", "citations": [page]})

    assert extras(found.message.extra) == {"citations": [page]}


def test_blocks_of_server_tools_are_kept() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "x", "n": 1.5}]}
    news = {"type": "something_new", "text": 5, "deep": {"a": [1]}}

    found = choice(search, result, news, TEXT)

    assert found.message.content == (TextPart(text="Hello"),)
    assert extras(found.message.extra) == {"content_blocks": [search, result, news]}


def test_usage_counts_cached_tokens_into_the_prompt() -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
        "service_tier": "priority",
        "server_tool_use": None,
    }

    response = both(message(TEXT, usage=usage))

    assert response.usage == Usage(
        prompt_tokens=60,
        completion_tokens=5,
        total_tokens=65,
        cached_tokens=30,
        cache_write_tokens=20,
        reasoning_tokens=2,
        extra=(("service_tier", '"priority"'),),
    )
    assert response.service_tier == "priority"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": -1, "output_tokens": 5.0}, Usage(completion_tokens=5, total_tokens=5)),
        ({"service_tier": "standard"}, Usage(extra=(("service_tier", '"standard"'),))),
    ],
)
def test_strange_usages(usage: dict[str, Any], expected: Usage) -> None:
    assert whole(message(TEXT, usage=usage)).usage == expected


def test_members_of_the_message_that_are_not_known_are_kept() -> None:
    response = both(message(TEXT, container={"id": "c"}, diagnostics=None))

    assert extras(response.extra) == {"container": {"id": "c"}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b"{}",
        b'{"content":{}}',
        b'{"content":[1]}',
        b'{"content":[{"type":"text","text":5}]}',
        b'{"content":[{"type":"tool_use","name":5}]}',
        b'{"content":[],"usage":{"input_tokens":"many"}}',
        b'{"content":[],"usage":5}',
        b'{"content":[],"id":5}',
    ],
)
def test_broken_answers(body: bytes) -> None:
    with pytest.raises(Garbled, match="broke its format"):
        CALLED[Operation.CHAT].decode_response(body, STAMP)


def test_error_in_place_of_an_answer() -> None:
    overloaded = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'

    with pytest.raises(Overloaded):
        CALLED[Operation.CHAT].decode_response(overloaded, STAMP)
    with pytest.raises(Rejected, match="too big"):
        CALLED[Operation.CHAT].decode_response(
            overloaded.replace(b"overloaded_error", b"request_too_large").replace(b"Overloaded", b"too big"), STAMP
        )


texts = st.text(max_size=9)
blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(
        lambda text, pages: {
            "type": "text",
            "text": text,
            "citations": [{"type": "char_location", "document_index": page} for page in pages],
        },
        texts,
        st.lists(st.integers(0, 9), max_size=2),
    ),
    st.builds(lambda text, mark: {"type": "thinking", "thinking": text, "signature": mark}, texts, texts),
    st.builds(lambda text: {"type": "redacted_thinking", "data": text}, texts),
    st.builds(
        lambda arguments: {"type": "tool_use", "id": "t", "name": "f", "input": arguments},
        st.dictionaries(texts, st.integers() | texts, max_size=2),
    ),
    st.builds(
        lambda arguments: {"type": "server_tool_use", "id": "s", "name": "web_search", "input": arguments},
        st.dictionaries(texts, texts, max_size=2),
    ),
    st.builds(lambda text: {"type": "web_search_tool_result", "content": text}, texts),
)


@given(content=st.lists(blocks, max_size=5), step=st.integers(1, 40), reason=st.sampled_from(["end_turn", "refusal"]))
def test_every_answer_says_the_same_whole_and_in_any_pieces(
    content: list[dict[str, Any]], step: int, reason: str
) -> None:
    body = message(*content, stop_reason=reason)

    events, failure = read(streamed(body))
    again, _ = read(streamed(body), step)

    assert failure is None
    assert again == events
    assert collect_chat(events) == whole(body)
