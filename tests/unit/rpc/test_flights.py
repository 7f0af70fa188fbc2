"""Workers that share answers on their way over real sockets: one call to the provider for all of a node, whoever leaves
or dies, and nothing wrong for anybody.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from isthmus.v1 import chat_pb2
from isthmusd.core.errors import (
    Garbled,
    GatewayError,
    Interrupted,
    Misconfigured,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from isthmusd.core.record import EndReason
from isthmusd.core.request import Arrival, Surface

from tests.unit.pipeline.gateway import DONE, HELLO, STOP, chat_answer, error, event, events, whole
from tests.unit.pipeline.targets import Answer
from tests.unit.pipeline.world import arrival_of, headers_of
from tests.unit.rpc.workers import LIMIT_S, SLOWLY, body_of, node, of_all, slowly, until

STREAM = HELLO + STOP + DONE


@pytest.mark.parametrize("owner", [0, 1])
@pytest.mark.parametrize("streams", [False, True])
async def test_all_workers_share_one_call(streams: bool, owner: int) -> None:
    answer = events(0.1, HELLO, 0.1, STOP, DONE) if streams else whole(chat_answer())
    async with node(slowly(answer), count=3) as own:
        asked = await own.owned_by(owner, stream=streams)

        got = await of_all(*(worker.ask(**asked) for worker in own.workers for _ in range(10)))

        assert own.sent == 1
        assert {each.body for each in got} == {STREAM if streams else chat_answer()}
        assert sorted(each.cache for each in got) == ["HIT"] * 29 + ["MISS"]
        assert {each.headers["age"] for each in got} == {"0"}
        assert sum(len(record.attempts) for record in own.records) == 1
        assert {record.end for record in own.records} == {EndReason.COMPLETE}
        assert len({record.usage for record in own.records}) == 1


async def test_forms_mix_over_workers() -> None:
    usage = {"include_usage": True}
    async with node(slowly(events(0.1, HELLO, 0.1, STOP, DONE))) as own:
        asked = await own.owned_by(0)
        first = asyncio.create_task(own.workers[1].ask(**asked, stream=True))
        await asyncio.sleep(SLOWLY / 3)

        got = await of_all(
            *(worker.ask(**asked) for worker in own.workers),
            *(worker.ask(**asked, stream=True, stream_options=usage) for worker in own.workers),
            *(worker.ask(**asked, stream=True) for worker in own.workers),
        )

        assert own.sent == 1
        assert (await first).body == STREAM
        assert {each.body for each in got[4:]} == {STREAM}
        assert got[0].body == got[1].body
        assert b'"content":"hello"' in got[0].body
        assert got[2].body == got[3].body
        assert b'"usage":' in got[2].body
        assert got[2].body.endswith(DONE)


@pytest.mark.parametrize("asker", [0, 1])
async def test_what_one_worker_has_the_other_finds_there(asker: int) -> None:
    async with node(whole(chat_answer())) as own:
        asked = await own.owned_by(0)

        first = await own.workers[asker].ask(**asked)
        second = await own.workers[1 - asker].ask(**asked)

        assert (first.cache, second.cache) == ("MISS", "HIT")
        assert own.sent == 1
        assert own.workers[0].parts.answers.items
        assert own.workers[1].parts.answers.items == {}
        # Who asks another worker has looked into the store that they share: a slow one is waited for once.
        looked = [len(worker.parts.answers.asked) for worker in own.workers]
        assert looked == ([1, 1] if asker == 0 else [0, 1])


async def test_keep_alives_pass_and_are_no_part_of_it() -> None:
    async with node(events(0.4, HELLO, STOP, DONE), keep_alive_s=0.1) as own:
        asked = await own.owned_by(0, stream=True)

        got = await of_all(*(worker.ask(**asked) for worker in own.workers))
        after = await own.workers[1].ask(**asked)

        assert own.sent == 1
        assert all(b"keep-alive" in each.body for each in got)
        assert after.body == STREAM


FAILURES: dict[str, tuple[Answer, type[GatewayError]]] = {
    "server error": (error(500), Overloaded),
    "throttled": (error(429, retry_after="7"), Throttled),
    "refused": (error(400), Rejected),
    "our key": (error(401), Misconfigured),
    "nonsense": (whole(b"nonsense"), Garbled),
    "nobody there": (Answer(opening=(Unreachable("gone"),)), Unreachable),
    "too late": (Answer(opening=(TimedOut("late"),)), TimedOut),
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("answer", "kind"), FAILURES.values(), ids=FAILURES.keys())
async def test_errors_arrive_as_themselves(answer: Answer, kind: type[GatewayError], streams: bool) -> None:
    if streams and kind is Garbled:
        answer = events(b"data: nonsense\n\n")
    failing = Answer(status=answer.status, headers=answer.headers, steps=answer.steps, opening=answer.opening)
    after = events(HELLO, STOP, DONE) if streams else whole(chat_answer())
    async with node(failing, after) as own:
        failing.opening = (SLOWLY, *failing.opening)
        asked = await own.owned_by(0, stream=streams)

        failed = await of_all(*(worker.ask(**asked) for worker in own.workers for _ in range(3)))
        again = await own.workers[1].ask(**asked)

        here, there = failed[0], failed[-1]
        assert {type(each) for each in failed} == {kind}
        assert {_facts(each) for each in failed} == {_facts(here)}
        assert here.told == there.told
        assert again.cache == "MISS"
        assert own.sent == 2
        assert all(worker.parts.answers.items == {} for worker in own.workers[1:])


def _facts(error: GatewayError) -> tuple[Any, ...]:
    return (
        error.message,
        error.type,
        error.code,
        error.param,
        error.http_status,
        error.retryable,
        error.retry_after_s,
    )


@pytest.mark.parametrize(
    "broken",
    [
        (HELLO,),
        (HELLO, Interrupted("cut")),
        (HELLO, b'data: {"error": {"message": "broke", "type": "server_error"}}\n\n', DONE),
    ],
    ids=["short", "cut", "in-band"],
)
async def test_a_stream_that_breaks_tells_all_in_band(broken: tuple[Any, ...]) -> None:
    async with node(slowly(events(*broken)), events(HELLO, STOP, DONE)) as own:
        asked = await own.owned_by(0, stream=True)

        got = await of_all(*(worker.ask(**asked) for worker in own.workers for _ in range(3)))
        after = await own.workers[1].ask(**asked)

        assert len({each.body for each in got}) == 1
        assert b'"error"' in got[0].body
        assert DONE not in got[0].body
        assert {record.end for record in own.records[:3]} == {EndReason.INTERRUPTED}
        assert (after.cache, after.body) == ("MISS", STREAM)


async def test_the_providers_connection_is_closed_when_the_last_one_leaves() -> None:
    answer = events(HELLO, 1000.0, STOP, DONE)
    async with node(answer) as own:
        asked = await own.owned_by(0, stream=True)
        waiting = [asyncio.create_task(worker.ask(**asked)) for worker in (*own.workers, own.workers[1])]
        await until(lambda: answer.read_count == 1)
        await asyncio.sleep(0.1)

        for task in waiting:
            assert not answer.closed
            task.cancel()
            await asyncio.wait((task,))

        await until(lambda: answer.closed)
        assert own.sent == 1
        assert own.workers[0].parts.answers.items == {}


@pytest.mark.parametrize("asker", [0, 1])
async def test_what_was_sent_is_told_to_who_leaves_in_the_middle(asker: int) -> None:
    async with node(events(HELLO, 1000.0, STOP, DONE)) as own:
        asked = await own.owned_by(0)
        seen: list[bytes] = []
        arrival = arrival_of(headers_of(), body=body_of(**asked, stream=True))
        worker = own.workers[asker]
        call = asyncio.create_task(worker.call(arrival, seen.append))
        await until(lambda: len(seen) == 1)

        call.cancel()
        await asyncio.wait((call,))

        (record,) = worker.records
        assert [attempt.status for attempt in record.attempts] == [200]
        assert record.end is EndReason.CANCELLED


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.6])
@pytest.mark.parametrize("leaver", [0, 1])
async def test_others_go_on_when_one_leaves(leaver: int, after_s: float) -> None:
    async with node(slowly(events(0.2, HELLO, 0.2, STOP, DONE))) as own:
        asked = await own.owned_by(0, stream=True)
        leaving = asyncio.create_task(own.workers[leaver].ask(**asked))
        await asyncio.sleep(0.05)
        staying = [asyncio.create_task(worker.ask(**asked)) for worker in own.workers]

        await asyncio.sleep(after_s)
        leaving.cancel()
        got = await of_all(*staying)

        assert own.sent == 1
        assert [each.body for each in got] == [STREAM] * 2
        assert sum(len(record.attempts) for record in own.records) == 1


def typed(seed: int, text: str = "hi", **facts: Any) -> Arrival:
    """A chat call over gRPC."""
    message = chat_pb2.Message(role="user", parts=[chat_pb2.Part(text=text)])
    request = chat_pb2.ChatRequest(model="gpt", messages=[message], temperature=0, seed=seed)
    given = {"surface": Surface.TYPED, "dialect": "isthmus", "path": "", "body": request} | facts
    return arrival_of(headers_of(), **given)


@pytest.mark.parametrize("streams", [False, True])
async def test_typed_calls_share_too(streams: bool) -> None:
    answer = slowly(events(0.1, HELLO, 0.1, STOP, DONE) if streams else whole(chat_answer()))
    async with node(answer) as own:
        got = await of_all(*(worker.call(typed(7, stream=streams)) for worker in own.workers for _ in range(3)))
        after = await of_all(*(worker.call(typed(7, stream=not streams)) for worker in own.workers))

        assert own.sent == 1
        assert len({_text(each.body) for each in (*got, *after)}) == 1
        assert _text(got[0].body) == "hello"
        assert all(each.body == got[0].body for each in got)
        assert sorted(each.cache for each in got) == ["HIT"] * 5 + ["MISS"]
        assert [each.cache for each in after] == ["HIT", "HIT"]


def _text(body: Any) -> str:
    match body:
        case [*pieces]:
            return "".join(each.text_delta.text for piece in pieces for each in piece.events)
        case whole_answer:
            return "".join(part.text for part in whole_answer.choices[0].message.parts)


async def test_typed_failures_share_too() -> None:
    async with node(slowly(error(429, retry_after="7"))) as own:
        failed = await of_all(*(worker.call(typed(7)) for worker in own.workers for _ in range(3)))

        assert own.sent == 1
        assert {type(each) for each in failed} == {Throttled}
        assert {each.retry_after_s for each in failed} == {7.0}


@pytest.mark.parametrize("asker", [0, 1])
async def test_who_waits_longer_than_usual_may_do_so_at_every_worker(asker: int) -> None:
    async with node(slowly(whole(chat_answer())), request_s=SLOWLY / 2) as own:
        asked = await own.owned_by(0)
        arrival = arrival_of(headers_of(), body=body_of(**asked), deadline_s=LIMIT_S)

        got = await own.workers[asker].call(arrival)

        assert got.body == chat_answer()


async def test_big_requests_and_answers_pass() -> None:
    text = "x" * 6_000_000
    async with node(slowly(whole(chat_answer(text)))) as own:
        asked = await own.owned_by(0, user="y" * 6_000_000)

        got = await of_all(*(worker.ask(**asked) for worker in own.workers))

        assert own.sent == 1
        assert {each.body for each in got} == {chat_answer(text)}


async def test_a_whole_answer_longer_than_an_entry_reaches_all_workers() -> None:
    text = "x" * 100_000
    async with node(slowly(whole(chat_answer(text))), cache_entry_bytes=50_000) as own:
        asked = await own.owned_by(0)

        got = await of_all(*(worker.ask(**asked) for worker in own.workers for _ in range(3)))

        assert own.sent == 1
        assert {each.body for each in got} == {chat_answer(text)}


async def test_an_answer_longer_than_an_entry_reaches_all_workers_and_is_not_kept() -> None:
    pieces = [event({"content": "x" * 1000}) for _ in range(300)]
    long = slowly(events(HELLO, *pieces, STOP, DONE))
    async with node(long, events(HELLO, STOP, DONE), cache_entry_bytes=50_000) as own:
        asked = await own.owned_by(0, stream=True)

        got = await of_all(*(worker.ask(**asked) for worker in own.workers for _ in range(2)))
        after = await own.workers[1].ask(**asked)

        assert own.sent == 2
        assert {each.body for each in got} == {HELLO + b"".join(pieces) + STOP + DONE}
        assert after.cache == "MISS"
