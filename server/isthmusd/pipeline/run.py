"""The spine: one straight line from an arrival to a reply, the same for every surface. Streaming bodies take
`forward.py`'s line, which shares every step but the reading of the body."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from isthmusd.core.reply import Reply
from isthmusd.core.request import Arrival, Inbound, Operation, Peeked
from isthmusd.dialects import registry
from isthmusd.pipeline.admission import Admission
from isthmusd.pipeline.bodies import check_body
from isthmusd.pipeline.flights import Flights
from isthmusd.pipeline.identify import Identifier
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, Journal, Upstream
from isthmusd.pipeline.record import recording
from isthmusd.pipeline.resolve import Resolver


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything that a call meets on its way. Built once by `app.py`."""

    options: PipelineOptions
    clock: Clock
    journal: Journal
    admission: Admission
    identifier: Identifier
    resolver: Resolver
    upstream: Upstream
    flights: Flights


@asynccontextmanager
async def run(gateway: Gateway, arrival: Arrival) -> AsyncGenerator[Reply]:
    """Answer one call whose body is complete. Raises GatewayError before the reply is given."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        with gateway.admission.admitted():
            call = gateway.identifier.identify(arrival)
            draft.know(call)
            inbound = understand(arrival, gateway.options.request_bytes)
            draft.operation, draft.model, draft.stream = inbound.operation, inbound.peeked.model, inbound.peeked.stream
            plan = gateway.resolver.resolve(call, inbound.peeked.model)
            async with gateway.flights.join(call, inbound, plan, arrival.headers, draft) as reply:
                draft.status = reply.status
                yield reply


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
