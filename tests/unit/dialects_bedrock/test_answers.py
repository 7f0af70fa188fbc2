"""Answers, whole and streamed: what each kind of block becomes, and that both ways amount to the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.chat import ChatResponse, TextPart, ThinkingPart, ToolCall
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled
from isthmusd.core.events import End, Event
from isthmusd.core.profile import Profile
from isthmusd.core.usage import Usage

from tests.unit.dialects_bedrock.frames import block_start, block_stop, delta, streamed
from tests.unit.dialects_bedrock.requests import CHAT, STAMP

USAGE = {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """One answer in its two forms."""

    content: list[dict[str, Any]]
    pieces: tuple[bytes, ...]
    reason: str = "end_turn"
    about: dict[str, Any] | None = None

    def whole(self) -> ChatResponse:
        about = {"usage": USAGE} if self.about is None else self.about
        message = {"role": "assistant", "content": self.content}
        body = msgspec.json.encode({"output": {"message": message}, "stopReason": self.reason, **about})
        return CHAT.decode_response(body, STAMP)

    def stream(self) -> bytes:
        about = {"usage": USAGE} if self.about is None else self.about
        return streamed(*self.pieces, reason=self.reason, **about)


def decoded(data: bytes, ends: list[int] | None = None) -> list[Event]:
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events: list[Event] = []
    start = 0
    for end in [*sorted(ends or []), len(data)]:
        events += decoder.feed(data[start:end])
        start = end
    events += decoder.close()
    assert decoder.failure is None
    assert decoder.ended
    return events


TEXT = Both(content=[{"text": "Hello"}], pieces=(delta(0, text="Hel"), delta(0, text="lo"), block_stop(0)))
TEXTS = Both(
    content=[{"text": "a"}, {"text": "b"}, {"text": ""}],
    pieces=(delta(0, text="a"), block_stop(0), delta(1, text="b"), block_stop(1), delta(2, text=""), block_stop(2)),
    reason="stop_sequence",
)
CALLS = Both(
    content=[
        {"text": "I look."},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"n": 1.50}, "type": "tool_use"}},
        {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}},
        {"toolUse": {"toolUseId": "t3", "name": "h", "input": "{oops"}},
        {"toolUse": {"toolUseId": "t4", "name": "i", "input": None}},
    ],
    pieces=(
        delta(0, text="I look."),
        block_stop(0),
        block_start(1, toolUse={"toolUseId": "t1", "name": "f", "type": "tool_use"}),
        delta(1, toolUse={"input": ""}),
        delta(1, toolUse={"input": '{"n"'}),
        delta(1, toolUse={"input": ":1.5}"}),
        block_stop(1),
        block_start(2, toolUse={"toolUseId": "t2", "name": "g"}),
        block_stop(2),
        block_start(3, toolUse={"toolUseId": "t3", "name": "h"}),
        delta(3, toolUse={"input": "{oops"}),
        block_stop(3),
        block_start(4, toolUse={"toolUseId": "t4", "name": "i"}),
        block_stop(4),
    ),
    reason="tool_use",
)
THINKING = Both(
    content=[
        {"reasoningContent": {"reasoningText": {"text": "hmm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"reasoningContent": {"reasoningText": {"text": "open"}}},
        {"text": "yes"},
    ],
    pieces=(
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "mm"}),
        delta(0, reasoningContent={"signature": "s"}),
        delta(0, reasoningContent={"signature": "ig"}),
        block_stop(0),
        delta(1, reasoningContent={"redactedContent": "cmVk"}),
        block_stop(1),
        delta(2, reasoningContent={"text": "open"}),
        # No stop of the block: the next one's index says as much.
        delta(3, text="yes"),
        block_stop(3),
    ),
    reason="max_tokens",
)
WEB = {"location": {"web": {"url": "https://x.example/a", "domain": "x.example"}}, "title": "A"}
PAGE = {"location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}, "title": "report"}
FOUND = {"source": "https://x.example/b", "sourceContent": [{"text": "b"}]}
CITED = Both(
    content=[
        {"text": "Sö: "},
        {"citationsContent": {"content": [{"text": "one"}, {"text": " two"}], "citations": [WEB, PAGE]}},
        {"citationsContent": {"content": [{"text": " three"}], "citations": [FOUND]}},
    ],
    pieces=(
        delta(0, text="Sö: "),
        block_stop(0),
        delta(1, text="one"),
        delta(1, citation=WEB),
        delta(1, text=" two"),
        delta(1, citation=PAGE),
        block_stop(1),
        delta(2, text=" three"),
        delta(2, citation=FOUND),
        block_stop(2),
    ),
)
DRAWN = Both(
    content=[{"image": {"format": "webp", "source": {"bytes": "UklGRg=="}}}],
    pieces=(
        block_start(0, image={"format": "webp"}),
        delta(0, image={"source": {"bytes": "Ukl"}}),
        delta(0, image={"source": {"bytes": "GRg=="}}),
        block_stop(0),
    ),
)
SERVED_TOOLS = Both(
    content=[
        {"toolUse": {"toolUseId": "s1", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "s1", "content": [{"text": "x"}]}},
        {"somethingNew": {"a": 1}},
        {"text": "found"},
    ],
    pieces=(
        block_start(0, toolUse={"toolUseId": "s1", "name": "nova_grounding", "type": "server_tool_use"}),
        delta(0, toolUse={"input": "{}"}),
        block_stop(0),
        block_start(1, toolResult={"toolUseId": "s1"}),
        delta(1, toolResult=[{"text": "x"}]),
        block_stop(1),
        block_start(2, somethingNew={"a": 1}),
        delta(2, somethingNew={"a": 1}),
        block_stop(2),
        delta(3, text="found"),
        block_stop(3),
    ),
)
ABOUT = Both(
    content=[{"text": "x"}],
    pieces=(delta(0, text="x"), block_stop(0)),
    about={
        "metrics": {"latencyMs": 5},
        "performanceConfig": {"latency": "standard"},
        "serviceTier": {"type": "flex"},
        "trace": {"guardrail": {"actionReason": "none"}},
        "usage": {**USAGE, "cacheReadInputTokens": 30, "cacheWriteInputTokens": 2, "totalTokens": 44},
    },
)
WITHHELD = Both(content=[], pieces=(), reason="content_filtered")
GUARDED = Both(
    content=[{"text": "Sorry."}],
    pieces=(delta(0, text="Sorry."), block_stop(0)),
    reason="guardrail_intervened",
)
MALFORMED = Both(content=[], pieces=(), reason="malformed_model_output")
UNCOUNTED = Both(content=[{"text": "x"}], pieces=(delta(0, text="x"),), about={})
ALL = {
    "text": TEXT,
    "texts": TEXTS,
    "calls": CALLS,
    "thinking": THINKING,
    "cited": CITED,
    "drawn": DRAWN,
    "served tools": SERVED_TOOLS,
    "about": ABOUT,
    "withheld": WITHHELD,
    "guarded": GUARDED,
    "malformed": MALFORMED,
    "uncounted": UNCOUNTED,
}


@pytest.mark.parametrize("name", ALL)
def test_a_stream_amounts_to_the_whole_answer(name: str) -> None:
    both = ALL[name]

    events = decoded(both.stream())

    assert collect_chat(events) == both.whole()
    assert events[-1] == End()


@given(name=st.sampled_from(sorted(ALL)), places=st.lists(st.floats(min_value=0, max_value=1), max_size=8))
def test_every_cut_gives_the_same_events(name: str, places: list[float]) -> None:
    data = ALL[name].stream()

    assert decoded(data, [int(place * len(data)) for place in places]) == decoded(data)


def test_single_bytes_give_the_same_events() -> None:
    data = THINKING.stream()

    assert decoded(data, list(range(len(data)))) == decoded(data)


def test_an_answer_is_named_by_the_stamp() -> None:
    answer = TEXT.whole()

    assert (answer.id, answer.model, answer.created_at) == ("chatcmpl-s7", "", STAMP.created_at)
    assert answer.choices[0].message.content == (TextPart(text="Hello"),)
    assert answer.usage == Usage(prompt_tokens=7, completion_tokens=5, total_tokens=12)
    assert answer.extra == ()


def test_calls_keep_their_ids_and_the_text_of_their_arguments() -> None:
    choice = CALLS.whole().choices[0]

    assert choice.message.content == (TextPart(text="I look."),)
    assert choice.message.tool_calls == (
        ToolCall(id="t1", name="f", arguments='{"n":1.5}'),
        ToolCall(id="t2", name="g", arguments="{}"),
        ToolCall(id="t3", name="h", arguments="{oops"),
        ToolCall(id="t4", name="i", arguments="{}"),
    )


def test_numbers_in_arguments_keep_their_text() -> None:
    body = (
        b'{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"f",'
        b'"input":{"a":1.50,"b":12345678901234567890123}}}]}},"stopReason":"tool_use"}'
    )

    (call,) = CHAT.decode_response(body, STAMP).choices[0].message.tool_calls

    assert call.arguments == '{"a":1.50,"b":12345678901234567890123}'


def test_thinking_comes_first_with_what_must_go_back() -> None:
    assert THINKING.whole().choices[0].message.content == (
        ThinkingPart(text="hmm", signature="sig"),
        ThinkingPart(text="", redacted_data="cmVk"),
        ThinkingPart(text="open"),
        TextPart(text="yes"),
    )


def test_citations_are_annotations_where_they_have_addresses() -> None:
    message = CITED.whole().choices[0].message
    extra = {name: msgspec.json.decode(text) for name, text in message.extra}

    assert message.content == (TextPart(text="Sö: one two three"),)
    assert extra["citations"] == [WEB, PAGE, FOUND]
    first, second = (annotation["url_citation"] for annotation in extra["annotations"])
    assert first == {"start_index": 4, "end_index": 11, "url": "https://x.example/a", "title": "A"}
    assert second == {
        "start_index": 11,
        "end_index": 17,
        "url": "https://x.example/b",
        "title": "https://x.example/b",
    }


def test_images_are_kept_beside_the_content() -> None:
    message = DRAWN.whole().choices[0].message

    assert message.content is None
    (name, text), *rest = message.extra
    assert (name, rest) == ("images", [])
    assert msgspec.json.decode(text) == [{"type": "image_url", "image_url": {"url": "data:image/webp;base64,UklGRg=="}}]


def test_what_the_model_s_servers_did_is_left_out() -> None:
    choice = SERVED_TOOLS.whole().choices[0]

    assert choice.message.tool_calls == ()
    assert choice.message.content == (TextPart(text="found"),)
    assert choice.finish_reason == "stop"


def test_totals_include_what_the_cache_read_and_wrote() -> None:
    answer = ABOUT.whole()

    assert answer.usage == Usage(
        prompt_tokens=39, completion_tokens=5, total_tokens=44, cached_tokens=30, cache_write_tokens=2
    )
    assert answer.extra == (
        ("service_tier", '"flex"'),
        ("performanceConfig", '{"latency":"standard"}'),
        ("metrics", '{"latencyMs":5}'),
        ("trace", '{"guardrail":{"actionReason":"none"}}'),
    )


@pytest.mark.parametrize(
    ("given_usage", "usage"),
    [
        ({"totalTokens": 9}, Usage(total_tokens=9)),
        (
            {"inputTokens": 1, "outputTokens": -1, "cacheReadInputTokenCount": 0, "serverToolUsage": {}},
            Usage(prompt_tokens=1),
        ),
        (
            {"inputTokens": 1, "outputTokens": 2, "cacheDetails": [{"ttl": "5m", "inputTokens": 3}]},
            Usage(
                prompt_tokens=1,
                completion_tokens=2,
                total_tokens=3,
                extra=(("cacheDetails", '[{"ttl":"5m","inputTokens":3}]'),),
            ),
        ),
    ],
)
def test_odd_usages(given_usage: dict[str, Any], usage: Usage) -> None:
    both = Both(content=[], pieces=(), about={"usage": given_usage})

    assert both.whole().usage == usage
    assert collect_chat(decoded(both.stream())).usage == usage


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "stop"),
        ("malformed_tool_use", "stop"),
        ("brand_new", "stop"),
        ("stop", "stop"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    choice = Both(content=[{"text": "x"}], pieces=(), reason=reason).whole().choices[0]

    assert choice.finish_reason == finish
    assert choice.native_finish_reason == (None if reason == finish else reason)


def test_an_end_of_turn_with_calls_is_a_call() -> None:
    called = [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]

    assert Both(content=called, pieces=()).whole().choices[0].finish_reason == "tool_calls"


def test_a_withheld_answer_says_so() -> None:
    assert WITHHELD.whole().choices[0].message.refusal == "The provider withheld the answer (content_filtered)."
    assert GUARDED.whole().choices[0].message.refusal is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b"{}",
        b'{"output":{}}',
        b'{"output":{"message":{"content":7}}}',
        b'{"output":{"message":{"content":[7]}}}',
        b'{"output":{"message":{"content":[{"text":7}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"name":"f"}}]}}}',
        b'{"output":{"message":{"content":[{"citationsContent":{"citations":[7]}}]}}}',
        b'{"output":{"message":{"content":[]}},"usage":{"inputTokens":"many"}}',
        b'{"output":{"message":{"content":[]}},"usage":7}',
        b'{"output":{"message":{"content":[]}},"serviceTier":7}',
        b'{"output":{"message":{"content":[]}},"stopReason":7}',
    ],
)
def test_a_garbled_answer_is_called_so(body: bytes) -> None:
    with pytest.raises(Garbled, match="broke its format"):
        CHAT.decode_response(body, STAMP)


def test_an_answer_may_leave_things_out() -> None:
    answer = CHAT.decode_response(b'{"output":{"message":{}}}', STAMP)

    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is None
