"""A kept answer becomes a stream that amounts to it, and a kept stream one that tells its usage, or hides it."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.chat import ChatResponse
from isthmusd.core.completion import CompletionResponse
from isthmusd.core.entry import Form
from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.kept import KEPT
from isthmusd.dialects.openai.kept_stream import BLOCK_BYTES
from isthmusd.dialects.registry import kept, served

from tests.golden.recorded import differences
from tests.unit.dialects.openai import values
from tests.unit.dialects.openai.recasting import (
    COUNTED,
    DONE,
    END,
    HEAD,
    PLAIN,
    TOLD,
    USAGE,
    WHOLE,
    accumulated,
    chunk,
    data_of,
    recast,
    sse,
    stream_of,
    whole_of,
)

few = settings(max_examples=80, deadline=None)
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a":1}'}}
LOGPROBS = {"content": [{"token": "Good day", "logprob": -0.5, "bytes": None}], "refusal": None}
OTHER = {"index": 1, "message": {"role": "assistant", "content": None, "refusal": "No"}, "finish_reason": "length"}


def answer(message: dict[str, Any], **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None} | message, "finish_reason": "stop"}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": TOLD} | members


FULL = answer(
    {
        "content": "Good day",
        "refusal": None,
        "reasoning": "Hm",
        "annotations": [{"type": "url_citation"}],
        "reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "Hm"}],
        "tool_calls": [CALL, CALL | {"id": "call_2"}, {"id": "call_3", "type": "custom", "custom": {"input": "ls"}}],
        "function_call": None,
        "audio": {"id": "a", "data": "QQ=="},
    },
    service_tier="default",
    provider="P",
    x=12345678901234567890123,
)
FULL["choices"][0] |= {"logprobs": LOGPROBS, "stop_reason": 7, "filtered": {"hate": False}}
FULL["choices"].append(OTHER | {"logprobs": {"content": None, "refusal": [{"token": "No"}]}})


def test_an_answer_comes_as_role_members_and_finish_reason() -> None:
    *chunks, done = stream_of(answer({"content": "Good day", "reasoning": "Hm", "tool_calls": [CALL]}, provider="P"))

    assert done == "[DONE]"
    assert [each["choices"][0]["delta"] for each in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "Hm"},
        {"content": "Good day"},
        {"tool_calls": [{"index": 0, **CALL}]},
        {},
    ]
    assert [each["choices"][0]["finish_reason"] for each in chunks] == [None, None, None, None, "stop"]
    assert [{name: each[name] for name in HEAD} for each in chunks] == [HEAD] * 5
    assert [each.get("provider") for each in chunks] == ["P", None, None, None, None]
    assert all("usage" not in each for each in chunks)


def test_usage_is_told_to_who_wants_it() -> None:
    *chunks, last, _ = stream_of(answer({"content": "a"}), counted=True)

    assert all(each["usage"] is None for each in chunks)
    assert last == {**HEAD, "choices": [], "usage": TOLD}


def test_usage_that_the_answer_did_not_tell_comes_from_who_knows_it() -> None:
    body = json.dumps(answer({"content": "a"}) | {"usage": None}).encode()

    told = recast(Operation.CHAT, [body], WHOLE, COUNTED, USAGE)

    assert data_of(b"".join(told))[-2]["usage"] == TOLD
    with pytest.raises(UnsupportedFeature):
        recast(Operation.CHAT, [body], WHOLE, COUNTED)


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(
    "whole",
    [
        FULL,
        answer({"content": ""}),
        answer({"content": [{"type": "text", "text": "a"}]}),
        answer({"refusal": "No"}),
        answer({"reasoning_content": "", "annotations": [], "tool_calls": []}),
        answer({"tool_calls": [{"index": 0, **CALL}]}),
        answer({"content": None}, system_fingerprint=None, citations=[]),
        answer({"audio": {"id": "a", "data": "QQ==", "transcript": "A"}}),
    ],
)
def test_the_stream_amounts_to_the_answer(whole: dict[str, Any], counted: bool) -> None:
    pieces = recast(Operation.CHAT, [json.dumps(whole, indent=1).encode()], WHOLE, COUNTED if counted else PLAIN)

    again = whole_of(b"".join(pieces), usage=USAGE)

    indexless = json.loads(json.dumps(whole).replace('[{"index": 0, "id"', '[{"id"'))
    assert list(differences(again, indexless)) == []


def test_openais_own_client_puts_the_same_together() -> None:
    text = json.dumps(FULL)

    stream = b"".join(recast(Operation.CHAT, [text.encode()], WHOLE, COUNTED))
    theirs = accumulated(stream)

    for choice in theirs["choices"]:
        for call in choice["message"].get("tool_calls") or ():
            del call["index"]  # which it leaves where it found it
    # Members of a choice that it does not know it leaves out, from whatever stream.
    assert set(differences(theirs, json.loads(text))) == {"choices[].stop_reason", "choices[].filtered"}


def test_logprobs_without_a_text_have_a_chunk_of_their_own() -> None:
    whole = answer({"tool_calls": [CALL]})
    whole["choices"][0]["logprobs"] = LOGPROBS

    *_, bearer, _, _ = stream_of(whole)

    assert bearer["choices"] == [{"index": 0, "delta": {}, "logprobs": LOGPROBS, "finish_reason": None}]


def test_a_completion_comes_in_one_chunk() -> None:
    choice = {"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}, "finish_reason": "stop", "stop_reason": 1}
    whole = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}

    assert stream_of(whole, Operation.COMPLETION) == [whole, "[DONE]"]


def test_what_an_answer_leaves_out_comes_from_the_stamp() -> None:
    whole = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}

    first, *_ = stream_of(whole)

    assert (first["id"], first["created"], first["model"]) == ("chatcmpl-abc123", 1_700_000_000, "")
    assert first["choices"][0]["index"] == 0


@pytest.mark.parametrize(
    "whole",
    [
        answer({"content": "a"}, choices=[OTHER | {"finish_reason": None}]),
        answer({"content": "a"}, choices=[OTHER, OTHER | {"index": 0}]),
        answer({"content": "a"}, choices=[OTHER, OTHER]),
        answer({"details": [{"index": 0, "type": "a"}, {"index": 0, "type": "b"}]}),
        answer({"details": [{"index": 0, "text": "a"}, {"index": 0, "text": "b"}]}),
        answer({"content": "a"}, obfuscation="x"),
    ],
)
def test_no_stream_says_anything_else(whole: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeature):
        stream_of(whole)


@pytest.mark.parametrize(
    "whole",
    [
        {"error": {"message": "no"}},
        {"choices": []},
        {"choices": [1]},
        {"choices": [{"finish_reason": "stop"}]},
        answer({"tool_calls": [1]}),
        answer({"content": "\ud83d"}),
        [],
    ],
)
def test_an_answer_that_is_not_of_the_format_is_garbled(whole: Any) -> None:
    with pytest.raises(Garbled):
        stream_of(whole)


@few
@given(values.chat_responses, st.booleans())
def test_chat_answers_are_the_same_after_a_stream(response: ChatResponse, counted: bool) -> None:
    body = served("openai", Operation.CHAT).encode_response(response)

    stream = b"".join(recast(Operation.CHAT, [body], WHOLE, COUNTED if counted else PLAIN, USAGE))
    again = whole_of(stream, usage=response.usage)

    asked = json.loads(body.replace(b'"refusal":""', b'"refusal":null'))
    told = {"usage": TOLD} if counted and response.usage is None else {}
    assert list(differences(again, asked | told)) == []


@few
@given(values.completion_responses)
def test_completions_are_the_same_after_a_stream(response: CompletionResponse) -> None:
    body = served("openai", Operation.COMPLETION).encode_response(response)

    stream = b"".join(recast(Operation.COMPLETION, [body], WHOLE, PLAIN))

    assert list(differences(whole_of(stream, Operation.COMPLETION, response.usage), json.loads(body))) == []


HIDDEN = b"".join(
    (
        b": hm\n\n",
        b'data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"\\u0041"}}]}\n\n',
        b'event: e\r\ndata:{"id":"1", "choices":[{"index":0,"delta":{"content":"\xc3\xa9"}}] }\r\n\r\n',
        b'id: 7\ndata: {"x" : 1.0e2,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n: so\n\n',
        DONE,
    )
)
SHOWN = b"".join(
    (
        b": hm\n\n",
        b'data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"\\u0041"}}],"usage":null}\n\n',
        b'event: e\r\ndata:{"id":"1", "choices":[{"index":0,"delta":{"content":"\xc3\xa9"}}] ,"usage":null}\r\n\r\n',
        b'id: 7\ndata: {"x" : 1.0e2,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n: so\n\n',
        b'data: {"id":"1","created":1,"model":"m","choices":[],"usage":'
        b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n',
        DONE,
    )
)


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """Cut a stream between events."""
    events = [
        event for event in stream.replace(b"\r\n\r\n", b"\r\n\r\n\0").replace(b"\n\n", b"\n\n\0").split(b"\0") if event
    ]
    pieces: list[bytes] = []
    while events:
        size = sizes.pop() if sizes else 1
        pieces.append(b"".join(events[:size]))
        events = events[size:]
    return pieces


@given(st.lists(st.integers(1, 4), max_size=4))
def test_usage_is_added_and_taken_away_and_nothing_else(sizes: list[int]) -> None:
    shown = b"".join(recast(Operation.CHAT, cut(HIDDEN, [*sizes]), PLAIN, COUNTED, USAGE))
    hidden = b"".join(recast(Operation.CHAT, cut(SHOWN, [*sizes]), COUNTED, PLAIN, USAGE))

    assert shown == SHOWN
    assert hidden == HIDDEN


def test_a_null_is_cut_out_wherever_it_stands_and_every_other_byte_stays() -> None:
    stream = b'data:{ "usage" : null , "choices":[{"index":0,"delta":{"content":"\\"usage\\": null"}}]}\r\n\r\n'
    stream += b'id: 1\ndata: {"choices":[], "usage": null, "x": 1}\n: so\n\n' + DONE

    hidden = b"".join(recast(Operation.CHAT, [stream], COUNTED, PLAIN))

    assert hidden == (
        b'data:{ "choices":[{"index":0,"delta":{"content":"\\"usage\\": null"}}]}\r\n\r\n'
        b'id: 1\ndata: {"choices":[], "x": 1}\n: so\n\n' + DONE
    )


def test_a_guess_of_the_usage_is_told_to_who_wants_one() -> None:
    guess = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7, estimated=True)

    shown = recast(Operation.CHAT, [sse(chunk({"content": "a"}), END)], PLAIN, COUNTED, guess)

    assert data_of(b"".join(shown))[-2]["usage"] == TOLD


def test_a_stream_that_tells_its_usage_of_its_own_accord_stays() -> None:
    stream = sse(chunk({"content": "a"}), END | {"usage": TOLD})

    assert b"".join(recast(Operation.CHAT, [stream], PLAIN, COUNTED, USAGE)) == stream
    assert b"".join(recast(Operation.CHAT, [stream], COUNTED, PLAIN)) == stream


@pytest.mark.parametrize("usage", [None, USAGE])
@pytest.mark.parametrize("stream", [DONE, sse(END), b'data: {"choices":\ndata: []}\n\n' + DONE])
def test_usage_is_not_told_of_what_nobody_knows(stream: bytes, usage: Usage | None) -> None:
    if usage is not None and b"stop" in stream:
        stream = stream.replace(b'"system_fingerprint"', b'\ndata: "system_fingerprint"')

    with pytest.raises(UnsupportedFeature):
        recast(Operation.CHAT, [stream], PLAIN, COUNTED, usage)


@pytest.mark.parametrize("stream", [sse(END).removesuffix(DONE), b"data: 1\n\n" + DONE])
def test_usage_is_not_added_to_a_broken_stream(stream: bytes) -> None:
    with pytest.raises(Garbled):
        recast(Operation.CHAT, [stream], PLAIN, COUNTED, USAGE)


@pytest.mark.parametrize("stream", [sse({"error": {"message": "no", "code": 500}}), b"data: {\n\n" + DONE])
def test_usage_is_not_taken_from_a_broken_stream(stream: bytes) -> None:
    with pytest.raises(Garbled):
        recast(Operation.CHAT, [stream], COUNTED, PLAIN)


@pytest.mark.parametrize("operation", KEPT)
def test_the_same_form_is_the_same_bytes(operation: Operation) -> None:
    assert recast(operation, [b"a", b"b"], PLAIN, PLAIN) == [b"a", b"b"]


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.COMPLETION, Operation.RESPONSES])
def test_a_whole_answer_is_the_same_whether_or_not_usage_is_asked_for(operation: Operation) -> None:
    assert recast(operation, [b"{}"], WHOLE, Form(stream=False, include_usage=True)) == [b"{}"]


@pytest.mark.parametrize("operation", [Operation.EMBEDDING, Operation.MODERATION, Operation.AUTO])
def test_what_is_never_streamed_has_no_other_form(operation: Operation) -> None:
    with pytest.raises(UnsupportedFeature):
        recast(operation, [b"{}"], WHOLE, PLAIN)


@given(st.lists(st.integers(1, 9000), max_size=8), st.binary(max_size=5))
def test_blocks_hold_whole_events_and_every_byte(sizes: list[int], rest: bytes) -> None:
    pieces = [b"data: " + b"x" * size + b"\n\n" for size in sizes]
    pieces = [each for each in (b"".join(pieces[:3]), *pieces[3:], rest) if each]

    blocks = kept("openai", Operation.CHAT).compact(pieces)

    assert b"".join(blocks) == b"".join(pieces)
    assert all(len(block) <= BLOCK_BYTES for block in blocks)
    assert all(block.endswith(b"\n\n") for block in blocks[:-1])
    assert all(len(one) + len(other) > BLOCK_BYTES for one, other in pairwise(blocks))


def test_an_event_longer_than_a_block_is_one_by_itself() -> None:
    event = b"data: " + b"x" * (BLOCK_BYTES + 1) + b"\n\n"

    assert kept("openai", Operation.CHAT).compact([DONE + event + DONE]) == (DONE, event, DONE)


def test_events_are_put_together_as_fast_whatever_ends_them() -> None:
    took_s: dict[bytes, float] = {}
    for end in (b"\n\n", b"\r\n\r\n"):
        pieces = [b"data: %d" % place + end for place in range(100_000)]
        began_at = time.process_time()

        blocks = kept("openai", Operation.CHAT).compact(pieces)

        took_s[end] = time.process_time() - began_at
        assert b"".join(blocks) == b"".join(pieces)
        assert all(block.endswith(end) for block in blocks)
        assert len(blocks) < 150
    # By way of all events one by one it took fifteen times as long.
    assert max(took_s.values()) < 3 * min(took_s.values()) + 0.05
