"""A kept stream becomes the whole answer that its provider would have given, or none at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.chat import ChatResponse, TextPart, ThinkingPart
from isthmusd.core.collect import collect_chat
from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.replay import replay
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.registry import called, served

from tests.golden.recorded import differences
from tests.unit.dialects.openai import values
from tests.unit.dialects.openai.recasting import (
    DONE,
    END,
    HEAD,
    PLAIN,
    TOLD,
    USAGE,
    WHOLE,
    accumulated,
    chunk,
    recast,
    sse,
    whole_of,
)

COMPLETION = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}


def call(index: int, **members: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **members}]}


def test_a_text_is_put_together_under_the_ids_and_times_of_its_stream() -> None:
    stream = sse(
        chunk({"role": "assistant", "content": "", "refusal": None}) | {"obfuscation": "xx"},
        chunk({"content": "Good "}) | {"obfuscation": "yyyy", "created": 2},
        chunk({"content": "day\u2028"}),
        END | {"service_tier": "default"},
        {**HEAD, "choices": [], "usage": TOLD | {"num_sources_used": 0, "cost": 1.50}},
    )

    whole = whole_of(stream, usage=USAGE)

    assert whole == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Good day\u2028", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": TOLD | {"num_sources_used": 0, "cost": 1.5},
        "system_fingerprint": "fp",
        "service_tier": "default",
    }
    assert list(differences(accumulated(stream)["choices"], whole["choices"])) == []


def test_numbers_stay_as_they_were_written() -> None:
    text = b'data: {"id":"a","x":12345678901234567890123,"choices":[{"index":0,"delta":{"content":"a"},'
    text += b'"logprobs":{"content":[{"token":"a","logprob":-1.50e-05}]},"finish_reason":"stop"}]}\n\n'

    (whole,) = recast(Operation.CHAT, [text, DONE], PLAIN, WHOLE)

    assert b'"logprob":-1.50e-05' in whole
    assert b'"x":12345678901234567890123' in whole


def test_tool_calls_are_put_together_by_their_index_and_lose_it() -> None:
    stream = sse(
        chunk({"role": "assistant", "content": None}),
        chunk(call(0, id="call_1", type="function", function={"name": "look_up", "arguments": ""})),
        chunk(call(0, function={"arguments": '{"a"'})),
        chunk(call(1, id="call_2", type="custom", custom={"name": "run", "input": "ls"})),
        chunk(call(0, id="", function={"name": "", "arguments": ":1}"})),
        chunk(call(1, id="call_2", custom={"input": " -l"})),
        chunk(finish_reason="tool_calls"),
    )

    message = whole_of(stream)["choices"][0]["message"]

    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a":1}'}},
        {"id": "call_2", "type": "custom", "custom": {"name": "run", "input": "ls -l"}},
    ]


def test_thinking_refusals_audio_and_what_vendors_add_keep_their_names() -> None:
    stream = sse(
        chunk({"role": "assistant", "reasoning": "Hm", "reasoning_content": "Hm"}) | {"provider": "P", "x": None},
        chunk({"reasoning": ", so", "reasoning_content": ", so", "function_call": None}) | {"provider": "P"},
        chunk({"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "Hm"}]}),
        chunk({"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": ", so", "signature": "c2ln"}]}),
        chunk({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "Hm"}]}),
        chunk({"refusal": "I "}, stop_reason=None, filtered={}),
        chunk({"refusal": "won't", "audio": {"id": "a", "data": "QUJD", "transcript": "I "}}),
        chunk({"audio": {"data": "REVG", "transcript": "won't", "expires_at": 9}}, filtered={"hate": {"on": False}}),
        chunk({"annotations": [{"type": "url_citation"}], "tags": ["a"]}, filtered={"sex": {"on": False}}),
        chunk({"annotations": [{"type": "file"}], "tags": []}, stop_reason=7),
        chunk({"tool_calls": []}, finish_reason="stop", filtered={}) | {"x_v": {"id": "r"}, "citations": ["u"]},
        {**HEAD, "choices": [], "x_v": {"usage": {"n": 1}}, "citations": ["u"], "usage": None},
    )

    whole = whole_of(stream)

    (choice,) = whole.pop("choices")
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "I won't",
        "reasoning": "Hm, so",
        "reasoning_content": "Hm, so",
        "reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "Hm, so", "signature": "c2ln"}],
        "thinking_blocks": [{"type": "thinking", "thinking": "Hm"}],
        "audio": {"id": "a", "data": "QUJDREVG", "transcript": "I won't", "expires_at": 9},
        "annotations": [{"type": "url_citation"}, {"type": "file"}],
        "tags": ["a"],
        "tool_calls": [],
    }
    assert (choice["stop_reason"], choice["filtered"]) == (7, {"hate": {"on": False}, "sex": {"on": False}})
    vendors = {"provider": "P", "x": None, "x_v": {"id": "r", "usage": {"n": 1}}, "citations": ["u"]}
    assert whole == {**HEAD, "object": "chat.completion", **vendors}


def test_choices_are_told_apart_and_ordered() -> None:
    def part(index: int | None, text: str, finish: str | None = None) -> dict[str, Any]:
        named = {} if index is None else {"index": index}
        logprobs = {"content": [{"token": text}], "refusal": None}
        return {**named, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": finish}

    stream = sse(
        {**HEAD, "choices": [part(1, "b")]},
        {**HEAD, "choices": [part(None, "a"), part(None, "B", "length")]},
        {**HEAD, "choices": [part(0, "A", "stop")]},
    )

    first, second = whole_of(stream)["choices"]

    assert (first["message"]["content"], first["finish_reason"]) == ("aA", "stop")
    assert (second["message"]["content"], second["finish_reason"]) == ("bB", "length")
    assert first["logprobs"] == {"content": [{"token": "a"}, {"token": "A"}], "refusal": None}


def test_a_chunk_of_nobody_before_the_first_does_not_name_the_answer() -> None:
    filtered = {"id": "", "object": "", "created": 0, "model": "", "choices": None, "prompt_filter_results": [{"a": 1}]}

    whole = whole_of(sse(filtered, chunk({"content": "a"}), END))

    assert (whole["id"], whole["created"], whole["model"]) == ("chatcmpl-1", 1, "m")
    assert whole["prompt_filter_results"] == [{"a": 1}]


def test_what_nobody_said_comes_from_the_stamp() -> None:
    whole = whole_of(sse({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}))

    assert (whole["id"], whole["created"], whole["model"]) == ("chatcmpl-abc123", 1_700_000_000, "")


@pytest.mark.parametrize(
    ("known", "told"), [(USAGE, TOLD), (None, None), (Usage(prompt_tokens=3, estimated=True), None)]
)
def test_usage_that_the_stream_did_not_tell_is_told_if_it_is_no_guess(known: Usage | None, told: Any) -> None:
    assert whole_of(sse(chunk({"content": "a"}), END), usage=known).get("usage") == told


def test_completions_are_put_together() -> None:
    def part(text: str, finish: str | None = None) -> dict[str, Any]:
        logprobs = {"tokens": [text], "token_logprobs": [-1.5], "top_logprobs": [None], "text_offset": [0]}
        return COMPLETION | {"choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}]}

    whole = whole_of(sse(part("a"), part("b"), part("", "stop")), Operation.COMPLETION, USAGE)

    assert whole["object"] == "text_completion"
    assert whole["usage"] == TOLD
    (choice,) = whole["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "stop")
    assert choice["logprobs"]["tokens"] == ["a", "b", ""]


def test_plain_pieces_and_others_are_joined_in_their_order() -> None:
    stream = sse(
        chunk({"role": "assistant", "content": "a"}) | {"service_tier": "auto"},
        chunk({"content": "b"}),
        chunk({"content": "c", "reasoning_content": "A"}) | {"service_tier": "default"},
        chunk({"reasoning_content": "B", "role": ""}),
        chunk({"content": "d"}, logprobs={"content": [{"token": "d"}]}),
        chunk({"role": "assistant", "content": "e"}, index=1),
        chunk({"content": "f"}, index=1) | {"system_fingerprint": "other"},
        chunk({"content": "g"}),
        END,
        chunk(index=1, finish_reason="stop"),
    )

    whole = whole_of(stream)

    first, second = (choice["message"] for choice in whole["choices"])
    assert (first["content"], first["reasoning_content"], second["content"]) == ("abcdg", "AB", "ef")
    assert (whole["service_tier"], whole["system_fingerprint"]) == ("default", "fp")
    assert list(differences(accumulated(stream)["choices"], whole["choices"])) == []


def test_comments_and_the_cut_of_blocks_say_nothing() -> None:
    stream = sse(chunk({"content": "a"}), chunk({"content": "b"}), END)
    events = [block + b"\n\n" for block in stream.split(b"\n\n")[:-1]]

    whole = whole_of(stream)

    assert json.loads(recast(Operation.CHAT, events, PLAIN, WHOLE)[0]) == whole
    assert json.loads(recast(Operation.CHAT, [b": hm\n\n", *events], PLAIN, WHOLE)[0]) == whole
    assert whole_of(stream.replace(b"\n", b"\r\n")) == whole


@pytest.mark.parametrize(
    "chunks",
    [
        (chunk({"content": "a"}),),
        (),
        ({**HEAD, "choices": []},),
        # Of another call under the same index: Gemini's compatible endpoint numbers every call 0.
        (chunk(call(0, id="1", function={"name": "f"})), chunk(call(0, id="2", function={"name": "f"})), END),
        (chunk(call(0, function={"name": "f"})), chunk(call(0, function={"name": "f"})), END),
        (chunk(call(0, id="1")), chunk({"tool_calls": [{"id": "2"}]}), END),
        (chunk({"tool_calls": [{"index": 0, "id": "1"}, {"id": "2"}]}), END),
        (chunk({"tags": ["a"]}), chunk({"tags": ["b"]}), END),
        (chunk({"content": [{"type": "text"}]}), chunk({"content": [{"type": "text"}]}), END),
        (chunk({"content": "a"}), chunk({"content": [{"type": "text"}]}), END),
        (chunk({"role": "assistant"}), chunk({"role": "critic"}), END),
        (chunk({"mood": "a"}), chunk({"mood": "b"}), END),
        (chunk({"audio": {"data": "QQ=="}}), chunk({"audio": {"data": "QQ=="}}), END),
        (chunk(stop_reason="a"), chunk(finish_reason="stop", stop_reason="b")),
        (chunk(finish_reason="stop"), chunk(finish_reason="length")),
        (chunk(finish_reason="stop", message={"content": "a"}),),
        # Of pieces that are equal nobody knows whether they are said twice: vLLM's token_ids are not.
        (chunk({"content": "ha"}, token_ids=[7]), chunk({"content": "ha"}, token_ids=[7]), END),
        (chunk({"content": "ha"}, meta={"ids": [7]}), chunk({"content": "ha"}, meta={"ids": [7]}), END),
        (END | {"citations": ["a"]}, {**HEAD, "choices": [], "citations": ["b"]}),
    ],
)
def test_what_could_be_read_otherwise_is_not_given(chunks: tuple[Any, ...]) -> None:
    with pytest.raises(UnsupportedFeature):
        whole_of(sse(*chunks))


def test_a_list_that_comes_once_or_is_of_the_answer_itself_is_given() -> None:
    once = whole_of(
        sse(chunk({"content": "a"}, token_ids=[]), chunk(token_ids=[7], ids=None), END | {"citations": ["u"]})
    )
    again = whole_of(sse(chunk({"content": "a"}) | {"citations": ["u"]}, END | {"citations": ["u"]}))

    assert once["choices"][0]["token_ids"] == [7]
    assert once["citations"] == again["citations"] == ["u"]


def test_a_completion_with_a_list_that_comes_twice_is_not_given() -> None:
    pieces = [{"index": 0, "text": "ha", "finish_reason": None, "token_ids": [7]} for _ in range(2)]
    chunks = [{**HEAD, "object": "text_completion", "choices": [piece]} for piece in pieces]
    ended = {**chunks[1], "choices": [pieces[1] | {"finish_reason": "length"}]}

    with pytest.raises(UnsupportedFeature):
        whole_of(sse(chunks[0], ended), Operation.COMPLETION)


@pytest.mark.parametrize(
    "stream",
    [
        sse(END).removesuffix(DONE),
        b"data: {\n\n" + DONE,
        b"data: []\n\n" + DONE,
        b'data: {"id":"a","id":"b"}\n\n' + DONE,
        b'data: {"a":' + b"[" * 5000 + b"\n\n" + DONE,
        sse({"error": {"message": "no"}}),
        sse({**HEAD, "choices": {}}),
        sse({**HEAD, "choices": [1]}),
        sse(chunk("a")),
        sse(chunk({"tool_calls": [1]}), END),
        sse(chunk({}, index=-1)),
        sse(chunk({}, index="0")),
        sse(chunk({"content": "\ud83d"}), END),
        sse(chunk({"mood": "\ud83d"}), chunk({"mood": "\ud83d"}), END),
    ],
)
def test_a_stream_that_is_not_of_the_format_is_garbled(stream: bytes) -> None:
    with pytest.raises(Garbled):
        whole_of(stream)


def test_a_completion_without_text_is_none() -> None:
    with pytest.raises(Garbled):
        whole_of(sse(END), Operation.COMPLETION)


def test_a_refusal_without_a_word_is_none() -> None:
    whole = whole_of(sse(chunk({"content": "a", "refusal": ""}), END))

    assert whole["choices"][0]["message"]["refusal"] is None


signed = st.builds(ThinkingPart, text=st.text(min_size=1, max_size=8), signature=values.word)
redacted = st.builds(ThinkingPart, redacted_data=values.word)
said = values.tuples(signed | redacted | st.builds(TextPart, text=values.text))


@settings(max_examples=80, deadline=None)
@given(values.chat_responses, st.none() | said)
def test_what_the_hub_streams_becomes_what_the_hub_gives_whole(response: ChatResponse, content: Any) -> None:
    if content is not None:
        choices = (replace(each, message=replace(each.message, content=content)) for each in response.choices)
        response = replace(response, choices=tuple(choices))
    half = served("openai", Operation.CHAT)
    stream = half.stream_encoder(values.STAMP, True).feed(replay(response))
    decoder = called("openai", Operation.CHAT).stream_decoder(values.STAMP, Profile())

    expected = half.encode_response(collect_chat(decoder.feed(stream)))

    assert list(differences(json.loads(expected), whole_of(stream))) == []
