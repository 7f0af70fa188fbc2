"""Recorded traffic of real servers goes through the dialect: requests, answers, streams and errors.

The recordings lie beside the checkout and are no part of the project; without them these tests skip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from isthmusd.core.collect import collect_chat, collect_completion
from isthmusd.core.errors import Rejected, UpstreamError
from isthmusd.core.events import End, Event, StreamStart
from isthmusd.core.profile import Profile
from isthmusd.core.replay import replay
from isthmusd.core.request import Operation, Peeked
from isthmusd.dialects.registry import called, identity, served

from tests.golden import recorded as recordings
from tests.unit.dialects.openai.values import STAMP

ENDPOINTS = {
    "/chat/completions": Operation.CHAT,
    "/completions": Operation.COMPLETION,
    "/embeddings": Operation.EMBEDDING,
}
KINDS = {Operation.CHAT: "chat", Operation.COMPLETION: "completion", Operation.EMBEDDING: "embeddings"}
# The profile of servers that leave the terminator out; one that sends it is read the same.
ERROR = b'"error"'
LENIENT = Profile(stream_ends_with_done=False)

Call = dict[str, Any]


def operation_of(call: Call) -> Operation | None:
    path = urlsplit(call["url"]).path
    if path.startswith("/api/") and "openrouter" not in call["url"] and "/v1" not in path:
        return None
    return next((operation for end, operation in ENDPOINTS.items() if path.endswith(end)), None)


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, Operation, Call]]:
    found: list[tuple[str, Operation, Call]] = []
    for path, number, call in recordings.all_calls():
        operation = operation_of(call)
        if operation is not None and call["resp_body"]:
            found.append((f"{path.relative_to(recordings.CASSETTES)}#{number}", operation, call))
    return found


@pytest.fixture(scope="module")
def judge() -> Callable[[str, object], list[str]]:
    return recordings.judge()


def is_stream(call: Call) -> bool:
    return b"data:" in call["resp_body"] and not call["resp_body"].lstrip().startswith(b"{")


def answered(calls: list[tuple[str, Operation, Call]], *, stream: bool) -> Iterator[tuple[str, Operation, bytes]]:
    for name, operation, call in calls:
        if (
            call["status"] == 200
            and is_stream(call) is stream
            and not call["resp_body"].lstrip(b"{ ").startswith(ERROR)
        ):
            yield name, operation, call["resp_body"]


def decoded(operation: Operation, body: bytes, step: int) -> tuple[list[Event], UpstreamError | None]:
    decoder = called("openai", operation).stream_decoder(STAMP, LENIENT)
    events: list[Event] = []
    for start in range(0, len(body), step):
        events += decoder.feed(body[start : start + step])
    return events + decoder.close(), decoder.failure


def test_requests_are_read_and_written_back_equal(calls: list[tuple[str, Operation, Call]]) -> None:
    count = 0
    for name, operation, call in calls:
        if call["status"] != 200 or not call["req_body"]:
            continue
        request = served("openai", operation).decode_request(call["req_body"])
        again = called("openai", operation).encode_request(request, request.model, Profile())
        reread = served("openai", operation).decode_request(again.body)
        if operation is not Operation.EMBEDDING:
            reread = dataclasses.replace(reread, include_usage=request.include_usage)
        assert reread == request, name
        assert again.losses == (), name
        count += 1
    assert count > 20


def test_whole_answers_are_read_and_written_back_equal(
    calls: list[tuple[str, Operation, Call]], judge: Callable[[str, object], list[str]]
) -> None:
    count = 0
    for name, operation, body in answered(calls, stream=False):
        half = called("openai", operation)
        response = half.decode_response(body, STAMP)
        written = served("openai", operation).encode_response(response)
        assert half.decode_response(written, STAMP) == response, name
        if not judge(KINDS[operation], msgspec.json.decode(body)):
            assert judge(KINDS[operation], msgspec.json.decode(written)) == [], name
        count += 1
    assert count > 10


def test_whole_answers_equal_what_their_replay_amounts_to(calls: list[tuple[str, Operation, Call]]) -> None:
    for name, operation, body in answered(calls, stream=False):
        if operation is Operation.EMBEDDING:
            continue
        response = called("openai", operation).decode_response(body, STAMP)
        collect = collect_chat if operation is Operation.CHAT else collect_completion
        assert collect(replay(response)) == response, name


def test_streams_are_read_to_their_end_however_they_are_cut(calls: list[tuple[str, Operation, Call]]) -> None:
    count = 0
    for name, operation, body in answered(calls, stream=True):
        events, failure = decoded(operation, body, len(body))
        again, failure_again = decoded(operation, body, 7)
        assert again == events, name
        assert type(failure) is type(failure_again), name
        assert isinstance(events[0], StreamStart) if failure is None else True, name
        assert (End() in events) is (failure is None), name
        # One recording breaks off, and two say in band that they failed.
        assert failure is None or b'"error"' in body, name
        count += 1
    assert count > 10


def test_streams_are_written_as_the_published_schema_says(
    calls: list[tuple[str, Operation, Call]], judge: Callable[[str, object], list[str]]
) -> None:
    for name, operation, body in answered(calls, stream=True):
        events, failure = decoded(operation, body, len(body))
        if failure is not None:
            continue
        encoder = served("openai", operation).stream_encoder(STAMP, True)
        written = encoder.feed(events)
        kind = "chunk" if operation is Operation.CHAT else "completion"
        for block in written.decode().split("\n\n")[:-2]:
            assert judge(kind, msgspec.json.decode(block.removeprefix("data: ").encode())) == [], name
        collect = collect_chat if operation is Operation.CHAT else collect_completion
        assert collect(decoded(operation, written, len(written))[0]) == collect(events), name


def test_streams_that_the_caller_wants_whole_pass_byte_for_byte(calls: list[tuple[str, Operation, Call]]) -> None:
    for name, operation, body in answered(calls, stream=True):
        way = identity("openai", operation)
        assert way is not None
        tap = way.tap(Peeked(model="m", stream=True, include_usage=True), 100, LENIENT)
        out = b"".join(tap.feed(body[start : start + 7]) or b"" for start in range(0, len(body), 7))
        out += tap.close() or b""
        assert tap.usage is not None, name
        if tap.failure is None:
            assert out.replace(b"\r", b"").rstrip(b"\n").startswith(body.replace(b"\r", b"").rstrip(b"\n")), name
            assert out.rstrip().endswith(b"data: [DONE]"), name


def test_an_error_under_status_200_is_raised_as_what_it_is(calls: list[tuple[str, Operation, Call]]) -> None:
    bodies = [call["resp_body"] for _, _, call in calls if call["status"] == 200 and ERROR in call["resp_body"][:10]]

    for body in bodies:
        with pytest.raises(Rejected, match="filtered"):
            called("openai", Operation.CHAT).decode_response(body, STAMP)
    assert bodies


def test_error_answers_are_understood(calls: list[tuple[str, Operation, Call]]) -> None:
    count = 0
    for name, operation, call in calls:
        if call["status"] < 400:
            continue
        error = called("openai", operation).decode_error(call["status"], {}, call["resp_body"])
        assert error.told.status == call["status"], name
        if isinstance(error, Rejected):
            assert not error.message.startswith("The provider refused"), name
        count += 1
    assert count >= 3
