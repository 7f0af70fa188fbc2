"""Which worker an answer belongs to, and how those that are gone are left alone. What workers tell each other is
tests/unit/rpc/test_flights.py's.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import pytest
from isthmus.v1 import flights_pb2
from isthmus.v1.flights_pb2 import JoinRequest, JoinResponse
from isthmusd.core.entry import Form, Head
from isthmusd.core.flight_parts import FlightPart, HeadPart, Landing, PeerAsking, PeerLost, Piece, written
from isthmusd.core.reply import Provenance
from isthmusd.core.request import Operation, Surface
from isthmusd.upstream.peers import ALIVE_S, LONGEST_REST_S, RESTS_S, WorkerPeers

from tests.unit.pipeline.world import FakeClock

NAMES = [number.to_bytes(32, "big") for number in range(4000)]
ADDRESSES = ("unix:/nowhere/p0", "unix:/nowhere/p1", "unix:/nowhere/p2", "unix:/nowhere/p3")
ASKING = PeerAsking(
    operation=Operation.CHAT,
    surface=Surface.OPENAI,
    dialect="openai",
    method="POST",
    path="/v1/chat/completions",
    headers={"x-a": ["1", "2"]},
    body=b"{}",
    stream=False,
    authority=None,
    started_at=1.0,
    name=b"n" * 32,
    id=b"i" * 16,
)
LANDED = JoinResponse(landing=written(Landing(usage=None, attempts=())))
HEAD = HeadPart(
    head=Head(
        form=Form(stream=True),
        status=200,
        headers=(("a", "b"),),
        provenance=Provenance(),
        stored_at=1.0,
        ttl_s=0,
    ),
    fresh=True,
    joined=False,
)


def first(peers: WorkerPeers, own: int, name: bytes) -> int:
    """The place of the worker that an answer belongs to, as one of them sees it."""
    owner = peers.owners(name)[0]
    return own if owner is None else ADDRESSES.index(owner)


def test_all_workers_come_to_the_same_order() -> None:
    outside = WorkerPeers(ADDRESSES, -1, FakeClock())
    for own, address in enumerate(ADDRESSES):
        inside = WorkerPeers(ADDRESSES, own, FakeClock())
        for name in NAMES[:500]:
            order = [*outside.owners(name)]

            assert [*inside.owners(name)] == [*order[: order.index(address)], None]


def test_answers_are_spread_evenly() -> None:
    count = Counter(first(WorkerPeers(ADDRESSES, -1, FakeClock()), -1, name) for name in NAMES)

    assert sum(count.values()) == len(NAMES)
    assert all(abs(each - len(NAMES) / 4) < len(NAMES) / 40 for each in count.values()), count


def test_a_worker_alone_owns_everything() -> None:
    assert [*WorkerPeers((), 0, FakeClock()).owners(NAMES[0])] == [None]


class Scripted:
    """A peer that says what it is told to."""

    def __init__(self, *said: JoinResponse, code: grpc.StatusCode = grpc.StatusCode.OK, silent: bool = False) -> None:
        self.said, self.code, self.silent = said, code, silent
        self.asked: list[JoinRequest] = []
        self.left = asyncio.Event()

    async def join(self, request: JoinRequest, context: Any) -> AsyncIterator[JoinResponse]:
        self.asked.append(request)
        try:
            if self.silent:
                await asyncio.Event().wait()
            await context.send_initial_metadata(())
            for each in self.said:
                yield each
            if self.code is grpc.StatusCode.OK and not self.said:
                await asyncio.Event().wait()
            if self.code is not grpc.StatusCode.OK:
                await context.abort(self.code, "no")
        finally:
            self.left.set()


@asynccontextmanager
async def scripted(peer: Scripted) -> AsyncGenerator[str]:
    """Serve a scripted peer, and give its address."""
    handler = grpc.unary_stream_rpc_method_handler(
        peer.join, request_deserializer=JoinRequest.FromString, response_serializer=JoinResponse.SerializeToString
    )
    service = flights_pb2.DESCRIPTOR.services_by_name["FlightsService"].full_name
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Join": handler}),))
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        address = f"unix:{folder}/p0"
        server.add_insecure_port(address)
        await server.start()
        try:
            yield address
        finally:
            await server.stop(None)


async def heard(peers: WorkerPeers, address: str) -> list[FlightPart]:
    """Ask a peer, and listen to the end."""
    parts: list[FlightPart] = []
    async with asyncio.timeout(ALIVE_S + 5), peers.join(address, ASKING) as said:
        async for part in said:
            parts.append(part)
            match part:
                case Landing():
                    break
                case _:
                    pass
    return parts


async def test_parts_arrive_in_order() -> None:
    head = JoinResponse(head=written(HEAD))
    peer = Scripted(head, JoinResponse(piece=b"a"), JoinResponse(keep_alive=b""), JoinResponse(piece=b""), LANDED)
    async with scripted(peer) as address, WorkerPeers((address,), -1, FakeClock()) as peers:
        parts = await heard(peers, address)

    assert parts[0] == HEAD
    assert parts[1:4] == [Piece(data=b"a"), Piece(data=b"", passing=True), Piece(data=b"")]
    assert parts[4] == Landing(usage=None, attempts=())
    assert peer.asked == [JoinRequest(call=written(ASKING))]


async def test_leaving_lets_go_of_the_peer() -> None:
    peer = Scripted()
    async with scripted(peer) as address, WorkerPeers((address,), -1, FakeClock()) as peers:
        async with peers.join(address, ASKING):
            assert not peer.left.is_set()

        async with asyncio.timeout(5):
            await peer.left.wait()


def gone(peers: WorkerPeers, address: str) -> bool:
    """Whether a peer is left alone."""
    return address not in peers.owners(NAMES[0])


@pytest.mark.parametrize(
    ("peer", "rests"),
    [
        (Scripted(code=grpc.StatusCode.UNAVAILABLE), True),
        (Scripted(code=grpc.StatusCode.FAILED_PRECONDITION), False),
        (Scripted(code=grpc.StatusCode.ABORTED), False),
        (Scripted(code=grpc.StatusCode.UNKNOWN), False),
        (Scripted(JoinResponse(piece=b"x")), False),
        (Scripted(JoinResponse(head=b"nonsense")), False),
        (Scripted(JoinResponse(landing=b"")), False),
        (Scripted(silent=True), True),
    ],
    ids=["unavailable", "has none", "lost it", "broken", "no end", "no head", "no landing", "silent"],
)
async def test_a_peer_without_an_answer_is_lost(peer: Scripted, rests: bool) -> None:
    async with scripted(peer) as address, WorkerPeers((address,), -1, FakeClock()) as peers:
        with pytest.raises(PeerLost):
            await heard(peers, address)

        assert gone(peers, address) is rests


async def lost(peers: WorkerPeers, addresses: Sequence[str]) -> None:
    """Ask peers that are not there, all at once."""

    async def one(address: str) -> None:
        with suppress(PeerLost):
            await heard(peers, address)
            raise AssertionError("somebody answered")

    await asyncio.gather(*(one(address) for address in addresses))


class HeldClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


async def rests(peers: WorkerPeers, address: str, clock: HeldClock, count: int) -> list[float]:
    """Ask a peer whenever it may be asked, many times at once, and tell how long it is left alone after each."""
    lengths: list[float] = []
    for _ in range(count):
        await lost(peers, [address] * 20)
        began_at = clock.now_s
        while gone(peers, address):
            clock.now_s += 0.25
        lengths.append(clock.now_s - began_at)
    return lengths


async def test_a_peer_that_is_not_there_is_left_alone_for_a_moment() -> None:
    clock = HeldClock()
    async with WorkerPeers((ADDRESSES[0],), -1, clock) as peers:
        assert await rests(peers, ADDRESSES[0], clock, 5) == [RESTS_S] * 5


async def test_a_peer_that_says_nothing_is_left_alone_longer_each_time() -> None:
    clock, peer = HeldClock(), Scripted(silent=True)
    async with scripted(peer) as address, WorkerPeers((address,), -1, clock) as peers:
        assert await rests(peers, address, clock, 4) == [2 * RESTS_S, 4 * RESTS_S, LONGEST_REST_S, LONGEST_REST_S]


async def test_a_peer_that_speaks_again_is_trusted_again() -> None:
    clock, peer = HeldClock(), Scripted(LANDED, silent=True)
    async with scripted(peer) as address, WorkerPeers((address,), -1, clock) as peers:
        await rests(peers, address, clock, 1)
        peer.silent = False
        await heard(peers, address)

        peer.silent = True

        assert await rests(peers, address, clock, 1) == [2 * RESTS_S]


async def test_losing_a_worker_moves_its_own_answers_only() -> None:
    before = WorkerPeers(ADDRESSES, -1, FakeClock())
    owners = [[*before.owners(name)] for name in NAMES[:1000]]
    async with WorkerPeers(ADDRESSES, -1, HeldClock()) as peers:
        await lost(peers, [ADDRESSES[2]])
        after = [[*peers.owners(name)] for name in NAMES[:1000]]

    assert after == [[each for each in order if each != ADDRESSES[2]] for order in owners]
