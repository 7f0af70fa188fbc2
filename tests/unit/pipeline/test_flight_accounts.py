"""What was sent to providers is in one record, whoever of those that share the answer leaves, and when."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.record import EndReason, Record
from isthmusd.core.reply import Stream
from isthmusd.pipeline.run import run
from isthmusd.upstream.http import HttpUpstream

from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import (
    DONE,
    HELLO,
    OPENAI,
    STOP,
    USAGE,
    Built,
    chat_answer,
    chat_request,
    events,
    read_slowly,
    whole,
)
from tests.unit.pipeline.targets import Answer
from tests.unit.pipeline.test_flights import STREAM, Got, World
from tests.unit.pipeline.world import arrival_of, headers_of, play

ODD = "req-\udcff"
"""A byte that is no Unicode, as it comes out of a header."""
OPENING = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def accounts(world: World) -> list[tuple[EndReason, int]]:
    return [(record.end, len(record.attempts)) for record in world.records]


def test_who_has_no_time_to_read_on_leaves_the_account_to_the_others() -> None:
    world = World(events(HELLO, 3.0, STOP, DONE))

    async def scene() -> list[Any]:
        hasty = world.ask({"x_isthmus_timeout": "1"}, stream=True)
        return await asyncio.gather(hasty, world.ask(stream=True))

    play(scene())

    assert world.sent == 1
    assert accounts(world) == [(EndReason.INTERRUPTED, 0), (EndReason.COMPLETE, 1)]


def test_who_is_alone_and_has_no_time_to_read_on_accounts_for_it() -> None:
    world = World(events(HELLO, 3.0, STOP, DONE))

    play(world.ask({"x_isthmus_timeout": "1"}, stream=True))

    assert accounts(world) == [(EndReason.INTERRUPTED, 1)]


def test_who_leaves_after_the_others_are_done_accounts_for_it() -> None:
    world = World(events(HELLO, STOP, DONE, opening=(1.0,)))

    async def scene() -> None:
        slow = asyncio.create_task(read_slowly(world.gateway, 100.0))
        await asyncio.sleep(0.01)
        quicker = asyncio.create_task(read_slowly(world.gateway, 5.0))
        await asyncio.sleep(12.0)
        assert [len(record.attempts) for record in world.records] == [0], "the quicker one thinks about the last piece"
        slow.cancel()
        await asyncio.wait((slow, quicker))

    play(scene())

    assert sorted(len(record.attempts) for record in world.records) == [0, 1]


def test_who_leaves_alone_has_the_usage_that_was_told_so_far() -> None:
    told = b"data: " + json.dumps({"id": "c", "model": "m", "choices": [], "usage": USAGE}).encode() + b"\n\n"

    def left(mode: str) -> Record:
        world = World(events(HELLO, STOP, told, 1000.0, DONE))

        async def scene() -> None:
            asked = {"stream": True, "stream_options": {"include_usage": True}}
            task = asyncio.create_task(world.ask({"x_isthmus_cache": mode}, **asked))
            await asyncio.sleep(1.0)
            task.cancel()
            await asyncio.wait((task,))

        play(scene())
        (record,) = world.records
        return record

    shared, alone = left("auto"), left("never")

    assert shared.usage is not None
    assert (shared.end, shared.usage, len(shared.attempts)) == (alone.end, alone.usage, len(alone.attempts))


def test_an_answer_that_is_one_callers_own_goes_to_no_other() -> None:
    def answer(text: str) -> Answer:
        said = whole(chat_answer(text), set_cookie="session=1; Path=/")
        said.opening = (1.0,)
        return said

    world = World(answer("one"), answer("two"))

    async def scene() -> list[Got]:
        return await asyncio.gather(world.ask(), world.ask())

    got = play(scene())

    assert world.sent == 2
    assert sorted(str(each.cache) for each in got) == ["MISS", "None"], "the cache has no part in the second one"
    assert got[0].body != got[1].body


def test_an_answer_that_came_to_nothing_for_who_accounts_for_it_is_paid_for_too() -> None:
    """It streams to the first, who leaves it, and is too long to be held for the second, who waits for its whole."""
    told = b"data: " + json.dumps({"id": "c", "model": "m", "choices": [], "usage": USAGE}).encode() + b"\n\n"
    world = World(events(HELLO, 1.0, HELLO, told, STOP, DONE), whole(chat_answer()), cache_entry_bytes=len(HELLO))

    async def scene() -> Got:
        first = asyncio.create_task(world.ask(stream=True))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(world.ask())
        await asyncio.sleep(0.1)
        first.cancel()
        return await second

    play(scene())

    (left, paid) = world.records
    assert world.sent == 2
    assert (len(left.attempts), left.usage) == (0, None)
    assert len(paid.attempts) == 2
    assert paid.usage is not None
    assert paid.usage.total_tokens == 2 * USAGE["total_tokens"]


def test_an_answer_that_is_one_callers_own_goes_to_the_next_when_he_has_left_before_it() -> None:
    said = whole(chat_answer(), set_cookie="session=1; Path=/")
    said.opening = (1.0,)
    world = World(said)

    async def scene() -> Got:
        first = asyncio.create_task(world.ask())
        await asyncio.sleep(0.1)
        second = asyncio.create_task(world.ask())
        await asyncio.sleep(0.1)
        first.cancel()
        return await second

    got = play(scene())

    assert got.body == chat_answer()
    assert world.sent == 1
    assert accounts(world) == [(EndReason.CANCELLED, 0), (EndReason.COMPLETE, 1)]


@pytest.mark.parametrize("turns", range(1, 6))
def test_a_flight_that_ends_before_it_began_keeps_nobody_waiting(turns: int) -> None:
    world = World(whole(chat_answer()), whole(chat_answer()))

    async def scene() -> Any:
        asked = asyncio.create_task(world.ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        await world.gateway.flights.aclose()
        async with asyncio.timeout(5.0):
            return (await asyncio.gather(asked, return_exceptions=True))[0]

    assert not isinstance(play(scene()), TimeoutError)


def test_a_providers_odd_name_of_a_call_spoils_no_answer() -> None:
    for answer, asked in ((whole(chat_answer()), {}), (events(HELLO, STOP, DONE), {"stream": True})):
        answer.headers = {**answer.headers, "x-request-id": [ODD]}
        world = World(answer)

        async def scene(world: World = world, asked: dict[str, Any] = asked) -> list[Got]:
            return [await world.ask(**asked), await world.ask(**asked)]

        assert [each.cache for each in play(scene())] == ["MISS", "HIT"]
        assert [record.end for record in world.records] == [EndReason.COMPLETE, EndReason.COMPLETE]


async def test_a_shared_stream_leaves_its_connection_to_the_next_call() -> None:
    """Its last bytes come a moment after its last event; to go away meanwhile is to throw the connection away."""
    connections, ended = 0, asyncio.Event()

    async def a_moment() -> None:
        # Turns of the loop, not time: a machine that does something else meanwhile must not cut the connection.
        for _ in range(50):
            await asyncio.sleep(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                writer.write(b"%x\r\n%s\r\n" % (len(STREAM), STREAM))
                await a_moment()
                writer.write(b"0\r\n\r\n")
                ended.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, HttpUpstream() as upstream:
        port = server.sockets[0].getsockname()[1]
        host = replace(OPENAI, base_url=f"http://127.0.0.1:{port}/v1")
        built = Built.saying()
        built.providers, built.caching = (host,), CacheParts().caching
        gateway = built.gateway_over(upstream)
        for number in range(10):
            arrival = arrival_of(headers_of(), body=chat_request(temperature=0, stream=True, user=str(number)))
            async with run(gateway, arrival) as reply:
                assert isinstance(reply, Stream)
                assert b"".join([piece async for piece in reply.pieces]).endswith(DONE)
            await ended.wait()
            ended.clear()
            await a_moment()
        await gateway.flights.aclose()

    assert connections == 1
