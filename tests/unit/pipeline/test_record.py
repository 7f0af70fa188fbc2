"""Exactly one record of each call, whatever ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import (
    Bug,
    Garbled,
    Interrupted,
    InvalidRequest,
    KeyRejected,
    Overloaded,
    PermissionDenied,
    TimedOut,
    Told,
    Unavailable,
)
from isthmusd.core.profile import Provider
from isthmusd.core.record import Bodies, EndReason, Record, encode
from isthmusd.core.request import Loss
from isthmusd.core.routing import Target
from isthmusd.core.tokens import unknown_key
from isthmusd.pipeline.record import MODEL_LENGTH, Draft, recording

from tests.unit.pipeline.world import START, FakeClock, KeptJournal, arrival_of, headers_of, play

TARGET = Target(provider=Provider(name="p", base_url="u"), model="m")
CALL = Call(
    request_id="r1",
    principal=Principal(tenant="t", key_id="k", method=AuthMethod.GATEWAY_KEY),
    started_at=START,
    deadline_at=None,
    project="project",
)


def record_of(ending: BaseException | None, *, first_event: bool = False, status: int = 200) -> Record:
    journal = KeptJournal()

    async def scene() -> None:
        async with recording(journal, FakeClock(), arrival_of()) as draft:
            draft.know(CALL)
            draft.status = status
            await asyncio.sleep(2)
            if first_event:
                draft.mark_first_event()
            await asyncio.sleep(3)
            if ending is not None:
                raise ending

    if ending is None:
        play(scene())
    else:
        with pytest.raises(type(ending)):
            play(scene())
    return journal.only


def test_a_complete_call() -> None:
    record = record_of(None, first_event=True, status=201)

    assert (record.end, record.status, record.error_code, record.detail) == (EndReason.COMPLETE, 201, None, None)
    assert (record.duration_s, record.first_event_s, record.started_at) == (5.0, 2.0, START)
    assert (record.request_id, record.tenant, record.key_id, record.auth) == ("r1", "t", "k", "gateway_key")
    assert (record.project, record.surface, record.operation) == ("project", "openai", "chat")


@pytest.mark.parametrize(
    ("ending", "end", "status", "code"),
    [
        (InvalidRequest("x"), EndReason.REFUSED, 400, "invalid_request"),
        (Unavailable("x"), EndReason.REFUSED, 503, "overloaded"),
        (Overloaded("x", http_status=502), EndReason.FAILED, 502, "upstream_error"),
        (KeyRejected("x"), EndReason.FAILED, 401, "provider_key_rejected"),
        (TimedOut("x"), EndReason.FAILED, 504, "timeout"),
        (Interrupted("x"), EndReason.FAILED, 502, "upstream_interrupted"),
        (asyncio.CancelledError(), EndReason.CANCELLED, 499, None),
        (GeneratorExit(), EndReason.CANCELLED, 499, None),
        (Bug("x"), EndReason.BUG, 500, "internal"),
        (KeyError("x"), EndReason.BUG, 500, None),
    ],
)
def test_what_ends_a_call_before_its_first_event(
    ending: BaseException, end: EndReason, status: int, code: str | None
) -> None:
    record = record_of(ending)

    assert (record.end, record.status, record.error_code) == (end, status, code)
    assert record.first_event_s is None


def test_a_break_after_the_first_event_leaves_the_status_that_was_sent() -> None:
    record = record_of(Interrupted("x"), first_event=True)

    assert (record.end, record.status, record.error_code) == (EndReason.INTERRUPTED, 200, "upstream_interrupted")


def test_the_operator_learns_what_nobody_else_does() -> None:
    bug = record_of(KeyError("the cause"))
    failure = record_of(Overloaded("x", told=Told(detail="ConnectionReset: by peer")))

    assert bug.detail is not None
    assert "Traceback" in bug.detail
    assert "the cause" in bug.detail
    assert failure.detail == "ConnectionReset: by peer"
    assert record_of(unknown_key("of another audience")).detail == "of another audience"
    assert record_of(unknown_key()).detail is None
    assert record_of(InvalidRequest("x")).detail is None
    assert record_of(asyncio.CancelledError()).detail is None


def test_the_first_cause_stays() -> None:
    draft = Draft(arrival_of(), FakeClock())

    draft.interrupted_by(Garbled("x"))
    draft.ended_by(asyncio.CancelledError())

    assert draft.finish().end is EndReason.INTERRUPTED
    assert draft.finish().error_code == "upstream_garbled"


def test_the_first_event_is_noted_once() -> None:
    clock = FakeClock(still_at=10.0)
    draft = Draft(arrival_of(), clock)

    for instant in (11.0, 12.0):
        clock.still_at = instant
        draft.mark_first_event()

    assert draft.finish().first_event_s == 1.0


def test_a_caller_who_was_not_identified_leaves_what_is_known() -> None:
    draft = Draft(arrival_of(headers_of(x_request_id="theirs")), FakeClock())

    record = draft.finish()

    assert (record.request_id, record.tenant, record.key_id, record.auth) == ("theirs", None, None, None)


def test_attempts_say_what_the_target_said() -> None:
    clock = FakeClock(still_at=5.0)
    draft = Draft(arrival_of(), clock)
    told = Told(status=529, request_id="req_up")

    draft.attempted(TARGET, 1.0, error=Overloaded("x", told=told))
    draft.attempted(TARGET, 2.0, 200, request_id="req_2")
    draft.attempted(TARGET, 3.0, error=InvalidRequest("x"))

    failed, answered, refused = draft.finish().attempts
    assert (failed.provider, failed.model, failed.status, failed.duration_s) == ("p", "m", 529, 4.0)
    assert (failed.error, failed.upstream_request_id) == ("upstream_error", "req_up")
    assert (answered.status, answered.error, answered.upstream_request_id) == (200, None, "req_2")
    assert (refused.status, refused.error) == (None, "invalid_request")


def test_what_a_target_names_its_call_can_be_written_whatever_its_bytes() -> None:
    draft = Draft(arrival_of(), FakeClock())

    draft.attempted(TARGET, 0.0, 200, request_id="r\udce9")
    draft.attempted(TARGET, 0.0, error=Overloaded("no", told=Told(status=500, request_id="\udce9", detail="d\udce9")))
    draft.ended_by(Overloaded("no", told=Told(status=500, request_id="\udce9", detail="d\udce9")))
    record = draft.finish()

    assert [attempt.upstream_request_id for attempt in record.attempts] == ["r%E9", "%E9"]
    assert record.detail == "d?"
    assert msgspec.json.encode(record)


def test_of_a_long_model_name_a_record_keeps_the_beginning() -> None:
    draft = Draft(arrival_of(), FakeClock())
    draft.model = "m" * 1_000_000

    draft.attempted(replace(TARGET, model=draft.model), 0.0, 404)
    record = draft.finish()

    assert record.model == record.attempts[0].model == "m" * MODEL_LENGTH


WANTED = replace(CALL, record_bodies=True)


class Message:
    """As protobuf's, for what a record needs of it."""

    def __init__(self, written: bytes) -> None:
        self._written = written

    def SerializeToString(self) -> bytes:
        return self._written


