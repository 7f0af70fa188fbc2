"""Recorded answers of real servers in their other forms. The recordings lie beside the checkout and are no part of the
project; without them these tests skip.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from isthmusd.core.collect import collect_chat, collect_completion
from isthmusd.core.errors import Garbled, UnsupportedFeature
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects.registry import called, kept, served

from tests.golden import recorded as recordings
from tests.unit.dialects.openai.recasting import (
    COUNTED,
    DONE,
    PLAIN,
    TOLD,
    USAGE,
    WHOLE,
    accumulated,
    completed,
    data_of,
    recast,
)
from tests.unit.dialects.openai.values import STAMP

ENDPOINTS = {
    "/chat/completions": Operation.CHAT,
    "/completions": Operation.COMPLETION,
    "/responses": Operation.RESPONSES,
}
CASES = {"chat-completions": Operation.CHAT, "responses": Operation.RESPONSES}
WHOLES = {Operation.CHAT: "chat", Operation.COMPLETION: "completion", Operation.RESPONSES: "response"}
EVENTS = {Operation.CHAT: "chunk", Operation.COMPLETION: "completion", Operation.RESPONSES: "event"}
NO_OTHER_FORM = {
    "test_mistral_model_thinking_part_iter.yaml#0": "its content is a text here and a list of parts there",
    "test_openrouter_stream_error.yaml#0": "it failed",
    "test_prompt_content_filtering.yaml#0": "it is an error",
    "test_tool_use_failed_error_streaming.yaml#0": "it failed",
}
OWN_WAYS = {
    "choices[].message.tool_calls[].index": "the library leaves it in the calls",
    "choices[].message.channel": "the library joins what is said again",
    "x_groq.usage": "the library takes no member of a chunk but the first's",
    "latency_checkpoint": "the same",
    "service_tier": "the same",
    "id": "the same: Azure's first chunk names nobody",
    "created": "the same",
    "model": "the same",
    "usage": "the stream does not tell it: it is known beside it",
}
"""Where OpenAI's library puts together something else, with the reason."""

