"""The benchmark of the cache: what its ways ask, what counts as a hit, that other lanes meet no cache, and verdicts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from isthmus.v1 import chat_pb2, chat_pb2_grpc, chat_stream_pb2, stream_pb2
from isthmusd.core.caching import policy_for
from isthmusd.core.call import DEFAULT_CACHE
from isthmusd.core.request import Operation
from isthmusd.dialects.openai.peek import peek

from bench import grpc_load, load
from bench.caching import judge, table
from bench.caching_lanes import HIT_MANY, HIT_ONE, MISS, PASS, PLACES, Figure, Way
from bench.canned import CHUNKS_PER_STREAM, HASTY_MODEL, REPLY, request
from bench.lanes import Lane, LoadFailed, only_from_providers
from bench.mock import Connection
from bench.plan import Ask, Endpoint, Load, Spread, Tally
from bench.report import verdict_lines
from bench.wire import MessageReader

WAYS = {way.name: way for place in PLACES for way in place.ways}
HIT_HEAD = b"HTTP/1.1 200 OK\r\nX-Isthmus-Cache: HIT\r\ncontent-length: %d\r\n\r\n"


def lane(cpu_us: float, *, errors: int = 0, hits: int = 0) -> Lane:
    tally = Tally(requests=10, errors=errors, hits=hits, seconds=1, latency=Spread(p50=1, p99=2))
    return Lane(tally=tally, cpu_us=cpu_us, busy=0.5, mock_cpu_us=5, slices_cpu_us=[cpu_us])


def figure(
    way: str, ratio: float, *, cpu_us: float = 500, strays: int = 0, errors: int = 0, place: str = "memory"
) -> Figure:
    return Figure(
        place=place,
        way=way,
        lane=lane(cpu_us, errors=errors),
        is_hit=True,
        strays=strays,
        answered=100,
        ratio=ratio,
        server_cpu_us=None,
    )


class Kept(asyncio.Protocol):
    """Answers as a cache does, and notes what it was asked."""

    asked: list[bytes]

    def __init__(self, asked: list[bytes]) -> None:
        self.asked = asked
        self._reader = MessageReader()
        self._body = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._body += self._reader.feed(data)
        if self._reader.complete:
            self.asked.append(self._body)
            self._body = b""
            self._transport.write(HIT_HEAD % len(REPLY) + REPLY)


class KeptChats(chat_pb2_grpc.ChatServiceServicer):
    async def CreateChatCompletion(self, request: Any, context: Any) -> Any:
        await context.send_initial_metadata((("x-isthmus-cache", "HIT"),))
        return chat_pb2.ChatResponse()

    async def StreamChatCompletion(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await context.send_initial_metadata((("x-isthmus-cache", "MISS"),))
        for _ in range(CHUNKS_PER_STREAM):
            delta = chat_stream_pb2.ChatEvent(text_delta=stream_pb2.TextDelta(text=f"@{7:019d}"))
            yield chat_stream_pb2.ChatChunk(events=[delta])


@asynccontextmanager
async def listening(protocol: Any) -> AsyncIterator[Endpoint]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield Endpoint(host="127.0.0.1", port=server.sockets[0].getsockname()[1], path="/chat/completions", model="m")


@pytest.mark.parametrize("stream", [False, True])
def test_the_request_of_all_other_lanes_has_no_part_in_the_cache(stream: bool) -> None:
    peeked = peek(request("m", stream=stream), Operation.CHAT)

    assert policy_for(Operation.CHAT, peeked, DEFAULT_CACHE) is None
    assert Load(shape="closed", endpoints=[]).ask == Ask()
    assert Ask().temperature == 0.7


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_way_meets_the_cache_unless_it_passes_through(way: Way) -> None:
    body = request("m", stream=way.ask.stream, temperature=way.ask.temperature)

    policy = policy_for(Operation.CHAT, peek(body, Operation.CHAT), DEFAULT_CACHE)

    assert (policy is None) == ("pass-through" in way.name)
    assert way.is_hit == ("hit" in way.name)
    assert way.over is None or "pass-through" in WAYS[way.over].name


async def test_load_counts_hits_and_asks_prompts_in_turn_over_all_connections() -> None:
    asked: list[bytes] = []

    async with listening(lambda: Kept(asked)) as endpoint:
        ask = Ask(temperature=0, prompts=3)
        (tally,) = await load.run(Load(shape="closed", endpoints=[endpoint], connections=2, seconds=0.1, ask=ask))

    assert tally.hits == tally.requests == len(asked) > 3
    assert len(set(asked)) == 3
    assert asked[:3] == asked[3:6]


async def test_prompts_without_end_never_come_twice() -> None:
    asked: list[bytes] = []

    async with listening(lambda: Kept(asked)) as endpoint:
        work = Load(shape="closed", endpoints=[endpoint], connections=2, seconds=0.05, ask=Ask(prompts=0))
        await load.run(work)
        await load.run(work)

    assert len(asked) == len(set(asked)) > 3
    assert len({len(body) for body in asked}) == 1


async def test_hasty_streams_have_all_chunks_without_pauses_and_are_no_hits() -> None:
    async with listening(Connection) as endpoint:
        hasty = Endpoint(host=endpoint.host, port=endpoint.port, path=endpoint.path, model=HASTY_MODEL)
        work = Load(shape="closed", endpoints=[hasty], connections=2, seconds=0.2, ask=Ask(stream=True))
        (tally,) = await load.run(work)

    # With pauses a stream lasts two seconds.
    assert tally.requests > 2
    assert (tally.errors, tally.hits, tally.chunks) == (0, 0, tally.requests * CHUNKS_PER_STREAM)
    assert tally.seconds < 1.5


@pytest.mark.parametrize("stream", [False, True])
async def test_load_over_grpc_counts_hits_by_their_metadata(stream: bool) -> None:
    server = grpc.aio.server()
    chat_pb2_grpc.add_ChatServiceServicer_to_server(KeptChats(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        endpoint = Endpoint(host="127.0.0.1", port=port, path="", model="m")
        ask = Ask(stream=stream, temperature=0, prompts=2)
        work = Load(shape="closed", endpoints=[endpoint], connections=2, seconds=0.1, ask=ask)
        (tally,) = await grpc_load.run(work)
    finally:
        await server.stop(None)

    assert tally.requests > 0
    assert (tally.errors, tally.hits) == (0, 0 if stream else tally.requests)


def test_a_lane_of_the_other_benchmark_breaks_off_when_a_cache_answers() -> None:
    only_from_providers([lane(1), lane(2)])

    with pytest.raises(LoadFailed, match="from a cache"):
        only_from_providers([lane(1), lane(2, hits=1)])


def test_verdicts_are_of_hits_in_memory() -> None:
    figures = [
        figure(PASS, 1, cpu_us=1000),
        figure(MISS, 2, cpu_us=2000),
        figure(HIT_ONE, 0.75, cpu_us=750),
        figure(HIT_MANY, 0.76, cpu_us=760, strays=2),
        figure(HIT_MANY, 0.2, cpu_us=200, place="sqlite", errors=1),
    ]

    said = verdict_lines(judge(figures)).splitlines()

    assert said == [
        "PASS  hit, one prompt, in memory: CPU over that of miss, kept: 0.375 (at most 0.75)",
        "PASS  hit, one prompt, in memory: CPU over that of pass-through: 0.75 (at most 0.75)",
        "PASS  hit, 1000 prompts, in memory: CPU over that of miss, kept: 0.38 (at most 0.75)",
        "MISS  hit, 1000 prompts, in memory: CPU over that of pass-through: 0.76 (at most 0.75)",
        "PASS  answers from elsewhere than their lane says, share: 0.004 (at most 0.01)",
        "MISS  failed calls: 1 (at most 0)",
    ]


def test_nothing_measured_keeps_nothing() -> None:
    assert {verdict.kept for verdict in judge([])} == {None}


def test_table_has_a_line_for_each_way() -> None:
    header, *rows, _ = table([figure(HIT_ONE, 0.5), figure(HIT_MANY, 0.6, strays=3)]).splitlines()

    assert header.split()[:4] == ["kept", "in", "way", "CPU"]
    assert [row.split()[-2:] for row in rows] == [["0", "0"], ["3", "0"]]
