"""Carries one call to a provider and its answer back, bytes untouched both ways, nothing held whole. Whose credential
pays is decided before, by `forward.py` and `tenant_forward.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from isthmusd.core.call import Call
from isthmusd.core.errors import Garbled, GatewayError, TimedOut, Told, UpstreamError
from isthmusd.core.headers import first
from isthmusd.core.paths import ForwardPath
from isthmusd.core.redaction import Redaction
from isthmusd.core.request import Arrival, Outbound
from isthmusd.core.routing import Target
from isthmusd.core.usage import Usage
from isthmusd.pipeline import headers as travelling
from isthmusd.pipeline.admission import Place
from isthmusd.pipeline.observer import UsageObserver
from isthmusd.pipeline.ports import UpstreamReply
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.run import Gateway
from isthmusd.pipeline.uploads import Upload
from isthmusd.providers.auth import auth_headers

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose empty body is no body."""
ODD_STATUS = "the provider answered with a status that cannot be passed on; try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is carried, and where to."""

    call: Call
    arrival: Arrival
    target: Target
    path: ForwardPath
    """Below the target's base URL."""
    upload: Upload
    prefix: bytes
    """The body's beginning, as it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """A provider's answer on its way back."""

    status: int
    headers: travelling.Pairs
    content_type: str
    chunks: AsyncIterator[bytes]
    draft: Draft = field(repr=False)

    @property
    def usage(self) -> Usage | None:
        """What the call consumed, once the chunks are read and if the answer told."""
        return self.draft.usage


async def identified(gateway: Gateway, arrival: Arrival, draft: Draft, place: Place) -> Call:
    """Find out who calls, and count the call among his tenant's. Raises GatewayError."""
    call = await gateway.identifier.identify(arrival, draft.meet)
    draft.know(call, gateway.options.body_bytes)
    place.belong(call.principal.owner)
    return call


async def begun(gateway: Gateway, draft: Draft, pieces: AsyncIterator[bytes]) -> Upload:
    """Read a body's beginning. Raises RequestTooLarge, InvalidRequest."""
    upload = Upload(draft.asking(pieces), gateway.options.upload_bytes, gateway.options.idle_s)
    await upload.begin()
    return upload


@asynccontextmanager
async def carried(gateway: Gateway, load: Load, draft: Draft) -> AsyncGenerator[Forwarded]:
    """Send, and give the answer. Raises GatewayError before the answer is given."""
    target, began = load.target, gateway.clock.monotonic()
    try:
        async with _sending(gateway, load) as answer:
            if not 200 <= answer.status < 600:
                raise Garbled(ODD_STATUS, told=Told(status=answer.status))
            headers = Redaction(target).headers(answer.headers)
            draft.attempted(target, began, answer.status, request_id=travelling.request_id_in(headers))
            draft.status = answer.status
            content_type = travelling.printable(first(headers, "content-type") or "")
            draft.stream = content_type.lower().startswith("text/event-stream")
            observer = UsageObserver(load.path.path, headers, target.provider.profile)
            yield Forwarded(
                status=answer.status,
                headers=(
                    *travelling.returned_by_forward(headers),
                    *travelling.endpoint_headers(target.endpoint),
                ),
                content_type=content_type,
                chunks=_chunks(gateway, load.call, answer, observer, draft),
                draft=draft,
            )
    except (UpstreamError, asyncio.CancelledError) as error:
        if isinstance(error, UpstreamError):
            Redaction(target).error(error)
        if not draft.attempts:
            draft.attempted(target, began, error=error if isinstance(error, UpstreamError) else None)
        raise


@asynccontextmanager
async def _sending(gateway: Gateway, load: Load) -> AsyncGenerator[UpstreamReply]:
    """Send, bounded until the answer's headers: a long upload may take as long as its caller allows."""
    upload, until = load.upload, load.call.deadline_at
    if until is None and upload.complete:
        until = gateway.clock.monotonic() + gateway.options.request_s
    streamed = None if upload.complete else upload.rest(load.prefix)
    sent = gateway.upstream.send(_message(load), streamed, decode=False)
    try:
        async with asyncio.timeout_at(until):
            answer = await sent.__aenter__()
    except TimeoutError:
        raise TimedOut("the provider did not answer in time; try again") from None
    try:
        yield answer
    except BaseException as error:
        await sent.__aexit__(type(error), error, error.__traceback__)
        raise
    else:
        await sent.__aexit__(None, None, None)


def _message(load: Load) -> Outbound:
    """Address a call: the host is the configuration's, and the secret is added last."""
    arrival, target, prefix = load.arrival, load.target, load.prefix
    body = prefix if prefix or arrival.method not in BODILESS else None
    return Outbound(
        method=arrival.method,
        url=f"{target.provider.base_url}/{load.path.path}{load.path.query}",
        headers=(
            *travelling.sent_by_forward(arrival.headers, callers_own_key=target.callers_own_key),
            *auth_headers(target.provider, target.secret),
        ),
        body=body if load.upload.complete else None,
        signing=None if target.callers_own_key else target.provider.signing,
    )


async def _chunks(
    gateway: Gateway, call: Call, answer: UpstreamReply, observer: UsageObserver, draft: Draft
) -> AsyncIterator[bytes]:
    while True:
        until = gateway.clock.monotonic() + gateway.options.idle_s
        if call.deadline_at is not None:
            until = min(until, call.deadline_at)
        try:
            chunk = await _next_chunk(answer, until)
        except GatewayError as error:
            # The caller has the answer's head: whatever ends it now interrupts it.
            draft.interrupted_by(error)
            raise
        if not chunk:
            draft.usage = observer.close()
            # Only now is the end known; what tells the caller of it comes after this.
            draft.settle()
            return
        draft.mark_first_event()
        draft.answering(chunk)
        observer.feed(chunk)
        yield chunk


async def _next_chunk(answer: UpstreamReply, until: float) -> bytes:
    try:
        async with asyncio.timeout_at(until):
            return await answer.next_chunk()
    except TimeoutError:
        raise TimedOut("the provider fell silent within the answer; try again") from None
