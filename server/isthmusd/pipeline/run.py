"""The spine: one straight line from an arrival to a reply, the same for every surface. Streaming bodies take
`forward.py`'s line, which shares every step but the reading of the body."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import chain
from types import TracebackType

from isthmusd.core.flight_parts import PeerAsking
from isthmusd.core.reply import Reply, Stream, Whole
from isthmusd.core.request import Arrival, Inbound, Operation, Peeked
from isthmusd.dialects import registry
from isthmusd.pipeline.admission import Admission, Place
from isthmusd.pipeline.bodies import check_body
from isthmusd.pipeline.bound import refuse_other_models
from isthmusd.pipeline.callers import Identification
from isthmusd.pipeline.flights import Attended, Flights, Left
from isthmusd.pipeline.identify import Identifier
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, Credentials, Journal, Upstream
from isthmusd.pipeline.record import Draft, recording
from isthmusd.pipeline.resolve import Resolver
from isthmusd.pipeline.wanted import Asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything that a call meets on its way. Built once by `app.py`."""

    options: PipelineOptions
    clock: Clock
    journal: Journal
    admission: Admission
    identifier: Identifier
    identification: Identification
    credentials: Credentials
    resolver: Resolver
    upstream: Upstream
    flights: Flights


def run(gateway: Gateway, arrival: Arrival) -> Running:
    """Answer one call whose body is complete: enter what this gives. Raises GatewayError before the reply is given."""
    return Running(gateway, arrival)


class Running:
    """One call on its way. Entered once, by one task; leaving it lets go of the answer and writes the record.

    Written out, not nested `async with` in a generator: those cost each call more than its routing does.
    """

    __slots__ = ("_arrival", "_flight", "_gateway", "_place", "_recording")

    def __init__(self, gateway: Gateway, arrival: Arrival) -> None:
        self._gateway = gateway
        self._arrival = arrival
        self._recording = recording(gateway.journal, gateway.clock, arrival)
        self._place: Place | None = None
        self._flight: AbstractAsyncContextManager[Reply] | None = None

    async def __aenter__(self) -> Reply:
        try:
            return await self._answer(await self._recording.__aenter__())
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._flight is not None:
                await self._flight.__aexit__(kind, error, trace)
        except BaseException as late:
            error = late
            raise
        finally:
            if self._place is not None:
                self._place.__exit__()
            await self._recording.__aexit__(None if error is None else type(error), error, None)

    async def _answer(self, draft: Draft) -> Reply:
        gateway, arrival = self._gateway, self._arrival
        place = gateway.admission.admitted()
        place.__enter__()
        self._place = place
        call = await gateway.identifier.identify(arrival, draft.meet)
        draft.know(call, gateway.options.body_bytes)
        place.belong(call.principal.owner)
        inbound = understand(arrival, gateway.options.request_bytes)
        draft.operation, draft.model, draft.stream = inbound.operation, inbound.peeked.model, inbound.peeked.stream
        refuse_other_models(call.principal, chain(inbound.peeked.spans, inbound.peeked.extra))
        plan = gateway.resolver.resolve(call, inbound.peeked.model)
        asking = Asking(arrival=arrival, call=call, inbound=inbound, plan=plan, draft=draft)
        flight = gateway.flights.join(asking)
        reply = await flight.__aenter__()
        self._flight = flight
        draft.status = reply.status
        match reply:
            case Whole():
                draft.answering(reply.body)
            case Stream():
                pass  # piece by piece, where they come from
        return reply


async def attend(
    gateway: Gateway, arrival: Arrival, peer: PeerAsking, left: Left
) -> AbstractAsyncContextManager[Attended | None]:
    """Take a seat for a call that arrived at another worker, which records it. None: its answer is not shared.

    Who calls, and what he may, is found out again: a worker is believed no more than its caller is. Raises as `run`.
    """
    draft = Draft(arrival, gateway.clock)
    call = await gateway.identifier.identify(arrival, draft.meet)
    inbound = understand(arrival, gateway.options.request_bytes)
    refuse_other_models(call.principal, chain(inbound.peeked.spans, inbound.peeked.extra))
    plan = gateway.resolver.resolve(call, inbound.peeked.model)
    asking = Asking(arrival=arrival, call=call, inbound=inbound, plan=plan, draft=draft)
    return gateway.flights.attend(asking, peer, left)


def understand(arrival: Arrival, limit: int) -> Inbound:
    """Read what decisions need out of a body. Raises InvalidRequest, RequestTooLarge, UnsupportedMediaType."""
    check_body(arrival, limit)
    peeked = registry.served(arrival.dialect, arrival.operation).peek(arrival.body)
    if arrival.stream:
        peeked = replace(peeked, stream=True)
    operation = arrival.operation if arrival.operation is not Operation.AUTO else _auto(peeked)
    return Inbound(operation=operation, dialect=arrival.dialect, body=arrival.body, peeked=peeked)


def _auto(peeked: Peeked) -> Operation:
    """The shape of the body is the shape of the answer; whether the model is called that way is `exchange.py`'s.

    The dialect's `peek` has refused bodies with both or neither.
    """
    return Operation.CHAT if peeked.has_messages else Operation.COMPLETION
