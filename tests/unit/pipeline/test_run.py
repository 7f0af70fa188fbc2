"""The line from an arrival to a reply: what is checked in which order, and the one record that remains."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from isthmusd.core.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RequestTooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedFeature,
)
from isthmusd.core.profile import Provider
from isthmusd.core.record import EndReason
from isthmusd.core.reply import Stream, Whole
from isthmusd.core.request import Arrival, Operation
from isthmusd.pipeline.models import get_model, list_models
from isthmusd.pipeline.run import run, understand

from tests.unit.pipeline.gateway import DONE, HELLO, STOP, Built, chat_answer, chat_request, error, events, whole
from tests.unit.pipeline.targets import EVENTS, NEVER, Answer
from tests.unit.pipeline.world import arrival_of, headers_of, play

CHAT = chat_request()
STREAM = chat_request(stream=True)


async def answer(built: Built, arrival: Arrival) -> list[Any]:
    async with run(built.gateway, arrival) as reply:
        match reply:
            case Whole():
                return [reply.body]
            case Stream():
                return [piece async for piece in reply.pieces]


def refused(built: Built, arrival: Arrival) -> GatewayError:
    with pytest.raises(GatewayError) as refusal:
        play(answer(built, arrival))
    return refusal.value


def test_a_call_is_answered_and_recorded() -> None:
    built = Built.saying(whole(chat_answer()))

    bodies = play(answer(built, arrival_of(body=CHAT)))

    assert bodies == [chat_answer()]
    record = built.journal.only
    assert (record.end, record.status, record.model, record.stream) == (EndReason.COMPLETE, 200, "gpt", False)
    assert [attempt.model for attempt in record.attempts] == ["gpt"]
    assert (built.shown.now, built.shown.most) == (0, 1)


def test_a_stream_is_recorded_at_its_end() -> None:
    built = Built.saying(events(HELLO, 20.0, STOP, DONE))

    pieces = play(answer(built, arrival_of(body=STREAM)))

    assert b"".join(pieces) == HELLO + b": keep-alive\n\n" + STOP + DONE
    record = built.journal.only
    assert (record.end, record.stream, record.duration_s, record.first_event_s) == (EndReason.COMPLETE, True, 20.0, 0)
    assert record.usage is not None


def test_an_alias_is_replaced_on_its_way() -> None:
    built = Built.saying(whole(chat_answer()))

    play(answer(built, arrival_of(body=chat_request(model="fast"))))

    assert msgspec.json.decode(built.upstream.sent[0].body or b"")["model"] == "gpt-mini"
    assert built.journal.only.model == "fast"


@pytest.mark.parametrize(
    ("options", "headers", "body", "kind"),
    [
        ({"calls": 0, "anonymous": False}, {}, b"{", Unavailable),
        ({"anonymous": False}, {}, b"{", Unauthenticated),
        ({"request_bytes": 10}, {}, b"{" * 11, RequestTooLarge),
        ({}, {}, b"{", InvalidRequest),
        ({}, headers_of(x_isthmus_strict="maybe"), b"{", InvalidRequest),
        ({}, {}, chat_request(model="nobody/x"), GatewayError),
        ({}, {}, chat_request(model="claude/x"), Unauthenticated),
        ({}, headers_of(origin="http://evil.example"), CHAT, PermissionDenied),
    ],
)
def test_a_refused_call_leaves_one_record_and_asks_nobody(
    options: Any, headers: Any, body: bytes, kind: type[GatewayError]
) -> None:
    built = Built.saying(**options)

    refusal = refused(built, arrival_of(headers, body=body))

    assert isinstance(refusal, kind)
    assert built.journal.only.end is EndReason.REFUSED
    assert built.journal.only.status == refusal.http_status
    assert built.upstream.sent == []
    assert built.shown.now == 0


def test_a_failed_call_leaves_one_record() -> None:
    built = Built.saying(error(500))

    refused(built, arrival_of(body=CHAT))

    record = built.journal.only
    assert (record.end, record.status, len(record.attempts)) == (EndReason.FAILED, 502, 1)


def test_an_interrupted_stream_leaves_one_record() -> None:
    built = Built.saying(events(HELLO))

    pieces = play(answer(built, arrival_of(body=STREAM)))

    assert b'"error"' in pieces[-1]
    record = built.journal.only
    assert (record.end, record.status, record.error_code) == (EndReason.INTERRUPTED, 200, "upstream_interrupted")


def test_a_bug_leaves_one_record_with_its_traceback() -> None:
    built = Built.saying(Answer(opening=(ZeroDivisionError("oops"),)))

    with pytest.raises(ZeroDivisionError):
        play(answer(built, arrival_of(body=CHAT)))

    record = built.journal.only
    assert (record.end, record.status) == (EndReason.BUG, 500)
    assert "oops" in (record.detail or "")


@pytest.mark.parametrize(
    ("answered", "body", "has_usage"),
    [
        (Answer(opening=(NEVER,)), CHAT, False),
        (Answer(steps=(NEVER,)), CHAT, False),
        (events(opening=(NEVER,)), STREAM, False),
        (events(NEVER), STREAM, True),
        (events(HELLO, NEVER), STREAM, True),
    ],
    ids=["whole, no headers", "whole, no body", "stream, no headers", "stream, no event", "silent stream"],
)
def test_a_caller_who_leaves_takes_the_target_along(answered: Answer, body: bytes, has_usage: bool) -> None:
    built = Built.saying(answered)

    async def scene() -> None:
        task = asyncio.create_task(answer(built, arrival_of(body=body)))
        await asyncio.sleep(50)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(scene())

    record = built.journal.only
    assert answered.closed
    assert (record.end, record.status, record.duration_s) == (EndReason.CANCELLED, 499, 50.0)
    assert [attempt.provider for attempt in record.attempts] == ["openai"]
    assert (record.usage is not None) == has_usage
    assert built.shown.now == 0


def test_a_caller_who_leaves_between_two_pieces_has_used_what_came() -> None:
    answered = events(HELLO, STOP, DONE)
    built = Built.saying(answered)

    async def scene() -> None:
        async with run(built.gateway, arrival_of(body=STREAM)) as reply:
            assert isinstance(reply, Stream)
            await anext(reply.pieces)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        play(scene())

    record = built.journal.only
    assert answered.closed
    assert record.end is EndReason.CANCELLED
    assert record.usage is not None
    assert record.usage.estimated


MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("members", "operation"), [({"messages": MESSAGES}, Operation.CHAT), ({"prompt": "hi"}, Operation.COMPLETION)]
)
def test_the_shape_of_an_auto_body_decides(members: dict[str, Any], operation: Operation) -> None:
    body = msgspec.json.encode({"model": "gpt"} | members)

    inbound = understand(arrival_of(operation=Operation.AUTO, body=body), 1000)

    assert inbound.operation is operation


@pytest.mark.parametrize("members", [{}, {"messages": MESSAGES, "prompt": "hi"}, {"messages": None, "prompt": None}])
def test_an_auto_body_has_one_shape(members: dict[str, Any]) -> None:
    body = msgspec.json.encode({"model": "gpt"} | members)

    with pytest.raises(InvalidRequest):
        understand(arrival_of(operation=Operation.AUTO, body=body), 1000)


def test_a_typed_stream_is_one_by_its_rpc() -> None:
    inbound = understand(arrival_of(body=CHAT, stream=True), 1000)

    assert inbound.peeked.stream


def test_an_operation_that_a_protocol_lacks_is_unsupported() -> None:
    with pytest.raises(UnsupportedFeature):
        understand(arrival_of(dialect="isthmus", operation=Operation.MODERATION), 1000)


def test_a_provider_of_an_unknown_dialect_is_a_loss_of_the_call_only() -> None:
    built = Built.saying()
    built.providers = (Provider(name="openai", base_url="u", dialect="latin", api_key="k"),)

    assert isinstance(refused(built, arrival_of(body=CHAT)), UnsupportedFeature)


def test_models_are_listed_and_shown() -> None:
    built = Built.saying()
    arrival = arrival_of(operation=Operation.MODELS, method="GET")

    listed = play(list_models(built.gateway, arrival))
    shown = play(get_model(built.gateway, arrival, "gpt"))

    assert [model.id for model in listed] == ["fast", "gpt"]
    assert shown.provider == "openai"
    assert [record.model for record in built.journal.records] == [None, "gpt"]


def test_a_model_that_is_not_listed_does_not_exist() -> None:
    built = Built.saying()

    with pytest.raises(NotFound) as refusal:
        play(get_model(built.gateway, arrival_of(operation=Operation.MODELS), "x" * 999))

    assert refusal.value.code == "model_not_found"
    assert len(refusal.value.message) < 200
    assert built.journal.only.end is EndReason.REFUSED


def test_models_are_for_those_who_may_call() -> None:
    built = Built.saying(anonymous=False)

    with pytest.raises(Unauthenticated):
        play(list_models(built.gateway, arrival_of(operation=Operation.MODELS)))


def test_streams_that_answer_nothing_are_errors() -> None:
    built = Built.saying(Answer(headers=EVENTS))

    assert refused(built, arrival_of(body=STREAM)).http_status == 502
