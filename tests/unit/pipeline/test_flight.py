"""Readers of different paces on one answer that is longer than may be held: who is waited for, how long, and what is
let go of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from isthmusd.core.errors import Interrupted
from isthmusd.core.flight_parts import HeadPart
from isthmusd.core.request import Outbound
from isthmusd.pipeline.flight import LEAST_HELD, PATIENCE_S, Flight, Hold, Seat

from tests.unit.core.entries import HEAD
from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import DONE, HELLO, STOP, Built, events, read_slowly
from tests.unit.pipeline.targets import Answer, ScriptedUpstream
from tests.unit.pipeline.world import play

MOST = 10
COUNT = 100


async def produce(flight: Flight, every_s: float = 0.0) -> float:
    """Give an answer of so many bytes; tells how long it took."""
    began_at = asyncio.get_running_loop().time()
    for number in range(COUNT):
        flight.add(bytes([number]))
        await asyncio.sleep(every_s)
        await flight.room()
    flight.land()
    return asyncio.get_running_loop().time() - began_at


async def read(seat: Seat, pause_s: float = 0.0, first_s: float = 0.0) -> bytes:
    """Read to the end, with a pause after each piece."""
    await asyncio.sleep(first_s)
    data = b""
    while not seat.at_end:
        data += await seat.more(None) or b""
        await asyncio.sleep(pause_s)
    return data


def flight_of() -> Flight:
    return Flight(MOST, lambda: None, Hold(COUNT))


ALL = bytes(range(COUNT))


@pytest.mark.parametrize("first_s", [0.0, 0.5 * PATIENCE_S])
def test_a_reader_who_catches_up_is_waited_for(first_s: float) -> None:
    async def scene() -> list[bytes]:
        flight = flight_of()
        readers = [read(flight.sit()), read(flight.sit(), first_s=first_s)]
        _, data = await asyncio.gather(produce(flight), asyncio.gather(*readers))
        return data

    assert play(scene()) == [ALL, ALL]


@pytest.mark.parametrize("pause_s", [0.1, 0.5, 1e6], ids=["slow", "slower", "stuck"])
def test_a_reader_who_does_not_is_left_behind(pause_s: float) -> None:
    async def scene() -> tuple[float, bytes]:
        flight = flight_of()
        fast, slow = flight.sit(), asyncio.create_task(read(flight.sit(), pause_s=pause_s))
        took_s, data = await asyncio.gather(produce(flight), read(fast))
        with pytest.raises(Interrupted):
            await slow
        return took_s, data

    took_s, data = play(scene())

    assert data == ALL
    assert took_s < 2 * PATIENCE_S


@pytest.mark.parametrize("pauses_s", [(1.0,), (2.0,), (3.0,), (1.0, 1.0)])
def test_who_keeps_nobody_waiting_is_not_left_behind(pauses_s: tuple[float, ...]) -> None:
    async def scene() -> list[bytes]:
        flight = flight_of()
        readers = [read(flight.sit(), pause_s=pause_s) for pause_s in pauses_s]
        _, data = await asyncio.gather(produce(flight), asyncio.gather(*readers))
        return data

    assert play(scene()) == [ALL] * len(pauses_s)


def test_only_the_time_in_which_somebody_waits_is_a_readers_fault() -> None:
    async def scene() -> tuple[float, float]:
        flight, loop = flight_of(), asyncio.get_running_loop()
        producing = asyncio.create_task(produce(flight))
        quicker = asyncio.create_task(read(flight.sit(), pause_s=0.9))
        began_at = loop.time()
        with pytest.raises(Interrupted):
            await read(flight.sit(), pause_s=1.2)
        took_s = loop.time() - began_at
        await asyncio.gather(producing, quicker)
        return took_s, MOST * 0.9

    took_s, before_anybody_waits_s = play(scene())

    assert took_s > before_anybody_waits_s + PATIENCE_S


def test_a_slow_reader_alone_bounds_what_is_held() -> None:
    async def scene() -> tuple[list[int], bytes]:
        flight, held = flight_of(), list[int]()
        seat = flight.sit()

        async def watch() -> None:
            while not flight.over:
                held.append(len(flight.pieces))
                await asyncio.sleep(0.01)

        _, _, data = await asyncio.gather(produce(flight), watch(), read(seat, pause_s=5.0))
        return held, data

    held, data = play(scene())

    assert data == ALL
    assert max(held) == MOST + 1


def test_nobody_holds_up_an_answer_that_is_no_longer_than_an_entry() -> None:
    async def scene() -> float:
        flight = Flight(COUNT, lambda: None, Hold(COUNT))
        flight.sit()
        return await produce(flight)

    assert play(scene()) == 0.0


class SlowToClose(ScriptedUpstream):
    """Whoever lets go of an answer waits for it."""

    @asynccontextmanager
    async def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AsyncGenerator[Answer]:
        async with super().send(outbound, upload, decode) as answer:
            try:
                yield answer
            finally:
                await asyncio.sleep(1.0)


def test_what_was_sent_is_accounted_for_once_however_slowly_the_connection_closes() -> None:
    built = Built(upstream=SlowToClose.saying(events(HELLO, STOP, DONE, opening=(1.0,))))
    built.caching = CacheParts().caching
    gateway = built.gateway

    async def scene() -> None:
        await asyncio.gather(read_slowly(gateway, 0.0), read_slowly(gateway, 5.0))

    play(scene())

    assert sorted(len(record.attempts) for record in built.journal.records) == [0, 1]


def test_flights_that_nobody_reads_hold_no_more_together_than_there_is_room_for() -> None:
    piece, entry, most = bytes(LEAST_HELD // 2), 100 * LEAST_HELD, 20 * LEAST_HELD

    async def fill(flight: Flight) -> None:
        for _ in range(100):
            flight.add(piece)
            await flight.room()
        flight.land()

    async def scene() -> None:
        hold = Hold(most)
        flights = [Flight(entry, lambda: None, hold) for _ in range(10)]
        seats = [flight.sit() for flight in flights]
        tasks = [asyncio.create_task(fill(flight)) for flight in flights]
        await asyncio.sleep(10.0)

        assert hold.held <= most + len(flights) * 2 * LEAST_HELD
        assert not any(flight.over for flight in flights)

        got = await asyncio.gather(*(read(seat) for seat in seats))
        await asyncio.gather(*tasks)
        assert {len(data) for data in got} == {100 * len(piece)}
        assert all(flight.landed for flight in flights)
        for seat in seats:
            await seat.leave()
            await seat.leave()
        assert hold.held == 0

    play(scene())


def test_what_was_read_quickly_at_first_makes_room_too() -> None:
    """A flight that was longer than an entry while there was room holds no entry when there is none any more."""
    piece, entry, count = bytes(LEAST_HELD), 20, 30

    async def fill(flight: Flight) -> None:
        for _ in range(3 * entry):
            flight.add(piece)
            await flight.room()

    async def scene() -> int:
        hold = Hold(count * entry * LEAST_HELD // 3)
        flights = [Flight(entry * LEAST_HELD, lambda: None, hold) for _ in range(count)]
        tasks: list[asyncio.Task[None]] = []
        for flight in flights:
            flight.begin(HeadPart(head=HEAD, fresh=True, joined=False))
            seat = flight.sit()
            tasks.append(asyncio.create_task(fill(flight)))
            for _ in range(entry + 2):
                await seat.more(None)
        await asyncio.sleep(30.0)
        for task in tasks:
            task.cancel()
        return hold.held

    assert play(scene()) <= (count * entry // 3 + 3 * count) * LEAST_HELD


def test_a_flight_that_is_given_up_makes_room_for_others_at_once() -> None:
    """Also where whoever leaves it is cancelled while it ends, and it goes on for a while."""

    async def scene() -> list[int]:
        hold = Hold(COUNT)
        flight = Flight(COUNT, lambda: None, hold)
        seat = flight.sit()

        async def stubborn() -> None:
            with suppress(asyncio.CancelledError):
                await produce(flight, every_s=1.0)
            await produce(flight, every_s=0.1)

        flight.task = asyncio.create_task(stubborn())
        await asyncio.sleep(3.5)
        held = [hold.held]
        leaving = asyncio.create_task(seat.leave())
        await asyncio.sleep(1.0)
        leaving.cancel()
        await asyncio.wait((leaving, flight.task))
        await seat.leave()
        return [*held, hold.held]

    assert play(scene()) == [4, 0]


def test_what_a_piece_costs_grows_no_faster_than_its_readers() -> None:
    async def scene() -> float:
        flight = flight_of()
        readers = [asyncio.create_task(read(flight.sit())) for _ in range(1500)]
        began_at = time.process_time()
        await produce(flight)
        assert set(await asyncio.gather(*readers)) == {ALL}
        return time.process_time() - began_at

    assert play(scene()) < 5.0
