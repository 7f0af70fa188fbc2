"""Streams: the same answer as the whole one, under every cut; ends, errors and what breaks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.chat import TextPart
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, Interrupted, Overloaded, Rejected, Throttled, UpstreamError
from isthmusd.core.events import ChoiceEnd, End, Event, RoleDelta, StreamStart, TextDelta, UsageReport
from isthmusd.core.profile import Profile

from tests.unit.dialects_gemini.answering import (
    CODE,
    GROUNDING,
    HEAD,
    OUTPUT,
    PICTURE,
    SOUND,
    WEATHER,
    answer,
    candidate,
    events_of,
    said,
    streamed,
    whole,
    wire,
)
from tests.unit.dialects_gemini.asking import CHAT, STAMP

Json = dict[str, Any]

LOGPROBS = {"logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1.0}]}}
THOUGHT: Json = {"text": "Hm", "thought": True, "thoughtSignature": "c2ln"}
SIGNED: Json = {"text": "", "thoughtSignature": "dGV4dA=="}
PARTS: list[Json] = [
    {"text": "Grüße, "},
    {"text": "日本"},
    {"text": ""},
    THOUGHT,
    SIGNED,
    WEATHER,
    CODE,
    OUTPUT,
    PICTURE,
]


def in_chunks(*parts: Json, finish: str = "STOP", **members: Any) -> list[Json]:
    """Give one chunk per part, and a last one that says why it ended."""
    last = candidate({"text": ""}, finish=finish, index=0, **members)
    return [*(answer(candidate(part, index=0)) for part in parts), answer(last)]


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6), st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY"]))
def test_a_stream_amounts_to_the_whole_answer(parts: list[Json], finish: str) -> None:
    assert streamed(*in_chunks(*parts, finish=finish)) == whole(said(*parts, {"text": ""}, finish=finish))


@settings(max_examples=60)
@given(st.data())
def test_every_cut_gives_the_same_events(data: st.DataObject) -> None:
    end = data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
    body = wire(*in_chunks(*PARTS, groundingMetadata=GROUNDING), end=end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))

    pieces = [body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert events_of(pieces) == events_of([body])


def test_single_bytes_give_the_same_events() -> None:
    body = wire(*in_chunks(*PARTS))

    assert events_of([body[place : place + 1] for place in range(len(body))]) == events_of([body])


def test_events_come_in_order() -> None:
    events = events_of([wire(*in_chunks({"text": "Hi"}))])

    assert [type(event) for event in events] == [StreamStart, RoleDelta, TextDelta, ChoiceEnd, UsageReport, End]


def test_events_come_as_soon_as_their_bytes() -> None:
    decoder = CHAT.stream_decoder(STAMP, Profile())

    assert TextDelta(choice=0, text="Hi") in decoder.feed(wire(answer(candidate({"text": "Hi"}))))
    assert not decoder.ended


def test_sources_searches_and_sound_amount_to_the_whole_answer() -> None:
    grounded = streamed(*in_chunks({"text": "Über"}, {"text": " alles"}, groundingMetadata=GROUNDING))

    assert grounded == whole(said({"text": "Über"}, {"text": " alles"}, groundingMetadata=GROUNDING))
    assert streamed(*in_chunks(SOUND, SOUND)) == whole(said(SOUND, SOUND))


def test_sources_of_several_chunks_are_all_kept() -> None:
    first, second = {"groundingChunks": [{"web": {"uri": "u"}}]}, {"groundingChunks": [{"web": {"uri": "v"}}]}
    chunks = [
        answer(candidate({"text": "a"}, groundingMetadata=first, citationMetadata={})),
        answer(candidate({"text": "b"}, groundingMetadata=second)),
        answer(candidate({"text": "c"}, groundingMetadata=second, finish="STOP")),
    ]

    extra = dict(streamed(*chunks).choices[0].message.extra)

    assert msgspec.json.decode(extra["citations"]) == {"groundingMetadata": [first, second]}
    assert [found["url_citation"]["url"] for found in msgspec.json.decode(extra["annotations"])] == ["u", "v"]


def test_log_probabilities_are_collected() -> None:
    chunks = [answer(candidate({"text": "a"}, **LOGPROBS)), answer(candidate({"text": "a"}, finish="STOP", **LOGPROBS))]

    (choice,) = streamed(*chunks).choices

    assert choice.logprobs is not None
    assert [found["token"] for found in msgspec.json.decode(choice.logprobs)["content"]] == ["a", "a"]


def test_text_after_the_first_finish_is_kept() -> None:
    chunks = [
        answer(candidate({"text": "a"}, finish="STOP")),
        answer(candidate({"text": "b"})),
        answer(candidate({"text": "c"}, finish="MAX_TOKENS")),
    ]

    (choice,) = streamed(*chunks).choices

    assert choice.message.content == (TextPart(text="abc"),)
    assert choice.finish_reason == "length"


def test_several_candidates_are_several_choices() -> None:
    chunks = [
        answer(candidate({"text": "a"}), candidate({"text": "x"})),
        answer(candidate({"text": "y"}, index=1, finish="STOP")),
        answer(candidate({"text": "b"}, index=0, finish="MAX_TOKENS")),
    ]

    response = streamed(*chunks)

    assert response == whole(
        answer(
            candidate({"text": "ab"}, index=0, finish="MAX_TOKENS"), candidate({"text": "xy"}, index=1, finish="STOP")
        )
    )


def test_the_last_counts_win_and_empty_ones_are_ignored() -> None:
    raised = {"promptTokenCount": 11, "candidatesTokenCount": 9, "totalTokenCount": 20}
    chunks = [
        {**answer(candidate({"text": "a"})), "usageMetadata": {"trafficType": "ON_DEMAND"}},
        {**answer(candidate({"text": "b"})), "usageMetadata": raised},
        {**answer(candidate(finish="STOP")), "usageMetadata": {"trafficType": "ON_DEMAND"}},
    ]

    usage = streamed(*chunks).usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (11, 9, 20)


def test_feedback_that_repeats_is_said_once() -> None:
    feedback = {"promptFeedback": {"safetyRatings": [{"category": "C"}]}}
    chunks = [{**chunk, **feedback} for chunk in in_chunks({"text": "a"}, {"text": "b"})]

    assert streamed(*chunks) == whole({**said({"text": "ab"}), **feedback})


def test_chunks_without_candidates_say_nothing() -> None:
    chunks = [{**HEAD, "candidates": []}, HEAD, *in_chunks({"text": "Hi"})]

    assert streamed(*chunks) == whole(said({"text": "Hi"}))


def broken(*pieces: bytes) -> tuple[UpstreamError, list[Event]]:
    decoder = CHAT.stream_decoder(STAMP, Profile())
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    assert decoder.failure is not None
    assert not decoder.ended
    assert decoder.feed(b"data: {}\n\n") == []
    assert decoder.close() == []
    return decoder.failure, events


GOOD = wire(answer(candidate({"text": "Hi"})))
LAST = wire(answer(candidate({"text": "Hi"}, finish="STOP")))


@pytest.mark.parametrize(
    "body",
    [b"", b": comment\n\n", GOOD, wire(HEAD), LAST[:-30], GOOD + LAST[:40], b"\n\n", b"<html>oops</html>"],
)
def test_a_body_that_ends_too_early_is_interrupted(body: bytes) -> None:
    failure, _ = broken(body)

    assert isinstance(failure, Interrupted)


def test_one_unfinished_candidate_interrupts_the_stream() -> None:
    failure, _ = broken(wire(answer(candidate({"text": "a"}, finish="STOP"), candidate({"text": "b"}))))

    assert isinstance(failure, Interrupted)


def test_the_last_event_may_lack_its_empty_line() -> None:
    assert events_of([LAST.rstrip()]) == events_of([LAST])
    assert events_of([LAST.rstrip() + b"\n"]) == events_of([LAST])
    assert events_of([LAST.rstrip() + b"\r\n\r"]) == events_of([LAST])


@pytest.mark.parametrize("data", [b"{broken", b"3", b'{"candidates": 3}', b"[DONE]", b'{"modelStatus": "\xff"}'])
def test_events_that_break_the_format_are_garbled(data: bytes) -> None:
    failure, events = broken(GOOD, b"data: " + data + b"\n\n", GOOD)

    assert isinstance(failure, Garbled)
    assert events == CHAT.stream_decoder(STAMP, Profile()).feed(GOOD)


def test_an_event_beyond_measure_is_garbled() -> None:
    failure, _ = broken(b"data: " + b"a" * (65 << 20))

    assert isinstance(failure, Garbled)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'data: {"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}\n\n', Overloaded),
        (b'data: {"error": {"code": 429, "message": "Slow down"}}', Throttled),
        (b'data: {"error": {"status": "RESOURCE_EXHAUSTED"}}\n\n', Throttled),
        (b'data: {"error": {"message": "?"}}\n\n', Overloaded),
        (
            b'{\n  "error": {\n    "code": 400,\n    "message": "Bad",\n    "status": "INVALID_ARGUMENT"\n  }\n}',
            Rejected,
        ),
        (b'[{"error": {"code": 500, "message": "Oops"}}]\n\n', Overloaded),
    ],
)
def test_errors_inside_a_stream_have_their_kind(body: bytes, kind: type[UpstreamError]) -> None:
    failure, events = broken(GOOD, body)

    assert isinstance(failure, kind)
    assert TextDelta(choice=0, text="Hi") in events


def test_an_answer_in_one_event_is_the_whole_answer() -> None:
    assert collect_chat(events_of([wire(said(*PARTS))])) == whole(said(*PARTS))
