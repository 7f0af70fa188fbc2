"""Readers of different paces on one answer that is longer than may be held: who is waited for, how long, and what is
let go of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from isthmusd.core.errors import Interrupted
from isthmusd.core.reply import Stream
from isthmusd.core.request import Outbound
from isthmusd.pipeline.flight import PATIENCE_S, Flight, Seat
from isthmusd.pipeline.run import run

from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import DONE, HELLO, STOP, Built, chat_request, events
from tests.unit.pipeline.targets import Answer, ScriptedUpstream
from tests.unit.pipeline.world import arrival_of, headers_of, play

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
    return Flight(MOST, lambda: None)


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
        flight = Flight(COUNT, lambda: None)
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

    async def call(pause_s: float) -> None:
        arrival = arrival_of(headers_of(), body=chat_request(temperature=0, stream=True))
        async with run(gateway, arrival) as reply:
            match reply:
                case Stream(pieces=pieces):
                    async for _ in pieces:
                        await asyncio.sleep(pause_s)
                case _:
                    raise AssertionError("a stream was asked for")

    async def scene() -> None:
        await asyncio.gather(call(0.0), call(5.0))

    play(scene())

    assert sorted(len(record.attempts) for record in built.journal.records) == [0, 1]