HUBS_WAYS = {
    "x_groq.seed": "of a member that is said in parts it takes the last",
    "service_tier": "it takes no more than the first chunk has",
}
"""Where the hub does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    name: str
    operation: Operation
    body: bytes


@pytest.fixture(scope="module")
def judge() -> Callable[[str, object], list[str]]:
    return recordings.judge()


@pytest.fixture(scope="module")
def streams() -> list[Answer]:
    return _answers(stream=True)


@pytest.fixture(scope="module")
def wholes() -> list[Answer]:
    return _answers(stream=False)


def _answers(*, stream: bool) -> list[Answer]:
    found: list[Answer] = []
    for path, number, call in recordings.all_calls():
        operation = next((each for end, each in ENDPOINTS.items() if urlsplit(call["url"]).path.endswith(end)), None)
        body = call["resp_body"] or b""
        if operation is not None and call["status"] == 200 and is_stream(body) is stream:
            found.append(Answer(name=f"{path.name}#{number}", operation=operation, body=body))
    for dialect, operation in CASES.items():
        for name, case in recordings.cases(dialect):
            for turn in ("response", "followup-response"):
                said = case.get(f"{turn}-streaming" if stream else turn)
                if said:
                    body = written(said, operation) if stream else json.dumps(said).encode()
                    found.append(Answer(name=f"{name}.{turn}", operation=operation, body=body))
    return [answer for answer in found if answer.name not in NO_OTHER_FORM]


def is_stream(body: bytes) -> bool:
    return b"data:" in body and not body.lstrip().startswith(b"{")


def written(events: list[Any], operation: Operation) -> bytes:
    if operation is Operation.RESPONSES:
        return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events) + DONE


def whole_of(answer: Answer) -> Any:
    (whole,) = recast(answer.operation, [answer.body], COUNTED, WHOLE, USAGE)
    return json.loads(whole)


def test_streams_become_what_openais_own_client_makes_of_them(
    streams: list[Answer], judge: Callable[[str, object], list[str]]
) -> None:
    for answer in streams:
        whole = whole_of(answer)
        theirs = _theirs(answer)

        found = [] if theirs is None else list(recordings.differences(theirs, whole))

        assert set(found) <= OWN_WAYS.keys(), answer.name
        # Words of a host's own (Groq's service tier) stay its own.
        assert all("service_tier" in each for each in judge(WHOLES[answer.operation], whole)), answer.name
    assert len(streams) > 40


def _theirs(answer: Answer) -> Any | None:
    """Give what the library puts together; for completions it has nothing that does."""
    match answer.operation:
        case Operation.CHAT:
            return accumulated(answer.body)
        case Operation.RESPONSES:
            return completed(answer.body)
        case _:
            return None


def test_streams_become_what_the_hub_makes_of_them(streams: list[Answer]) -> None:
    count = 0
    for answer in streams:
        if answer.operation is Operation.RESPONSES:
            continue
        whole, half = recast(answer.operation, [answer.body], COUNTED, WHOLE)[0], called("openai", answer.operation)
        decoder = half.stream_decoder(STAMP, Profile())
        events = decoder.feed(answer.body)
        collect = collect_chat if answer.operation is Operation.CHAT else collect_completion

        ours = served("openai", answer.operation).encode_response(half.decode_response(whole, STAMP))
        hubs = served("openai", answer.operation).encode_response(collect(events))

        found = set(recordings.differences(json.loads(hubs), json.loads(ours)))
        assert found <= HUBS_WAYS.keys(), answer.name
        count += 1
    assert count > 20


def test_whole_answers_are_the_same_after_a_stream(
    wholes: list[Answer], judge: Callable[[str, object], list[str]]
) -> None:
    for answer in wholes:
        pieces = recast(answer.operation, [answer.body], WHOLE, COUNTED, USAGE)
        (again,) = recast(answer.operation, pieces, COUNTED, WHOLE)
        stream = b"".join(pieces)

        asked = json.loads(answer.body)
        told = {} if asked.get("usage") else {"usage": TOLD}
        assert set(recordings.differences(asked | told, json.loads(again))) <= {
            # Some servers write it in whole answers too.
            "choices[].message.tool_calls[].index"
        }, answer.name
        for event in data_of(stream):
            faults = [] if event == "[DONE]" else judge(EVENTS[answer.operation], event)
            assert all("service_tier" in fault for fault in faults), answer.name
        if answer.operation is Operation.CHAT:
            theirs = recordings.differences(accumulated(stream)["choices"], json.loads(again)["choices"])
            assert all("tool_calls[].index" in each or each.count(".") == 1 for each in theirs), answer.name
        if answer.operation is Operation.RESPONSES:
            assert list(recordings.differences(completed(stream), asked)) == [], answer.name
    assert len(wholes) > 30


def test_streams_tell_and_hide_their_usage_however_they_are_cut(streams: list[Answer]) -> None:
    chance = random.Random(7)
    for answer in streams:
        if answer.operation is Operation.RESPONSES:
            assert recast(answer.operation, [answer.body], COUNTED, PLAIN) == [answer.body]
            continue
        events = [event.replace(b"\0", b"") for event in answer.body.replace(b"\n\n", b"\n\n\0").split(b"\0")]
        place = chance.randrange(len(events))
        pieces = [b"".join(events[:place]), b"".join(events[place:])]

        hidden = b"".join(recast(answer.operation, [answer.body], COUNTED, PLAIN))
        shown = b"".join(recast(answer.operation, [hidden], PLAIN, COUNTED, USAGE))

        assert b"".join(recast(answer.operation, pieces, COUNTED, PLAIN)) == hidden, answer.name
        assert b"".join(kept("openai", answer.operation).compact(events)) == answer.body, answer.name
        if shown != hidden:
            assert b"".join(recast(answer.operation, [shown], COUNTED, PLAIN)) == hidden, answer.name
            assert data_of(shown)[-2]["usage"] == TOLD, answer.name
            assert all("usage" in each for each in data_of(shown)[:-1]), answer.name
        said = [each for each in data_of(answer.body) if each == "[DONE]" or each.get("choices")]
        kept_chunks = [each for each in data_of(hidden) if each == "[DONE]" or each["choices"]]
        assert [_silent(each) for each in kept_chunks] == [_silent(each) for each in said], answer.name


def _silent(chunk: Any) -> Any:
    """Give a chunk without a usage that is null."""
    return chunk if chunk == "[DONE]" or chunk.get("usage") else {n: each for n, each in chunk.items() if n != "usage"}


def test_what_cannot_be_told_otherwise_is_not(judge: Callable[[str, object], list[str]]) -> None:
    del judge  # it skips where there are no recordings
    seen: set[str] = set()
    for path, number, call in recordings.all_calls():
        name, body = f"{path.name}#{number}", call["resp_body"]
        if name in NO_OTHER_FORM:
            was, wanted = (PLAIN, WHOLE) if is_stream(body) else (WHOLE, PLAIN)
            with pytest.raises((Garbled, UnsupportedFeature)):
                recast(Operation.CHAT, [body], was, wanted, USAGE)
            seen.add(name)
    assert seen == NO_OTHER_FORM.keys()
