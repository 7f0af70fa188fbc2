"""Several targets: which failures move a call on, what all of them together may take, and what the caller is told."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import Exhausted, Garbled, Interrupted, Misconfigured, Rejected, UnsupportedFeature
from isthmusd.core.profile import Profile, Provider
from isthmusd.core.reply import Reply, Stream, Whole
from isthmusd.core.request import Operation
from isthmusd.core.routing import Plan, Target
from isthmusd.pipeline.attempts import AT_ONCE, Attempts
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.run import understand

from tests.unit.pipeline.gateway import (
    DONE,
    HELLO,
    NEW,
    OLD,
    STOP,
    chat_answer,
    chat_request,
    completion_answer,
    error,
    events,
    whole,
)
from tests.unit.pipeline.targets import NEVER, Answer, ScriptedUpstream
from tests.unit.pipeline.world import START, FakeClock, arrival_of, play

BLUE = Provider(name="one", base_url="http://blue/v1", api_key="k", endpoint="blue")
GREEN = Provider(name="one", base_url="http://green/v1", api_key="k", endpoint="green")
OTHER = Provider(name="two", base_url="http://two/v1", api_key="k")
B, G, T = (Target(provider=each, model="m", secret="k") for each in (BLUE, GREEN, OTHER))
STREAMED = chat_request(stream=True)


class World:
    """One worker's attempts over several calls."""

    def __init__(self, *answers: Answer, targets: tuple[Target, ...] = (B, G, T), **options: Any) -> None:
        self.upstream = ScriptedUpstream.saying(*answers)
        self.plan = Plan(targets=targets)
        self.attempts = Attempts(self.upstream, FakeClock(), PipelineOptions(**options))
        self.draft = Draft(arrival_of(), FakeClock())

    async def ask(
        self,
        body: bytes = chat_request(),
        operation: str = "chat",
        strict: bool = False,
        deadline_at: float | None = None,
    ) -> tuple[Reply, bytes]:
        arrival = arrival_of(body=body, operation=Operation(operation))
        self.draft = Draft(arrival, FakeClock())
        principal = Principal(tenant="t", key_id="k", method=AuthMethod.ANONYMOUS)
        call = Call(request_id="r", principal=principal, started_at=START, deadline_at=deadline_at, strict=strict)
        inbound = understand(arrival, 10**6)
        async with self.attempts.first_success(call, inbound, self.plan, {}, self.draft) as reply:
            match reply:
                case Whole():
                    return reply, reply.body
                case Stream():
                    return reply, b"".join([piece async for piece in reply.pieces])

    @property
    def hosts(self) -> list[str]:
        return [sent.url.split("/")[2] for sent in self.upstream.sent]


def test_the_answer_and_its_record_tell_of_every_attempt() -> None:
    world = World(error(503), error(429, retry_after="5"), whole(chat_answer()))

    reply, _ = play(world.ask())

    assert world.hosts == ["blue", "green", "two"]
    assert ("x-isthmus-attempts", "3") in reply.headers
    assert "x-isthmus-endpoint" not in dict(reply.headers)
    assert (reply.provenance.provider, reply.provenance.attempts) == ("two", 3)
    assert [(attempt.endpoint, attempt.status) for attempt in world.draft.attempts] == [
        ("blue", 503),
        ("green", 429),
        (None, 200),
    ]


def test_the_answer_names_the_credential_that_paid() -> None:
    reply, _ = play(World(error(500), whole(chat_answer())).ask())

    assert dict(reply.headers)["x-isthmus-endpoint"] == dict(reply.headers)["x-bt-used-endpoint"] == "green"
    assert reply.provenance.endpoint == "green"


def test_one_attempt_is_not_worth_a_header_and_a_callers_key_has_no_name() -> None:
    theirs = replace(B, secret="sk-theirs", callers_own_key=True)

    reply, _ = play(World(whole(chat_answer()), targets=(theirs,)).ask())

    assert {name for name, _ in reply.headers} == set()


def test_a_target_that_is_busy_or_refuses_our_key_is_asked_last_for_a_while() -> None:
    async def scene() -> list[list[str]]:
        seen: list[list[str]] = []
        for _ in range(2):
            before = len(world.hosts)
            await world.ask()
            seen.append(world.hosts[before:])
        return seen

    for failure in (error(401), error(403), error(429, retry_after="9")):
        world = World(failure, whole(chat_answer()), whole(chat_answer()))
        assert play(scene()) == [["blue", "green"], ["green"]]
    world = World(error(500), whole(chat_answer()), whole(chat_answer()))
    assert play(scene()) == [["blue", "green"], ["blue"]]


def test_a_busy_provider_speaks_for_all_that_failed() -> None:
    world = World(error(429, retry_after="7"), error(500), error(401))

    async def scene() -> None:
        with pytest.raises(Exhausted) as refusal:
            await world.ask()
        assert (refusal.value.http_status, refusal.value.retry_after_s, refusal.value.retryable) == (429, 7, True)

    play(scene())
    assert world.draft.losses == ()


def test_a_call_is_not_held_until_its_only_target_is_free() -> None:
    world = World(error(429, retry_after="1"), targets=(B,))

    async def scene() -> None:
        with pytest.raises(Exception, match="said no") as refusal:
            await world.ask()
        assert getattr(refusal.value, "retry_after_s", None) == 1

    play(scene())
    assert world.hosts == ["blue"]


