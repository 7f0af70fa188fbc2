"""A worker that is killed, or stands still, while calls on both workers wait for the answer that it was getting: it
costs one more call to the provider at most, and nobody gets a wrong or a mixed answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.answers import STALL, Answer, chat_body, chat_events, stream, whole
from tests.system.caching import HIT, MISS, asked, fresh_text, status_of
from tests.system.flying import (
    BROKEN,
    DONE,
    JOIN_S,
    Got,
    Seats,
    bodies,
    body_of,
    complete,
    crowd,
    one,
    owner,
    paused,
    read_until,
    received,
    soon,
    stopped,
    wish,
    workers,
)
from tests.system.pair import Pair, running_pair
from tests.system.wire import Exchange, Response, connected

pytestmark = pytest.mark.edge
CROWD = 40
HUNG_S = 3.0
"""How much longer it takes if a worker stands still: about two seconds, and what a busy machine adds."""
FIRST, SECOND = "from the first call", "from the second call"


@pytest.fixture
def pair() -> Iterator[Pair]:
    # One for each test: after it, its workers are not what they were.
    with running_pair(2) as running:
        yield running


def never(*, streams: bool) -> Answer:
    """An answer that begins, as far as the provider is concerned, and never comes."""
    return stream(STALL) if streams else Answer(pieces=(STALL,), framing="raw")


def events(text: str) -> list[bytes]:
    return [each.replace(b"Hel", text.encode()) for each in chat_events("ok")]


def answer(text: str, *, streams: bool, delay_s: float = JOIN_S) -> Answer:
    if streams:
        return stream(*paused(events(text), 0.05), delay_s=delay_s)
    return whole(chat_body("ok", text), delay_s=delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A crowd that waits, and the worker that gets the answer for it."""

    tasks: list[asyncio.Task[Got]]
    owner: int


async def waiting(pair: Pair, text: str, **members: bool) -> Waiting:
    seats = Seats(pair)
    tasks = crowd(pair, *[body_of(text, **members)] * CROWD)
    await received(pair, text)
    await seats.taken(CROWD)
    return Waiting(tasks=tasks, owner=owner(pair))


def served(got: list[Got]) -> tuple[list[Response], list[Got]]:
    """Part those who got an answer from those whose worker was killed."""
    good = [each for each in complete(got) if each.status == 200]
    rest: list[Got] = [BROKEN] * (len(got) - len(complete(got)))
    return good, [*rest, *(each for each in complete(got) if each.status != 200)]


async def back(pair: Pair) -> None:
    """Wait until both workers serve."""
    await soon(lambda: len(workers(pair)) == 2)
    seats = 0
    while seats < 10:
        got = await one(pair, body_of(fresh_text()))
        match got:
            case Response(status=200):
                seats += 1
            case _:
                seats = 0
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_killed_worker_costs_one_more_call(pair: Pair, streams: bool) -> None:
    text = fresh_text()
    pair.provider.reply_with(never(streams=streams), answer(SECOND, streams=streams))
    crowd = await waiting(pair, text, stream=streams)

    os.kill(crowd.owner, signal.SIGKILL)
    good, failed = served(await asyncio.gather(*crowd.tasks))

    assert asked(pair.provider, text) <= 2
    assert len(good) > CROWD / 10
    assert len(failed) > CROWD / 10
    assert len(bodies(good)) == 1
    assert SECOND.encode() in good[0].body
    assert not streams or good[0].body.endswith(DONE)

    await back(pair)
    again = [await one(pair, body_of(text, stream=streams)) for _ in range(6)]
    assert [status_of(each) for each in complete(again, 6)] == [HIT] * 6
    assert bodies(complete(again)) == bodies(good)
    assert asked(pair.provider, text) <= 2


async def watch(pair: Pair, text: str, began: list[int]) -> bytes:
    """Read a stream to its end, however it ends; tells when it has begun."""
    async with connected(pair.url) as exchange:
        await exchange.send(wish(pair, body_of(text, stream=True)))
        await read_until(exchange, b"\n\n")
        began.append(exchange.status)
        return await _rest(exchange)


async def _rest(exchange: Exchange) -> bytes:
    data = b""
    try:
        while piece := await exchange.piece():
            data += piece
    except (OSError, EOFError, ValueError):
        return data + b"<broken>"
    return data


async def test_a_killed_worker_ends_the_streams_that_had_begun(pair: Pair) -> None:
    text, began, seats = fresh_text(), list[int](), Seats(pair)
    first = stream(*paused(events(FIRST)[:3], 0.1), STALL, delay_s=JOIN_S)
    pair.provider.reply_with(first, answer(SECOND, streams=False))
    streams = [asyncio.create_task(watch(pair, text, began)) for _ in range(CROWD)]
    await received(pair, text)
    wholes = crowd(pair, *[body_of(text)] * CROWD)
    await seats.taken(2 * CROWD)
    await soon(lambda: len(began) == CROWD)
    await asyncio.sleep(0.5)

    os.kill(owner(pair), signal.SIGKILL)
    ended = await asyncio.gather(*streams)
    good, failed = served(await asyncio.gather(*wholes))

    assert asked(pair.provider, text) <= 2
    assert len(good) > CROWD / 10
    assert len(failed) > CROWD / 10
    assert len(bodies(good)) == 1
    assert good[0].json()["choices"][0]["message"]["content"] == SECOND
    told = [each for each in ended if b'"error"' in each]
    assert len(told) > CROWD / 10
    assert not any(DONE in each or SECOND.encode() in each for each in ended)
    assert all(b'"error"' in each or each.endswith(b"<broken>") for each in ended), ended


async def test_a_worker_that_stands_still_costs_two_seconds(pair: Pair) -> None:
    text = fresh_text()
    pair.provider.reply_with(never(streams=False), answer(SECOND, streams=False, delay_s=0.1))
    crowd = await waiting(pair, text)

    with stopped(crowd.owner):
        began_at = time.monotonic()
        # Callers of the worker that stands still wait with it.
        await soon(lambda: sum(task.done() for task in crowd.tasks) > CROWD / 10)
        took_s = time.monotonic() - began_at
        await asyncio.sleep(0.5)
        good = complete([task.result() for task in crowd.tasks if task.done()])

    assert asked(pair.provider, text) == 2
    assert took_s < HUNG_S
    assert {(each.status, each.json()["choices"][0]["message"]["content"]) for each in good} == {(200, SECOND)}
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def test_a_worker_that_stands_still_for_a_moment_costs_nothing(pair: Pair) -> None:
    text = fresh_text()
    pair.provider.reply_with(answer(FIRST, streams=True, delay_s=2 * JOIN_S))
    crowd = await waiting(pair, text, stream=True)

    with stopped(crowd.owner):
        await asyncio.sleep(0.8)
    got = complete(await asyncio.gather(*crowd.tasks), CROWD)

    assert asked(pair.provider, text) == 1
    assert len(bodies(got)) == 1
    assert got[0].body.endswith(DONE)


async def test_while_a_worker_stands_still_new_calls_are_served(pair: Pair) -> None:
    await asyncio.gather(*(one(pair, body_of(fresh_text())) for _ in range(20)))
    hung, _ = workers(pair)
    with stopped(hung):
        tasks = crowd(pair, *(body_of(fresh_text()) for _ in range(CROWD)))
        began_at = time.monotonic()
        await soon(lambda: sum(task.done() for task in tasks) >= CROWD / 4)
        took_s = time.monotonic() - began_at
        got = complete([task.result() for task in tasks if task.done()])

    assert took_s < HUNG_S
    assert {status_of(each) for each in got} == {MISS}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
