"""Forward: any call to a provider, bytes untouched both ways, nothing held whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.errors import (
    GatewayError,
    Interrupted,
    InvalidRequest,
    MethodNotAllowed,
    RequestTooLarge,
    TimedOut,
    Unauthenticated,
    Unavailable,
    UnknownModel,
    Unreachable,
)
from isthmusd.core.headers import Headers
from isthmusd.core.record import EndReason
from isthmusd.core.request import Arrival, Operation, Surface
from isthmusd.pipeline.carrying import Forwarded
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.uploads import PREFIX_BYTES

from tests.unit.pipeline.gateway import HELLO, Built, chat_answer, error, whole
from tests.unit.pipeline.targets import EVENTS, NEVER, Answer
from tests.unit.pipeline.world import arrival_of, headers_of, play


def arriving(path: str = "/v1/files", method: str = "GET", headers: Headers | None = None, **facts: Any) -> Arrival:
    return arrival_of(headers, operation=Operation.FORWARD, method=method, path=path, **facts)


async def pieces_of(*pieces: bytes | float) -> AsyncIterator[bytes]:
    for piece in pieces:
        match piece:
            case float():
                await asyncio.sleep(piece)
            case bytes():
                yield piece


async def carried(built: Built, arrival: Arrival, *pieces: bytes | float) -> tuple[Forwarded, list[bytes]]:
    async with forward(built.gateway, arrival, pieces_of(*pieces)) as forwarded:
        return forwarded, [chunk async for chunk in forwarded.chunks]


def refused(built: Built, arrival: Arrival, *pieces: bytes | float) -> GatewayError:
    with pytest.raises(GatewayError) as refusal:
        play(carried(built, arrival, *pieces))
    return refusal.value


def test_a_call_without_a_body_goes_to_the_default_provider() -> None:
    built = Built.saying(whole(b'{"data": []}', x_request_id="req_up", set_cookie="c"))

    arrival = arriving("/v1/proxy/files?limit=2&after=a%2Fb", headers=headers_of(authorization="Bearer sk-mine"))
    forwarded, chunks = play(carried(built, arrival))

    sent = built.upstream.sent[0]
    assert (sent.method, sent.url, sent.body) == ("GET", "http://o/v1/files?limit=2&after=a%2Fb", None)
    assert sent.headers == (("authorization", "Bearer sk-ours"),)
    assert built.upstream.decoded == [False]
    assert (forwarded.status, forwarded.content_type, chunks) == (200, "application/json", [b'{"data": []}'])
    assert forwarded.headers == (
        ("x-request-id", "req_up"),
        ("x-isthmus-endpoint", "main"),
        ("x-bt-used-endpoint", "main"),
    )
    assert built.journal.only.end is EndReason.COMPLETE
    assert built.journal.only.model is None
    assert built.journal.only.attempts[0].upstream_request_id == "req_up"


def test_a_providers_refusal_is_an_answer() -> None:
    built = Built.saying(error(404, "no such file"))

    forwarded, chunks = play(carried(built, arriving("/v1/files/f", "DELETE")))

    assert forwarded.status == 404
    assert b"no such file" in chunks[0]
    record = built.journal.only
    assert (record.status, record.end, record.attempts[0].status) == (404, EndReason.COMPLETE, 404)


@pytest.mark.parametrize(
    ("model", "host", "sent_model"),
    [("gpt", "o", "gpt"), ("fast", "o", "gpt-mini"), ("old/m", "old", "m"), ("new/é", "new", "é")],
)
def test_the_model_in_a_json_body_chooses_the_provider(model: str, host: str, sent_model: str) -> None:
    built = Built.saying(whole(b"{}"))
    body = f' {{ "n":1,  "model" : "{model}", "x": "model" }}'.encode()

    play(carried(built, arriving("/v1/x", "POST", headers_of(content_type="application/json")), body[:20], body[20:]))

    sent = built.upstream.sent[0]
    assert sent.url == f"http://{host}/v1/x"
    assert sent.body == body.replace(model.encode(), sent_model.encode())
    assert built.journal.only.model == model


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "text/plain", ""])
def test_other_bodies_are_not_looked_into(content_type: str) -> None:
    built = Built.saying(whole(b"{}"))

    play(carried(built, arriving("/v1/x", "POST", headers_of(content_type=content_type)), b'{"model": "old/m"}'))

    assert built.upstream.sent[0].url == "http://o/v1/x"
    assert built.upstream.sent[0].body == b'{"model": "old/m"}'


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("HEAD", None), ("DELETE", None), ("POST", b""), ("PUT", b"")]
)
def test_an_empty_body_is_none_where_methods_have_none(method: str, body: bytes | None) -> None:
    built = Built.saying(whole(b""))

    play(carried(built, arriving("/v1/files", method)))

    assert built.upstream.sent[0].body == body


def test_a_large_upload_streams_with_its_beginning_rewritten() -> None:
    built = Built.saying(whole(b"{}"))
    head = b'{"model": "fast", "file": "'
    filling = b"x" * PREFIX_BYTES

    arrival = arriving("/v1/x", "POST", headers_of(content_type="application/json"))
    play(carried(built, arrival, head + filling, b"more", b'"}'))

    assert built.upstream.sent[0].body is None
    assert built.upstream.uploads == [[head.replace(b"fast", b"gpt-mini") + filling, b"more", b'"}']]


def test_an_upload_over_the_limit_is_refused_within_it() -> None:
    built = Built.saying(whole(b"{}"), upload_bytes=PREFIX_BYTES + 3)

    refusal = refused(built, arriving("/v1/files", "POST"), b"x" * PREFIX_BYTES, b"1234")

    assert isinstance(refusal, RequestTooLarge)
    assert built.journal.only.end is EndReason.REFUSED


def test_a_long_upload_takes_as_long_as_it_takes() -> None:
    built = Built.saying(whole(b"{}"), request_s=600.0)

    slowly = (250.0, b"y") * 20  # never silent for as long as makes a call idle
    play(carried(built, arriving("/v1/files", "POST"), b"x" * PREFIX_BYTES, *slowly))

    assert built.journal.only.duration_s == 5000.0


@pytest.mark.parametrize(("deadline_s", "waited_s"), [(None, 600.0), (20.0, 20.0)])
def test_an_answer_that_does_not_begin_is_given_up(deadline_s: float | None, waited_s: float) -> None:
    answer = Answer(opening=(NEVER,))
    built = Built.saying(answer)

    refusal = refused(built, arriving(deadline_s=deadline_s))

    assert isinstance(refusal, TimedOut)
    assert answer.closed
    record = built.journal.only
    assert (record.duration_s, record.end, record.attempts[0].error) == (waited_s, EndReason.FAILED, "timeout")


@pytest.mark.parametrize(
    ("steps", "deadline_s", "kind", "after_s"),
    [
        ((b"a", NEVER), None, TimedOut, 300.0),
        ((NEVER,), None, TimedOut, 300.0),
        ((b"a", NEVER), 30.0, TimedOut, 30.0),
        ((b"a", Interrupted("cut")), None, Interrupted, 0.0),
    ],
)
def test_an_answer_that_breaks_off_is_interrupted(
    steps: tuple[Any, ...], deadline_s: float | None, kind: type[GatewayError], after_s: float
) -> None:
    answer = Answer(steps=steps)
    built = Built.saying(answer)

    refusal = refused(built, arriving(deadline_s=deadline_s))

    assert isinstance(refusal, kind)
    assert answer.closed
    record = built.journal.only
    assert (record.end, record.status, record.duration_s) == (EndReason.INTERRUPTED, 200, after_s)
    assert len(record.attempts) == 1


def test_a_provider_out_of_reach_is_a_failed_attempt() -> None:
    built = Built.saying(Answer(opening=(Unreachable("refused"),)))

    refused(built, arriving())

    assert built.journal.only.attempts[0].error == "upstream_unreachable"
    assert built.journal.only.status == 502


@pytest.mark.parametrize("opened", [True, False])
def test_a_caller_who_leaves_takes_the_provider_along(opened: bool) -> None:
    answer = Answer(steps=(b"a", NEVER), opening=() if opened else (NEVER,))
    built = Built.saying(answer)

    async def scene() -> None:
        task = asyncio.create_task(carried(built, arriving()))
        await asyncio.sleep(7)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(scene())

    assert answer.closed
    record = built.journal.only
    assert (record.end, record.duration_s, len(record.attempts)) == (EndReason.CANCELLED, 7.0, 1)


def test_usage_is_read_in_passing() -> None:
    typed = {"surface": Surface.TYPED, "dialect": "isthmus"}
    built = Built.saying(whole(chat_answer()))

    forwarded, chunks = play(carried(built, arriving("/v1/chat/completions", "POST", **typed), b"{}"))

    assert chunks == [chat_answer()]
    assert forwarded.usage is not None
    assert forwarded.usage.total_tokens == 8
    assert built.journal.only.usage == forwarded.usage


def test_a_stream_passes_as_it_comes() -> None:
    built = Built.saying(Answer(headers=EVENTS, steps=(HELLO[:5], 1.0, HELLO[5:])))

    forwarded, chunks = play(carried(built, arriving("/v1/responses/r?stream=true")))

    assert chunks == [HELLO[:5], HELLO[5:]]
    assert forwarded.content_type == "text/event-stream"
    assert forwarded.usage is None


def test_an_answer_without_a_type_has_none() -> None:
    forwarded, chunks = play(carried(Built.saying(Answer(headers={}, status=204)), arriving()))

    assert (forwarded.status, forwarded.content_type, chunks) == (204, "", [])


@pytest.mark.parametrize(
    ("options", "arrival", "kind"),
    [
        ({"calls": 0}, arriving(), Unavailable),
        ({"anonymous": False}, arriving(), Unauthenticated),
        ({}, arriving("/v1/../admin"), InvalidRequest),
        ({}, arriving("/v1/embeddings"), MethodNotAllowed),
        ({"default_provider": None}, arriving(), UnknownModel),
        ({"default_provider": "claude"}, arriving(), Unauthenticated),
        ({}, arriving(headers=headers_of(x_isthmus_endpoint="other")), InvalidRequest),
        ({"upload_bytes": 1}, arriving(method="POST"), RequestTooLarge),
    ],
)
def test_a_refused_call_leaves_one_record_and_asks_nobody(
    options: Any, arrival: Arrival, kind: type[GatewayError]
) -> None:
    built = Built.saying(**options)

    assert isinstance(refused(built, arrival, b"xx"), kind)

    assert built.journal.only.end is EndReason.REFUSED
    assert built.upstream.sent == []


def test_the_callers_own_key_and_account_go_along() -> None:
    built = Built.saying(whole(b"{}"), anonymous=False)
    headers = headers_of(authorization="Bearer sk-mine", openai_organization="org", x_custom="1", cookie="c")

    play(carried(built, arriving(headers=headers)))

    assert built.upstream.sent[0].headers == (
        ("openai-organization", "org"),
        ("x-custom", "1"),
        ("authorization", "Bearer sk-mine"),
    )


def test_a_content_type_outside_ascii_is_passed_on_in_ascii() -> None:
    built = Built.saying(whole(b"x", content_type="text/plain; name=caf\udce9"))

    forwarded, chunks = play(carried(built, arriving()))

    assert (forwarded.content_type, chunks) == ("text/plain; name=caf%E9", [b"x"])


@pytest.mark.parametrize("status", [101, 199, 600, 999])
def test_a_status_that_http_does_not_know_is_no_answer(status: int) -> None:
    built = Built.saying(replace(whole(b"x"), status=status))

    error = refused(built, arriving())

    assert (error.http_status, error.code) == (502, "upstream_garbled")
    assert built.journal.only.attempts[0].status == status