def bodies_of(call: Call, asked: Any, *answered: Any, limit: int = 10) -> Bodies | None:
    draft = Draft(arrival_of(body=asked), FakeClock())
    draft.know(call, limit)
    for piece in answered:
        draft.answering(piece)
    return draft.finish().bodies


def test_each_record_has_an_id_of_its_own_whatever_the_request_id() -> None:
    clock, journal = FakeClock(), KeptJournal()
    for _ in range(2):
        draft = Draft(arrival_of(headers_of(x_request_id="theirs")), clock, journal)
        draft.settle()

    first, second = journal.records
    assert first.request_id == second.request_id == "theirs"
    assert first.id != second.id


def test_the_target_that_answered_is_named() -> None:
    draft = Draft(arrival_of(), FakeClock())
    other = replace(TARGET, model="m2")

    before = draft.finish()
    draft.attempted(TARGET, 0.0, error=Overloaded("x"))
    draft.attempted(other, 0.0, 200)
    after = draft.finish()

    assert (before.provider, before.target_model) == (None, None)
    assert (after.provider, after.target_model, after.cache) == ("p", "m2", None)


def test_bodies_are_kept_for_calls_that_want_them_only() -> None:
    assert bodies_of(CALL, b"asked", b"answered") is None
    assert bodies_of(WANTED, b"asked", b"answered", limit=0) is None
    assert bodies_of(WANTED, b"asked", b"answered") == Bodies(asked=b"asked", answered=b"answered")


