"""Asks the other workers of this node for answers on their way. Which worker an answer belongs to is decided here, by
rendezvous hashing: all workers come to the same order, and a worker that is gone moves only its own answers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
import grpc.aio
from isthmus.v1.flights_pb2 import (
    JoinRequest,
    JoinResponse,
    RenewRequest,
    RenewResponse,
    SettleRequest,
    SettleResponse,
)

from isthmusd.core.entry import Unreadable
from isthmusd.core.flight_parts import (
    FlightPart,
    Landing,
    PeerAsking,
    PeerLost,
    Piece,
    read_head,
    read_landing,
    written,
)

JOIN = "/isthmus.v1.FlightsService/Join"
RENEW = "/isthmus.v1.FlightsService/Renew"
SETTLE = "/isthmus.v1.FlightsService/Settle"
SETTLE_S = 1.0
"""How long a caller's record waits for what a peer knows of it: as long as an upstream connection takes to close."""
RENEW_S = 0.25
"""How long who asked for a fresh answer waits until the others know that there is one."""
ALIVE_S = 2.0
"""A peer answers at once that it heard; one that does not is taken for gone."""
RESTS_S = 1.0
"""How long a peer that is gone is not asked again: about what its successor takes to start. To ask too early costs
nothing."""
LONGEST_REST_S = 8.0
"""Of one that stands still: each question costs somebody what it takes to find out, so that each rest is twice as long
as the one before."""
GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
"""How a call ends whose server is not there, or stops. With any other status it lives, and has no answer."""
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A process that stands still keeps its connections. These questions are asked and answered by threads that run
    # whatever else a worker does, while calls wait only.
    ("grpc.keepalive_time_ms", 500),
    ("grpc.keepalive_timeout_ms", 1_500),
    ("grpc.http2.ping_timeout_ms", 1_500),
    ("grpc.http2.max_pings_without_data", 0),
)


class Monotonic(Protocol):
    """The part of the clock that is needed here."""

    def monotonic(self) -> float: ...


class WorkerPeers:
    """The workers of this node; `own` is the place of this one among them. Enter it on the loop that uses it."""

    def __init__(self, peers: Sequence[str], own: int, clock: Monotonic) -> None:
        self._peers = tuple(peers)
        self._own = own
        self._clock = clock
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._gone_until: dict[str, float] = {}
        self._rests_s: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    def owners(self, name: bytes) -> Sequence[str | None]:
        """Give whose business an answer is, the first first; None is this worker, and the last."""
        now = self._clock.monotonic()
        order: list[str | None] = []
        for place in sorted(range(len(self._peers)), key=lambda place: _weight(name, place), reverse=True):
            peer = self._peers[place]
            if place == self._own:
                break
            if self._gone_until.get(peer, now) <= now:
                order.append(peer)
        return [*order, None]

    @asynccontextmanager
    async def join(self, peer: str, asking: PeerAsking) -> AsyncGenerator[AsyncIterator[FlightPart]]:
        """Ask a peer for an answer; leaving the context lets go of it. Raises PeerLost."""
        call = self._method(peer)(JoinRequest(call=written(asking)))
        try:
            try:
                async with asyncio.timeout(ALIVE_S):
                    await call.initial_metadata()
            except grpc.aio.AioRpcError:
                raise self._lost(peer) from None
            except TimeoutError:
                rest_s = min(2 * self._rests_s.get(peer, RESTS_S), LONGEST_REST_S)
                raise self._lost(peer, rest_s) from None
            yield self._parts(peer, call)
        finally:
            call.cancel()

    async def settle(self, peer: str, asking_id: bytes) -> Landing | None:
        """Ask for the account of what was left before its end; None if the peer does not say."""
        ask = self._channel(peer).unary_unary(
            SETTLE, request_serializer=SettleRequest.SerializeToString, response_deserializer=SettleResponse.FromString
        )
        with suppress(grpc.aio.AioRpcError, Unreadable):
            return read_landing((await ask(SettleRequest(call=asking_id), timeout=SETTLE_S)).landing)
        return None

    async def renew(self, name: bytes, stored_at: float) -> None:
        """Tell all others that what they remember of an answer is out of date."""
        now = self._clock.monotonic()
        others = [peer for place, peer in enumerate(self._peers) if place != self._own]
        alive = [peer for peer in others if self._gone_until.get(peer, now) <= now]
        request = RenewRequest(name=name, stored_at=stored_at)
        await asyncio.gather(*(self._renew(peer, request) for peer in alive))

    async def _renew(self, peer: str, request: RenewRequest) -> None:
        tell = self._channel(peer).unary_unary(
            RENEW, request_serializer=RenewRequest.SerializeToString, response_deserializer=RenewResponse.FromString
        )
        with suppress(grpc.aio.AioRpcError):
            await tell(request, timeout=RENEW_S)

    async def _parts(self, peer: str, call: Any) -> AsyncGenerator[FlightPart]:
        try:
            while (response := await call.read()) is not grpc.aio.EOF:
                self._rests_s.pop(peer, None)
                part = _read(response)
                if part is not None:
                    yield part
        except grpc.aio.AioRpcError as error:
            if error.code() in GONE:
                raise self._lost(peer) from None
        except Unreadable:
            pass
        # Its last word is a landing, after which nobody reads on.
        raise PeerLost

    def _lost(self, peer: str, rest_s: float = RESTS_S) -> PeerLost:
        now = self._clock.monotonic()
        # Of all who find out at once the first one counts.
        if self._gone_until.get(peer, now) <= now:
            self._gone_until[peer], self._rests_s[peer] = now + rest_s, rest_s
        return PeerLost()

    def _channel(self, peer: str) -> grpc.aio.Channel:
        channel = self._channels.get(peer)
        if channel is None:
            channel = self._channels[peer] = grpc.aio.insecure_channel(peer, options=OPTIONS)
        return channel

    def _method(self, peer: str) -> Any:
        return self._channel(peer).unary_stream(
            JOIN, request_serializer=JoinRequest.SerializeToString, response_deserializer=JoinResponse.FromString
        )


def _weight(name: bytes, place: int) -> bytes:
    return hashlib.blake2b(name + place.to_bytes(4, "big"), digest_size=8).digest()


def _read(response: JoinResponse) -> FlightPart | None:
    match response.WhichOneof("part"):
        case "head":
            return read_head(response.head)
        case "piece":
            return Piece(data=response.piece)
        case "keep_alive":
            return Piece(data=b"", passing=True)
        case "landing":
            return read_landing(response.landing)
        case _:
            return None
