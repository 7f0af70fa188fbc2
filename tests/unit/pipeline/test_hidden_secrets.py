"""A provider that repeats our key tells it to nobody: neither to the caller nor to the record. How a text is cleaned is
`tests/unit/core/test_redaction.py`'s."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.errors import GatewayError, Unreachable
from isthmusd.core.reply import Stream, Whole
from isthmusd.core.request import Arrival, Operation
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.run import run

from tests.unit.pipeline.gateway import HELLO, OPENAI, Built, chat_answer, chat_request, error, events, whole
from tests.unit.pipeline.targets import Answer
from tests.unit.pipeline.world import arrival_of, play

SECRET = "a key of no known form"
SAID = f"we do not like {SECRET}"
HIDDEN = "we do not like [redacted]"
IN_BAND = b"data: " + msgspec.json.encode({"error": {"message": SAID, "code": 400}}) + b"\n\n"


def built(answer: Answer) -> Built:
    made = Built.saying(answer)
    made.providers = (replace(OPENAI, api_key=SECRET),)
    return made


async def answered(made: Built, arrival: Arrival) -> tuple[Any, list[Any]]:
    async with run(made.gateway, arrival) as reply:
        match reply:
            case Whole():
                return reply.headers, [reply.body]
            case Stream():
                return reply.headers, [piece async for piece in reply.pieces]


@pytest.mark.parametrize("answer", [error(400, SAID), whole(IN_BAND[6:-2]), events(IN_BAND)])
def test_r12_an_error_before_the_answer_tells_no_secret(answer: Answer) -> None:
    made = built(answer)

    with pytest.raises(GatewayError) as refusal:
        play(answered(made, arrival_of(body=chat_request(stream=answer.headers != whole(b"").headers))))

    assert refusal.value.message == HIDDEN
    assert made.journal.only.detail == HIDDEN


def test_r12_a_key_that_is_refused_is_in_no_record() -> None:
    made = built(error(401, SAID))

    with pytest.raises(GatewayError) as refusal:
        play(answered(made, arrival_of(body=chat_request())))

    assert "like" not in refusal.value.message
    assert made.journal.only.detail == HIDDEN


def test_r12_an_error_within_a_stream_tells_no_secret() -> None:
    made = built(events(HELLO, IN_BAND))

    _, pieces = play(answered(made, arrival_of(body=chat_request(stream=True))))

    assert SECRET.encode() not in b"".join(pieces)
    assert HIDDEN.encode() in b"".join(pieces)
    assert made.journal.only.detail == HIDDEN


def test_r12_headers_of_an_answer_tell_no_secret() -> None:
    made = built(whole(chat_answer(), openai_debug=SAID, x_request_id=SECRET))

    headers, _ = play(answered(made, arrival_of(body=chat_request())))

    assert ("openai-debug", HIDDEN) in headers
    assert ("x-isthmus-upstream-request-id", "[redacted]") in headers
    assert made.journal.only.attempts[0].upstream_request_id == "[redacted]"


async def nothing() -> AsyncIterator[bytes]:
    for piece in ():
        yield piece


async def carried(made: Built) -> tuple[Any, bytes]:
    arrival = arrival_of(operation=Operation.FORWARD, path="/v1/files", method="GET")
    async with forward(made.gateway, arrival, nothing()) as forwarded:
        return forwarded.headers, b"".join([chunk async for chunk in forwarded.chunks])


def test_r12_what_is_passed_on_keeps_its_body_and_tells_no_secret_beside_it() -> None:
    made = built(whole(SAID.encode(), 401, openai_debug=SAID))

    headers, body = play(carried(made))

    assert ("openai-debug", HIDDEN) in headers
    assert body == SAID.encode()


def test_r12_what_fails_on_its_way_tells_no_secret() -> None:
    made = built(Answer(opening=(Unreachable(SAID),)))

    with pytest.raises(GatewayError) as refusal:
        play(carried(made))

    assert refusal.value.message == HIDDEN