def test_what_the_caller_did_wrong_ends_the_call_whoever_says_it() -> None:
    world = World(error(503), error(422), whole(chat_answer()))

    async def scene() -> None:
        with pytest.raises(Rejected):
            await world.ask()

    play(scene())
    assert world.hosts == ["blue", "green"]


def test_the_default_deadline_is_one_for_all_attempts() -> None:
    world = World(
        Answer(opening=(40.0,), status=500, steps=(b"",)), Answer(opening=(NEVER,)), whole(b""), request_s=60.0
    )

    async def scene() -> None:
        with pytest.raises(Exception, match="deadline"):
            await world.ask()

    play(scene())
    assert [round(attempt.duration_s) for attempt in world.draft.attempts] == [40, 20]


def test_the_first_event_limit_is_each_attempts_own_within_the_deadline() -> None:
    slow = events(opening=(NEVER,))
    world = World(slow, replace(slow), replace(slow), first_event_s=30.0, request_s=70.0)

    async def scene() -> None:
        with pytest.raises(Exception, match="in time"):
            await world.ask(STREAMED)

    play(scene())
    assert [round(attempt.duration_s) for attempt in world.draft.attempts] == [30, 30, 10]


def test_a_stream_that_fails_after_its_head_and_before_an_event_falls_back() -> None:
    world = World(events(1.0, Interrupted("cut")), events(), events(HELLO, STOP, DONE))

    reply, pieces = play(world.ask(STREAMED))

    assert world.hosts == ["blue", "green", "two"]
    assert reply.provenance.attempts == 3
    assert pieces == HELLO + STOP + DONE


PROMPT = msgspec.json.encode({"model": "m", "prompt": "a", "echo": True})
CHATS, COMPLETES = (Target(provider=each, model="m") for each in (NEW, OLD))


def test_losses_belong_to_the_target_that_answered() -> None:
    world = World(error(500), whole(completion_answer()), targets=(CHATS, COMPLETES))

    reply, _ = play(world.ask(PROMPT, "completion"))

    assert world.hosts == ["new", "old"]
    assert world.draft.losses == reply.provenance.losses == ()
    assert "x-isthmus-losses" not in dict(reply.headers)


def test_a_strict_call_passes_over_targets_that_would_lose_something() -> None:
    world = World(whole(completion_answer()), targets=(CHATS, COMPLETES))

    reply, _ = play(world.ask(PROMPT, "completion", strict=True))

    assert world.hosts == ["old"]
    assert "x-isthmus-attempts" not in dict(reply.headers)


def test_a_strict_call_is_refused_when_every_target_would() -> None:
    world = World(targets=(CHATS, CHATS))

    async def scene() -> None:
        with pytest.raises(UnsupportedFeature, match="echo"):
            await world.ask(PROMPT, "completion", strict=True)

    play(scene())
    assert (world.hosts, world.draft.attempts) == ([], [])


def test_our_keys_refused_everywhere_stay_the_operators_business() -> None:
    world = World(error(401), error(403), targets=(B, G))

    async def scene() -> None:
        with pytest.raises(Exhausted) as refusal:
            await world.ask()
        assert isinstance(refusal.value.speaker, Misconfigured)
        assert (refusal.value.http_status, refusal.value.code) == (502, "upstream_misconfigured")

    play(scene())


FEW = Target(
    provider=Provider(name="few", base_url="http://few/v1", needs_key=False, profile=Profile(embeddings_per_request=1)),
    model="m",
)


def vectors(count: int, **members: Any) -> Answer:
    data = [{"object": "embedding", "index": index, "embedding": [float(index)]} for index in range(count)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return whole(msgspec.json.encode({"object": "list", "data": data, "model": "m-1", "usage": usage} | members))


def test_more_embeddings_than_a_target_takes_are_asked_for_in_turns_and_answered_as_one() -> None:
    count = AT_ONCE * 2 + 1
    answers = [replace(vectors(1), opening=(1.0,)) for _ in range(count)]
    world = World(*answers, targets=(FEW,))
    body = msgspec.json.encode({"model": "x", "input": [f"text {index}" for index in range(count)]})

    _, answer = play(world.ask(body, "embedding"))

    told = msgspec.json.decode(answer)
    assert [vector["index"] for vector in told["data"]] == list(range(count))
    assert told["usage"]["prompt_tokens"] == 3 * count
    assert [msgspec.json.decode(sent.body or b"")["input"] for sent in world.upstream.sent] == [
        f"text {index}" for index in range(count)
    ]
    assert [(attempt.status, round(attempt.duration_s)) for attempt in world.draft.attempts] == [(200, 3)]


def test_a_part_that_fails_fails_the_attempt_and_another_target_is_asked_for_all() -> None:
    world = World(vectors(1), vectors(0), vectors(2), targets=(FEW, T))
    body = msgspec.json.encode({"model": "x", "input": ["a", "b"]})

    reply, _ = play(world.ask(body, "embedding"))

    assert world.hosts == ["few", "few", "two"]
    assert world.draft.attempts[0].error == Garbled("x").code
    assert reply.provenance.provider == "two"


def test_vectors_come_in_the_form_asked_for_though_the_target_gives_numbers() -> None:
    world = World(vectors(1), vectors(1), targets=(FEW,))
    body = msgspec.json.encode({"model": "x", "input": ["a", "b"], "encoding_format": "base64"})

    _, answer = play(world.ask(body, "embedding"))

    first, second = (vector["embedding"] for vector in msgspec.json.decode(answer)["data"])
    assert struct.unpack("<f", base64.b64decode(first)) == struct.unpack("<f", base64.b64decode(second)) == (0.0,)
