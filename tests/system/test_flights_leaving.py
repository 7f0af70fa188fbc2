"""Callers who leave while others wait for the same answer, who read slowly, or whose answer is longer than the cache
holds: the others do not notice, and with the last one the call to the provider ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import grpc.aio
import pytest
from isthmus.v1 import chat_pb2_grpc

from tests.fakes.answers import STALL, Answer, chat_events, sse, stream
from tests.system.caching import MISS, asked, fresh_text, status_of
from tests.system.flying import (
    DONE,
    Seats,
    answers,
    bodies,
    body_of,
    crowd,
    memory_of,
    only,
    paused,
    read_until,
    received,
    slow_stream,
    slow_whole,
    soon,
    wish,
    within,
    workers,
)
from tests.system.pair import Pair, running_pair
from tests.system.typed import chat_request
from tests.system.wire import Exchange, Response, connected

pytestmark = pytest.mark.edge
CROWD = 20
LEAVERS = 30
CLOSES_S = 1.0
EVENTS = chat_events("ok", include_usage=True)
PHASES = {
    "before headers": None,
    "after the first event": b'"content":""',
    "in the middle": b'"content":"lo, "',
    "before the end": b'"finish_reason":"stop"',
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair(2) as running:
        yield running


@pytest.mark.parametrize("mark", PHASES.values(), ids=PHASES.keys())
async def test_when_the_first_one_leaves_the_others_go_on(pair: Pair, mark: bytes | None) -> None:
    text, seats = fresh_text(), Seats(pair)
    content = body_of(text, stream=True)
    pair.provider.reply_with(slow_stream(pause_s=0.4))
    async with connected(pair.url) as leader:
        await leader.send(wish(pair, content))
        upstream = await received(pair, text)
        others = crowd(pair, *[content] * CROWD, *[body_of(text)] * CROWD)
        await seats.taken(1 + 2 * CROWD)

        await read_until(leader, mark)
        leader.leave()
        got = await answers(others)

    assert asked(pair.provider, text) == 1
    assert not upstream.aborted.is_set()
    assert len(bodies(got[:CROWD])) == 1
    assert len(bodies(got[CROWD:])) == 1
    assert got[0].body.endswith(DONE)
    assert got[0].body.count(b"data: ") == len(EVENTS) - 1
    assert {each.status for each in got} == {200}


async def leave_at(pair: Pair, place: int | None) -> tuple[int, list[Response]]:
    """Let the first one leave at this byte of the answer, or none; tells how many there were, and what others got."""
    text = fresh_text()
    where = urlsplit(pair.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(wish(pair, body_of(text, stream=True)))
        await received(pair, text)
        others = crowd(pair, *[body_of(text, stream=True)] * 3, body_of(text))
        data = await (reader.readuntil(DONE + b"\r\n") if place is None else reader.readexactly(place))
        writer.transport.abort()
        got = await answers(others)
    finally:
        writer.transport.abort()
    assert asked(pair.provider, text) == 1
    return len(data), got


async def test_the_first_one_may_leave_at_any_byte(pair: Pair) -> None:
    pair.provider.reply_with(*[slow_stream(delay_s=1.0, pause_s=0.1)] * (LEAVERS + 1))
    total, expected = await leave_at(pair, None)

    # The first byte comes when the others wait, too.
    left = await asyncio.gather(*(leave_at(pair, 1 + total * number // LEAVERS) for number in range(LEAVERS)))

    *streams, whole = expected
    assert bodies(streams) == {streams[0].body}
    assert streams[0].body.endswith(DONE)
    for _, got in left:
        assert [each.body for each in got] == [streams[0].body] * 3 + [whole.body]


async def test_when_the_first_one_of_whole_callers_leaves_the_others_go_on(pair: Pair) -> None:
    text, seats = fresh_text(), Seats(pair)
    pair.provider.reply_with(slow_whole())
    async with connected(pair.url) as leader:
        await leader.send(wish(pair, body_of(text)))
        await received(pair, text)
        others = crowd(pair, *[body_of(text)] * CROWD)
        await seats.taken(1 + CROWD)

        leader.leave()
        got = await answers(others)

    assert asked(pair.provider, text) == 1
    assert len(bodies(got)) == 1
    assert {each.status for each in got} == {200}


ALL_LEAVE = {
    "before headers": (Answer(pieces=(STALL,), framing="raw"), None),
    "in the middle": (stream(*paused(EVENTS[:3], 0.2), STALL, delay_s=1.0), b'"content":"Hel"'),
}


@pytest.mark.parametrize(("answer", "mark"), ALL_LEAVE.values(), ids=ALL_LEAVE.keys())
async def test_when_all_leave_the_call_to_the_provider_ends(pair: Pair, answer: Answer, mark: bytes | None) -> None:
    text, seats = fresh_text(), Seats(pair)
    content = body_of(text, stream=True)
    pair.provider.reply_with(answer)
    async with AsyncExitStack() as stack:
        callers: list[Exchange] = []
        for _ in range(10):
            callers.append(await stack.enter_async_context(connected(pair.url)))
            await callers[-1].send(wish(pair, content))
        upstream = await received(pair, text)
        await seats.taken(10)
        for caller in callers:
            await read_until(caller, mark)
        for caller in callers:
            assert not upstream.aborted.is_set()
            caller.leave()
        left_at = time.monotonic()

        await soon(upstream.aborted.is_set)
    after = await only(pair, content)

    assert upstream.aborted_at is not None
    assert upstream.aborted_at - left_at < CLOSES_S
    assert status_of(after) == MISS
    assert after.body.endswith(DONE)
    assert asked(pair.provider, text) == 2


async def test_when_typed_callers_leave_the_others_go_on(pair: Pair) -> None:
    text, seats = fresh_text(), Seats(pair)
    pair.provider.reply_with(slow_stream(pause_s=0.3))
    request = chat_request(text=text)
    request.temperature = 0
    async with grpc.aio.insecure_channel(pair.gateway.grpc_target) as channel:
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        leaving = [stub.StreamChatCompletion(request, timeout=30) for _ in range(6)]
        staying = [stub.StreamChatCompletion(request, timeout=30) for _ in range(6)]
        await seats.taken(12)
        for call in leaving:
            await call.read()
            call.cancel()

        got = [[piece.SerializeToString() async for piece in call] for call in staying]

    assert asked(pair.provider, text) == 1
    assert all(each == got[0] for each in got)
    assert "wörld".encode() in b"".join(got[0])


async def test_who_reads_slowly_stops_nobody(pair: Pair) -> None:
    text, seats = fresh_text(), Seats(pair)
    content = body_of(text, stream=True)
    pieces = long_stream(4)
    pair.provider.reply_with(stream(*pieces, delay_s=1.0))
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(pair.url)) for _ in range(4)]
        for caller in slow:
            await caller.send(wish(pair, content))
        others = crowd(pair, *[content] * 4)
        await seats.taken(8)

        got = await within(10, answers(others))
        late: list[bytes] = []
        for caller in slow:
            await caller.head()
            late.append(await caller.rest())

    assert asked(pair.provider, text) == 1
    assert bodies(got) == {b"".join(pieces)}
    assert set(late) == bodies(got)


def long_stream(megabytes: int) -> list[bytes]:
    """A stream of so many megabytes."""
    events = chat_events("ok")
    filler = sse(
        {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "ok",
            "choices": [{"index": 0, "delta": {"content": "x" * 16_000}, "finish_reason": None}],
        }
    )
    return [*events[:2], *[filler] * (megabytes * 1_048_576 // len(filler)), *events[-2:]]


LONG_MB = 20


async def test_an_answer_longer_than_an_entry_reaches_all_and_is_not_kept(pair: Pair) -> None:
    text, seats = fresh_text(), Seats(pair)
    content = body_of(text, stream=True)
    pieces = long_stream(LONG_MB)
    before = {pid: memory_of(pid) for pid in workers(pair)}
    for _ in range(3):
        pair.provider.reply_with(stream(*pieces, delay_s=1.0))

        others = crowd(pair, *[content] * 3)
        await seats.taken(3)
        got = await answers(others)

        assert bodies(got) == {b"".join(pieces)}
    after = await only(pair, content)

    assert asked(pair.provider, text) == 4
    assert status_of(after) == MISS
    grown = {pid: memory_of(pid) - before[pid] for pid in workers(pair)}
    assert max(grown.values()) < 3 * LONG_MB * 1_048_576, grown


async def test_who_stops_reading_a_long_answer_stops_nobody(pair: Pair) -> None:
    text, seats = fresh_text(), Seats(pair)
    content = body_of(text, stream=True)
    pieces = long_stream(LONG_MB)
    pair.provider.reply_with(stream(*pieces, delay_s=1.0))
    async with AsyncExitStack() as stack:
        stuck = [await stack.enter_async_context(connected(pair.url)) for _ in range(3)]
        for caller in stuck:
            await caller.send(wish(pair, content))
        others = crowd(pair, *[content] * 3)
        await seats.taken(6)

        got = await within(20, answers(others))
        late: list[bytes] = []
        for caller in stuck:
            await caller.head()
            late.append(await caller.rest())

    assert asked(pair.provider, text) == 1
    assert bodies(got) == {b"".join(pieces)}
    for each in late:
        assert each in bodies(got) or b'"error"' in each[-1000:]
        assert each.endswith(DONE) is (each in bodies(got))
