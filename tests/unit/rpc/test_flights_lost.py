"""Workers that die, stand still, or do not know a caller, while others wait for an answer that is theirs to get: it
costs one more call to the provider at most, and nobody gets a wrong or a mixed answer.
"""

from __future__ import annotations

import asyncio

import pytest
from isthmusd.core.record import EndReason

from tests.unit.pipeline.gateway import DONE, HELLO, STOP, chat_answer, events, whole
from tests.unit.pipeline.world import arrival_of, headers_of
from tests.unit.rpc.workers import body_of, node, of_all, slowly, until

HUNG_S = 3.0
"""Until an answer comes that another worker should have given."""


async def test_a_worker_that_dies_before_the_answer_begins_costs_one_more_call() -> None:
    first, second = slowly(whole(chat_answer("one"))), slowly(whole(chat_answer("two")))
    async with node(first, second) as own:
        owner, other = own.workers
        asked = await own.owned_by(0)
        waiting = [asyncio.create_task(other.ask(**asked)) for _ in range(5)]
        await until(lambda: own.sent == 1)

        owner.wire.cut()
        got = await of_all(*waiting)

        assert own.sent == 2
        assert {each.body for each in got} == {chat_answer("two")}
        # Nobody is left there.
        assert first.closed


async def test_the_next_worker_takes_over_for_all_others() -> None:
    answers = [slowly(whole(chat_answer(text))) for text in ("one", "two")]
    async with node(*answers, count=3) as own:
        asked = await own.owned_by(0, 1)
        waiting = [asyncio.create_task(worker.ask(**asked)) for worker in own.workers[1:] for _ in range(3)]
        await until(lambda: own.sent == 1)
        await asyncio.sleep(0.05)

        own.workers[0].wire.cut()
        got = await of_all(*waiting)

        assert own.sent == 2
        assert {each.body for each in got} == {chat_answer("two")}


async def test_a_worker_that_dies_in_a_stream_interrupts_it_and_whole_callers_ask_again() -> None:
    first = slowly(events(HELLO, 1000.0, STOP, DONE))
    async with node(first, slowly(whole(chat_answer("another")))) as own:
        owner, other = own.workers
        asked = await own.owned_by(0)
        seen: list[bytes] = []
        arrival = arrival_of(headers_of(), body=body_of(**asked, stream=True))
        streamed = [asyncio.create_task(other.call(arrival, seen.append)) for _ in range(3)]
        await asyncio.sleep(0.05)
        wholes = [asyncio.create_task(other.ask(**asked)) for _ in range(3)]
        await until(lambda: len(seen) == 3)

        owner.wire.cut()
        broken, again = await of_all(*streamed), await of_all(*wholes)

        assert own.sent == 2
        assert len({each.body for each in broken}) == 1
        assert broken[0].body.startswith(HELLO)
        assert b'"error"' in broken[0].body
        assert DONE not in broken[0].body
        assert {each.body for each in again} == {chat_answer("another")}
        interrupted = [record for record in other.records if record.stream]
        assert {record.end for record in interrupted} == {EndReason.INTERRUPTED}


async def test_a_worker_that_is_not_there_is_done_without() -> None:
    async with node(whole(chat_answer())) as own:
        owner, other = own.workers
        asked = await own.owned_by(0)
        owner.wire.cut()

        got = await other.ask(**asked)

        assert got.body == chat_answer()
        assert owner.parts.answers.asked == []


@pytest.mark.parametrize("known", [False, True])
async def test_a_worker_that_says_nothing_is_done_without(known: bool) -> None:
    async with node(whole(chat_answer("one")), whole(chat_answer("two"))) as own:
        owner, other = own.workers
        if known:
            await other.ask(**await own.owned_by(0, user="before"))
        asked = await own.owned_by(0)
        owner.wire.hold()
        began_at = asyncio.get_running_loop().time()

        got = await of_all(*(other.ask(**asked) for _ in range(5)))

        assert {each.body for each in got} == {chat_answer("two" if known else "one")}
        assert asyncio.get_running_loop().time() - began_at < HUNG_S


async def test_a_worker_that_stops_while_others_wait_is_done_without() -> None:
    async with node(slowly(whole(chat_answer("one"))), whole(chat_answer("two"))) as own:
        owner, other = own.workers
        asked = await own.owned_by(0)
        waiting = [asyncio.create_task(other.ask(**asked)) for _ in range(5)]
        await until(lambda: own.sent == 1)
        owner.wire.hold()
        began_at = asyncio.get_running_loop().time()

        got = await of_all(*waiting)

        assert {each.body for each in got} == {chat_answer("two")}
        assert asyncio.get_running_loop().time() - began_at < HUNG_S


async def test_a_worker_that_stops_in_a_stream_interrupts_it() -> None:
    async with node(slowly(events(HELLO, 1000.0, STOP, DONE))) as own:
        owner, other = own.workers
        asked = await own.owned_by(0)
        seen: list[bytes] = []
        arrival = arrival_of(headers_of(), body=body_of(**asked, stream=True))
        streamed = asyncio.create_task(other.call(arrival, seen.append))
        await until(lambda: len(seen) == 1)
        owner.wire.hold()
        began_at = asyncio.get_running_loop().time()

        (broken,) = await of_all(streamed)

        assert broken.body.startswith(HELLO)
        assert b"upstream_interrupted" in broken.body
        assert DONE not in broken.body
        assert asyncio.get_running_loop().time() - began_at < HUNG_S
        # What was sent is told, though the worker that sent it is not there to say so.
        assert [attempt.status for attempt in other.records[0].attempts] == [200]
        assert own.sent == 1


async def test_a_worker_that_knows_the_caller_does_without_one_that_does_not() -> None:
    strict = {"anonymous": False, "provider_keys": False}
    async with node(whole(chat_answer()), slowly(whole(chat_answer("two"))), own={0: strict}) as own:
        other = own.workers[1]
        asked = await own.owned_by(0)

        got = await of_all(*(other.ask(**asked) for _ in range(3)))

        assert {each.body for each in got} == {chat_answer()}
        assert own.sent == 1


async def test_answers_lost_two_workers_away_are_lost_too() -> None:
    first = slowly(events(HELLO, 1000.0, STOP, DONE))
    async with node(first, slowly(whole(chat_answer("another"))), count=3, blind=2) as own:
        asked = await own.owned_by(0, 1)
        seen: list[bytes] = []
        arrival = arrival_of(headers_of(), body=body_of(**asked, stream=True))
        streamed = [asyncio.create_task(own.workers[1].call(arrival, seen.append))]
        await until(lambda: own.sent == 1)
        streamed.append(asyncio.create_task(own.workers[2].call(arrival, seen.append)))
        wholes = [asyncio.create_task(own.workers[2].ask(**asked))]
        await until(lambda: len(seen) == 2)

        own.workers[0].wire.cut()
        broken, again = await of_all(*streamed), await of_all(*wholes)

        assert own.sent == 2
        assert len({each.body for each in broken}) == 1
        assert b"upstream_interrupted" in broken[0].body
        assert again[0].body == chat_answer("another")
