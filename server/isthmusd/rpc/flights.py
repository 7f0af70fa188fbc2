"""What workers of one node ask each other: an answer on its way in another worker. Served on a socket that only they
can reach. Asking is `upstream/peers.py`'s.
"""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from isthmus.v1 import flights_pb2
from isthmus.v1.flights_pb2 import (
    JoinRequest,
    JoinResponse,
    RenewRequest,
    RenewResponse,
    SettleRequest,
    SettleResponse,
)

from isthmusd.core.authorisation import Listener
from isthmusd.core.errors import Bug, GatewayError
from isthmusd.core.flight_parts import Failure, Landing, PeerAsking, failure_of, read_asking, written
from isthmusd.core.record import Attempt
from isthmusd.core.request import Arrival
from isthmusd.core.usage import Usage
from isthmusd.dialects import registry
from isthmusd.pipeline.flight import LostOnTheWay
from isthmusd.pipeline.flights import Attended
from isthmusd.pipeline.run import Gateway, attend
from isthmusd.rpc.call import Context
from isthmusd.rpc.handlers import Declared, methods_of
from isthmusd.rpc.server import channel_options

SERVICE = flights_pb2.DESCRIPTOR.services_by_name["FlightsService"]
GRACE_S = 5.0
PINGS = (("grpc.http2.min_recv_ping_interval_without_data_ms", 100), ("grpc.http2.max_ping_strikes", 0))
"""The other workers ask often whether this one lives."""
NOT_SHARED = "this answer is not shared between workers"
KEPT_S = 5.0
"""How long an account may be asked for."""
UNKNOWN = "there is no such asking, or it is long ago"
LOST = "the worker that was asked for this answer went away"


class Account:
    """What the seats of one asking have to account for."""

    def __init__(self) -> None:
        self.landing = Landing(usage=None, attempts=())
        self.closed = asyncio.Event()
        """Nothing more will come."""

    def add(self, attempts: tuple[Attempt, ...], usage: Usage | None) -> None:
        """Take in what one seat has."""
        if attempts:
            self.landing = Landing(usage=usage, attempts=self.landing.attempts + attempts)


class FlightsServicer:
    """Implements `isthmus.v1.FlightsService`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._accounts: dict[bytes, Account] = {}

    async def Join(self, request: JoinRequest, context: Context) -> None:
        """Give a seat, and tell what it sees."""
        # Before anything else: the other worker knows by it that this one lives.
        await context.send_initial_metadata(())
        asking = read_asking(request.call)
        account = self._accounts[asking.id] = Account()
        try:
            await self._join(asking, account, context)
        finally:
            account.closed.set()
            # Who left asks for it in a moment.
            asyncio.get_running_loop().call_later(KEPT_S, self._accounts.pop, asking.id, None)

    async def _join(self, asking: PeerAsking, account: Account, context: Context) -> None:
        try:
            seat = await attend(self._gateway, _arrival(asking), asking, account.add)
        except GatewayError:
            # It is the other worker's call: what that one has found out of it counts, and it asks a provider itself.
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, NOT_SHARED)
        try:
            async with seat as attended:
                if attended is None:
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, NOT_SHARED)
                await _tell(context, attended, account)
        except GatewayError as error:
            end = Landing(usage=None, attempts=account.landing.attempts, failure=failure_of(error))
            await context.write(JoinResponse(landing=written(end)))
        except LostOnTheWay:
            await context.abort(grpc.StatusCode.ABORTED, LOST)

    async def Settle(self, request: SettleRequest, context: Context) -> SettleResponse:
        """Tell what was left to account for."""
        account = self._accounts.get(request.call)
        if account is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, UNKNOWN)
        await account.closed.wait()
        return SettleResponse(landing=written(account.landing))

    async def Renew(self, request: RenewRequest, context: Context) -> RenewResponse:
        """Take note of a newer answer."""
        del context
        self._gateway.flights.renewed(request.name, request.stored_at)
        return RenewResponse()


class PeerServer:
    """A gRPC server for the other workers. `start` once, then `stop` once. Raises Undeclared."""

    def __init__(self, gateway: Gateway, bind: str) -> None:
        # Any length: what a caller may send was seen to, and around it there is more.
        self._server = grpc.aio.server(options=(*channel_options(-1), *PINGS))
        self._server.add_insecure_port(bind)
        methods = methods_of(SERVICE, FlightsServicer(gateway))
        self._server.add_generic_rpc_handlers((Declared(Listener.PEERS, methods),))

    async def start(self) -> None:
        """Serve."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop taking calls, let those in flight finish."""
        await self._server.stop(GRACE_S)


def _arrival(asking: PeerAsking) -> Arrival:
    return Arrival(
        operation=asking.operation,
        surface=asking.surface,
        dialect=asking.dialect,
        method=asking.method,
        path=asking.path,
        headers=asking.headers,
        body=registry.kept(asking.dialect, asking.operation).thaw_request(asking.body),
        stream=asking.stream,
        authority=asking.authority,
        started_at=asking.started_at,
        deadline_s=asking.deadline_s,
    )


async def _tell(context: Context, attended: Attended, account: Account) -> None:
    """Tell the beginning, the pieces and the end."""
    flight, seat = attended.flight, attended.seat
    head = attended.head()
    if head is not None:
        await context.write(JoinResponse(head=written(head)))
    while not seat.at_end:
        data = await seat.more(None)
        if data is not None:
            await context.write(JoinResponse(piece=data))
        elif seat.breath:
            seat.breath = False
            await context.write(JoinResponse(keep_alive=b""))
    failure = None if flight.failure is None else _failure(flight.failure)
    attempts = flight.settle(seat)
    # Who leaves after the last piece and before this asks for it, too.
    account.add(attempts, flight.usage)
    end = Landing(usage=flight.usage, attempts=attempts, failure=failure, told=flight.told)
    await context.write(JoinResponse(landing=written(end)))


def _failure(error: BaseException) -> Failure:
    match error:
        case LostOnTheWay():
            raise error
        case GatewayError():
            return failure_of(error)
        case _:
            return failure_of(Bug("internal error; quote the request id when you report it"))