def test_the_pieces_of_a_stream_are_joined_and_messages_are_as_on_the_wire() -> None:
    assert bodies_of(WANTED, b"ask", b"a", b"b", b"c") == Bodies(asked=b"ask", answered=b"abc")
    assert bodies_of(WANTED, Message(b"ask"), Message(b"a"), Message(b"b")) == Bodies(asked=b"ask", answered=b"ab")


def test_of_a_long_body_the_beginning_is_kept() -> None:
    exact = bodies_of(WANTED, b"0123456789", b"01234", b"56789")
    asked_long = bodies_of(WANTED, b"0123456789a", b"x")
    answered_long = bodies_of(WANTED, b"x", b"01234", b"56789a", b"b")

    assert exact == Bodies(asked=b"0123456789", answered=b"0123456789", cut=False)
    assert asked_long == Bodies(asked=b"0123456789", answered=b"x", cut=True)
    assert answered_long == Bodies(asked=b"x", answered=b"0123456789", cut=True)


@pytest.mark.parametrize(("call", "kept"), [(WANTED, b"onetwo"), (CALL, None)], ids=["wanted", "unwanted"])
def test_an_upload_is_seen_on_its_way(call: Call, kept: bytes | None) -> None:
    draft = Draft(arrival_of(), FakeClock())

    async def upload() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def scene() -> list[bytes]:
        draft.know(call, 10)
        return [piece async for piece in draft.asking(upload())]

    assert play(scene()) == [b"one", b"two"]
    bodies = draft.finish().bodies
    assert (None if bodies is None else bodies.asked) == kept


def test_a_record_that_is_written_early_is_not_written_again() -> None:
    journal = KeptJournal()

    async def scene() -> None:
        async with recording(journal, FakeClock(), arrival_of()) as draft:
            draft.settle()
            draft.status = 500
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        play(scene())

    assert (journal.only.end, journal.only.status) == (EndReason.COMPLETE, 200)


def test_a_record_as_json_is_without_its_bodies() -> None:
    draft = Draft(arrival_of(body=b"the question"), FakeClock())
    plain = encode(draft.finish())
    draft.know(WANTED, 100)
    told = msgspec.json.decode(encode(draft.finish()))

    assert "bodies" not in told
    assert set(told) == set(msgspec.json.decode(plain))
    assert told["project"] == "project"


def test_a_refused_call_names_its_caller() -> None:
    draft = Draft(arrival_of(), FakeClock())

    draft.meet(Principal(tenant="acme", key_id="k1", method=AuthMethod.GATEWAY_KEY))
    draft.ended_by(PermissionDenied("no"))

    record = draft.finish()
    assert (record.tenant, record.key_id, record.auth) == ("acme", "k1", AuthMethod.GATEWAY_KEY)


def test_r17_a_caller_who_names_many_fields_makes_no_record_long() -> None:
    draft = Draft(arrival_of(), FakeClock())
    draft.losses = tuple(Loss(field=f"{number}" * 10_000, reason="x" * 10_000) for number in range(5_000))

    record = draft.finish()

    assert [loss.field[0] for loss in record.losses[:3]] == ["0", "1", "2"]
    assert len(encode(record)) < 64 * 1024


def test_losses_of_usual_length_are_kept_as_they_are() -> None:
    draft = Draft(arrival_of(), FakeClock())
    draft.losses = (Loss(field="seed", reason="the target has none"),)

    assert draft.finish().losses == draft.losses
