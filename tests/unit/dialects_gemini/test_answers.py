"""Answers, whole and streamed: what they say, why they end, what they cost and cite."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import Choice, Message, TextPart, ThinkingPart, ToolCall
from isthmusd.core.errors import Garbled, Overloaded
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects import openai

from tests.unit.dialects_gemini.answering import (
    CLIP,
    CODE,
    GROUNDING,
    HEAD,
    OUTPUT,
    PICTURE,
    SOUND,
    WEATHER,
    answer,
    candidate,
    said,
    streamed,
    whole,
)
from tests.unit.dialects_gemini.asking import CHAT, STAMP, turns

Json = dict[str, Any]


def only(body: Json) -> Choice:
    (choice,) = whole(body).choices
    return choice


def extra_of(message: Message) -> Json:
    return {name: msgspec.json.decode(text) for name, text in message.extra}


def test_an_answer_says_who_it_is_and_what_it_cost() -> None:
    response = whole(said({"text": "Hi"}))

    assert (response.id, response.model, response.created_at) == ("r1", "gemini-x", STAMP.created_at)
    assert response.service_tier == "default"
    assert response.choices == (
        Choice(index=0, message=Message(role="assistant", content=(TextPart(text="Hi"),)), finish_reason="stop"),
    )
    assert response.usage == Usage(
        prompt_tokens=12,
        completion_tokens=8,
        total_tokens=20,
        cached_tokens=4,
        prompt_audio_tokens=6,
        reasoning_tokens=3,
        completion_audio_tokens=1,
        extra=(("toolUsePromptTokenCount", "2"), ("trafficType", '"ON_DEMAND"')),
    )


def test_an_answer_that_does_not_say_who_it_is_gets_an_identity() -> None:
    response = whole({"candidates": [candidate({"text": "Hi"})]})

    assert (response.id, response.model, response.created_at) == (f"chatcmpl-{STAMP.id}", "", STAMP.created_at)
    assert response.usage is None
    assert response.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("time", "seconds"), [("2026-03-12T18:06:01.734774Z", 1_773_338_761), ("yesterday", STAMP.created_at)]
)
def test_the_time_of_the_answer_is_the_providers_where_it_has_one(time: str, seconds: int) -> None:
    assert whole({**said({"text": "Hi"}), "createTime": time}).created_at == seconds


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"promptTokenCount": 3}, (3, 0, 3)),
        ({"promptTokenCount": 3, "candidatesTokenCount": 2}, (3, 2, 5)),
        ({"totalTokenCount": 7}, (0, 0, 7)),
        ({"promptTokenCount": -3, "totalTokenCount": 5}, (0, 0, 5)),
    ],
)
def test_counts_that_are_missing(counts: Json, expected: tuple[int, int, int]) -> None:
    usage = whole({**said({"text": "Hi"}), "usageMetadata": counts}).usage

    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == expected


def test_traffic_alone_is_no_usage() -> None:
    assert whole({**said({"text": "Hi"}), "usageMetadata": {"trafficType": "ON_DEMAND"}}).usage is None


def test_thoughts_come_first_with_their_signature() -> None:
    choice = only(
        said(
            {"text": "Hm", "thought": True, "thoughtSignature": "c2ln"}, {"text": ""}, {"text": "Hi", "thought": False}
        )
    )

    assert choice.message.content == (ThinkingPart(text="Hm", signature="c2ln"), TextPart(text="Hi"))


def test_an_empty_thought_may_carry_a_signature() -> None:
    choice = only(said({"text": "", "thought": True, "thoughtSignature": "c2ln"}, {"text": "Hi"}))

    assert choice.message.content == (ThinkingPart(signature="c2ln"), TextPart(text="Hi"))


def test_calls_keep_their_arguments_and_get_ids_where_google_gives_none() -> None:
    choice = only(
        said({**WEATHER, "thoughtSignature": "c2ln"}, {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}})
    )

    signed = (("extra_content", '{"google":{"thought_signature":"c2ln"}}'),)
    assert choice.message.tool_calls == (
        ToolCall(id="g1", name="weather", arguments='{"b":1.0,"a":12345678901234567890}', extra=signed),
        ToolCall(id=f"call_{STAMP.id}_0_1", name="f", arguments="{}"),
        ToolCall(id=f"call_{STAMP.id}_0_2", name="g", arguments="{}"),
    )
    assert choice.message.content is None
    assert (choice.finish_reason, choice.native_finish_reason) == ("tool_calls", "STOP")


def test_an_answer_goes_back_as_it_came() -> None:
    parts = [CODE, {"text": "Hi", "thoughtSignature": "dGV4dA=="}, PICTURE, {**WEATHER, "thoughtSignature": "Y2FsbA=="}]
    answered = openai.SERVED[Operation.CHAT].encode_response(whole(said(*parts)))

    message = msgspec.json.decode(answered)["choices"][0]["message"]
    sent = turns({"role": "user", "content": "Hi"}, message)

    assert sent.body["contents"][1] == {"role": "model", "parts": parts}
    assert sent.losses == ()


def test_parts_that_openai_lacks_are_kept() -> None:
    message = only(said(CODE, OUTPUT, {"text": "1"}, CLIP, {"novel": 1}, PICTURE)).message

    assert message.content == (TextPart(text="1"),)
    assert extra_of(message) == {
        "extra_content": {"google": {"parts": [CODE, OUTPUT, CLIP, {"novel": 1}]}},
        "images": [
            {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,AAAA"},
                "extra_content": {"google": {"thought_signature": "aW1n"}},
            }
        ],
    }


def test_spoken_answers_are_openais_audio() -> None:
    message = only(said(SOUND)).message

    assert message.audio is not None
    assert msgspec.json.decode(message.audio) == {
        "id": f"audio_{STAMP.id}_0",
        "data": "AAAA",
        "expires_at": STAMP.created_at,
        "transcript": "",
        "mime_type": "audio/L16;rate=24000",
    }


@pytest.mark.parametrize(
    ("word", "finish", "native"),
    [
        ("STOP", "stop", None),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("RECITATION", "content_filter", "RECITATION"),
        ("PROHIBITED_CONTENT", "content_filter", "PROHIBITED_CONTENT"),
        ("SPII", "content_filter", "SPII"),
        ("BLOCKLIST", "content_filter", "BLOCKLIST"),
        ("LANGUAGE", "content_filter", "LANGUAGE"),
        ("IMAGE_SAFETY", "content_filter", "IMAGE_SAFETY"),
        ("MALFORMED_FUNCTION_CALL", "stop", "MALFORMED_FUNCTION_CALL"),
        ("OTHER", "stop", "OTHER"),
        ("NOVEL", "stop", "NOVEL"),
    ],
)
def test_reasons_to_finish(word: str, finish: str, native: str | None) -> None:
    choice = only(said({"text": "Hi"}, finish=word))

    assert (choice.finish_reason, choice.native_finish_reason) == (finish, native)
    assert choice.message.refusal is None


def test_calls_that_were_cut_are_no_calls_to_make() -> None:
    assert only(said(WEATHER, finish="MAX_TOKENS")).finish_reason == "length"
    assert only(answer(candidate(WEATHER))).finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"finish": "SAFETY"}, "The provider ended the answer: SAFETY."),
        (
            {"finish": "MALFORMED_FUNCTION_CALL", "finishMessage": "Malformed: f("},
            "The provider ended the answer: MALFORMED_FUNCTION_CALL. Malformed: f(",
        ),
        ({"finish": "STOP"}, None),
        ({"finish": "MAX_TOKENS"}, None),
    ],
)
def test_silence_is_explained(members: Json, refusal: str | None) -> None:
    assert only(said(**members)).message.refusal == refusal


@pytest.mark.parametrize("feedback", [{"blockReason": "SAFETY"}, {"blockReason": "OTHER", "blockReasonMessage": "No."}])
def test_a_blocked_prompt_is_a_refusal(feedback: Json) -> None:
    blocked = {**HEAD, "promptFeedback": feedback}

    response = whole(blocked)

    assert streamed(blocked) == response
    (choice,) = response.choices
    assert choice.finish_reason == "content_filter"
    assert choice.native_finish_reason == feedback["blockReason"]
    assert choice.message.refusal is not None
    assert feedback["blockReason"] in choice.message.refusal
    assert feedback.get("blockReasonMessage", "") in choice.message.refusal
    assert response.usage is not None
    assert response.extra[0][0] == "promptFeedback"


def test_ratings_and_other_members_are_kept() -> None:
    ratings = [{"category": "C", "probability": "LOW"}]
    response = whole(
        answer(
            candidate({"text": "Hi"}, finish="STOP", safetyRatings=ratings, avgLogprobs=-0.5, finishMessage="Done."),
            promptFeedback={"safetyRatings": ratings},
            modelStatus={"stage": "x"},
        )
    )

    extra = {name: msgspec.json.decode(text) for name, text in response.choices[0].extra}
    assert extra == {"safetyRatings": ratings, "avgLogprobs": -0.5, "finishMessage": "Done."}
    assert [name for name, _ in response.extra] == ["promptFeedback", "modelStatus"]


def test_sources_in_a_form_to_come_are_kept() -> None:
    novel = {"groundingChunks": 3}

    assert extra_of(only(said({"text": "Hi"}, groundingMetadata=novel)).message) == {
        "citations": {"groundingMetadata": novel}
    }


def test_log_probabilities_are_openais() -> None:
    result = {
        "chosenCandidates": [{"token": "H", "logProbability": -0.1, "tokenId": 3}, {"token": "é"}],
        "topCandidates": [{"candidates": [{"token": "J", "logProbability": "-Infinity"}]}],
    }
    choice = only(said({"text": "Hé"}, logprobsResult=result))

    assert choice.logprobs is not None
    assert msgspec.json.decode(choice.logprobs) == {
        "content": [
            {
                "token": "H",
                "logprob": -0.1,
                "bytes": [72],
                "top_logprobs": [{"token": "J", "logprob": -9999, "bytes": [74]}],
            },
            {"token": "é", "logprob": 0, "bytes": [195, 169], "top_logprobs": []},
        ],
        "refusal": None,
    }
    assert only(said({"text": "H"}, logprobsResult={})).logprobs is None


def cited(url: str, start: int, end: int, title: str) -> Json:
    span = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": span}


def test_sources_are_annotations_and_stay_as_they_came() -> None:
    message = only(said({"text": "Über"}, {"text": " alles"}, groundingMetadata=GROUNDING)).message

    extra = extra_of(message)
    assert extra["annotations"] == [
        cited("https://a.example", 0, 4, "A"),
        cited("https://b.example", 0, 4, "https://b.example"),
        cited("https://c.example", 4, 8, "C"),
    ]
    assert extra["citations"] == {"groundingMetadata": GROUNDING}


def test_a_segment_may_count_from_its_part() -> None:
    segment = {"partIndex": 1, "startIndex": 1, "endIndex": 4, "text": "two"}
    lost = {"partIndex": 7, "startIndex": 1, "endIndex": 2, "text": "three"}
    moved = {"startIndex": 90, "endIndex": 93, "text": "one"}
    supports = [{"segment": place, "groundingChunkIndices": [0]} for place in (segment, lost, moved)]
    grounding = {"groundingChunks": [{"web": {"uri": "u"}}], "groundingSupports": supports}

    message = only(said({"text": "one"}, {"text": " two"}, groundingMetadata=grounding)).message

    assert extra_of(message)["annotations"] == [cited("u", 4, 7, "u"), cited("u", 1, 2, "u"), cited("u", 0, 3, "u")]


def test_sources_without_segments_stand_for_the_whole_answer() -> None:
    grounding = {"groundingChunks": [{"retrievedContext": {"uri": "u", "title": "T"}}]}

    message = only(said({"text": "Hi"}, groundingMetadata=grounding)).message

    assert extra_of(message)["annotations"] == [cited("u", 0, 2, "T")]


@pytest.mark.parametrize("name", ["citations", "citationSources"])
def test_recited_works_are_annotations(name: str) -> None:
    found = {name: [{"startIndex": 1, "endIndex": 3, "uri": "u", "license": "mit"}, {"title": "no link"}]}

    extra = extra_of(only(said({"text": "four"}, citationMetadata=found)).message)

    assert extra == {"annotations": [cited("u", 1, 3, "u")], "citations": {"citationMetadata": found}}


def test_searches_without_sources_are_kept() -> None:
    extra = extra_of(only(said({"text": "Hi"}, groundingMetadata={"webSearchQueries": ["q"]})).message)

    assert extra == {"citations": {"groundingMetadata": {"webSearchQueries": ["q"]}}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1",
        b"[]",
        b"[1]",
        b"{}",
        b"3",
        b'{"candidates": []}',
        b'{"candidates": [3]}',
        b'{"candidates": [{"content": {"parts": [3]}}]}',
        b'{"candidates": [{"content": {"parts": [{"text": 3}]}}]}',
        b'{"candidates": [{"finishReason": 3}]}',
        b'{"candidates": [{"safetyRatings": "\xff"}]}',
        b'{"promptFeedback": 3}',
        b'{"candidates": ' + b"[" * 100_000,
    ],
)
def test_answers_that_break_the_format_are_garbled(body: bytes) -> None:
    with pytest.raises(Garbled, match="broke its format"):
        CHAT.decode_response(body, STAMP)


def test_an_error_in_place_of_an_answer_is_that_error() -> None:
    with pytest.raises(Overloaded):
        whole({"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}})


def test_a_stream_that_came_as_one_array_is_read() -> None:
    body = msgspec.json.encode([answer(candidate({"text": "H"})), answer(candidate({"text": "i"}, finish="STOP"))])

    assert CHAT.decode_response(body, STAMP) == whole(said({"text": "Hi"}))
