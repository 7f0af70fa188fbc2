"""Forward: any method and path to the provider, bytes untouched both ways, nothing held whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.call import Call
from isthmusd.core.errors import Garbled, GatewayError, PermissionDenied, TimedOut, Told, UpstreamError
from isthmusd.core.headers import Headers, first
from isthmusd.core.paths import ForwardPath, forward_path
from isthmusd.core.request import Arrival, Outbound
from isthmusd.core.routing import Plan, Target
from isthmusd.core.usage import Usage
from isthmusd.framing.prefix import find_string_member
from isthmusd.pipeline import headers as travelling
from isthmusd.pipeline.bodies import JSON
from isthmusd.pipeline.observer import UsageObserver
from isthmusd.pipeline.ports import UpstreamReply
from isthmusd.pipeline.record import Draft, recording
from isthmusd.pipeline.run import Gateway
from isthmusd.pipeline.uploads import Upload
from isthmusd.providers.auth import auth_headers

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose empty body is no body."""
ODD_STATUS = "the provider answered with a status that cannot be passed on; try again"


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


@asynccontextmanager
async def forward(gateway: Gateway, arrival: Arrival, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Forwarded]:
    """Carry one call. Raises GatewayError before the answer is given."""
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        with gateway.admission.admitted():
            call = await gateway.identifier.identify(arrival)
            draft.know(call)
            path = forward_path(arrival.method, arrival.path, served_here=arrival.surface == "openai")
            upload = Upload(pieces, gateway.options.upload_bytes, gateway.options.idle_s)
            await upload.begin()
            message, target, streamed = _addressed(gateway, call, arrival, path, upload, draft)
            began = gateway.clock.monotonic()
            try:
                async with _sending(gateway, call, message, streamed) as answer:
                    if not 200 <= answer.status < 600:
                        raise Garbled(ODD_STATUS, told=Told(status=answer.status))
                    draft.attempted(target, began, answer.status, request_id=travelling.request_id_in(answer.headers))
                    draft.status = answer.status
                    observer = UsageObserver(path.path, answer.headers, target.provider.profile)
                    yield Forwarded(
                        status=answer.status,
                        headers=(
                            *travelling.returned_by_forward(answer.headers),
                            *travelling.endpoint_headers(target.endpoint),
                        ),
                        content_type=travelling.printable(first(answer.headers, "content-type") or ""),
                        chunks=_chunks(gateway, call, answer, observer, draft),
                        draft=draft,
                    )
            except (UpstreamError, asyncio.CancelledError) as error:
                if not draft.attempts:
                    draft.attempted(target, began, error=error if isinstance(error, UpstreamError) else None)
                raise


def _addressed(
    gateway: Gateway, call: Call, arrival: Arrival, path: ForwardPath, upload: Upload, draft: Draft
) -> tuple[Outbound, Target, AsyncIterator[bytes] | None]:
    """Choose the target by the body's beginning, and address the call to it."""
    prefix = upload.prefix
    found = find_string_member(prefix, "model") if _is_json(arrival.headers) else None
    plan = _plan(gateway, call, found[0] if found else None)
    target = plan.targets[0]
    if found is not None:
        draft.model, (start, end) = found
        if target.model != found[0]:
            prefix = prefix[:start] + msgspec.json.encode(target.model) + prefix[end:]
    body = prefix if prefix or arrival.method not in BODILESS else None
    message = Outbound(
        method=arrival.method,
        url=f"{target.provider.base_url}/{path.path}{path.query}",
        headers=(
            *travelling.sent_by_forward(arrival.headers, callers_own_key=target.callers_own_key),
            *auth_headers(target.provider, target.secret),
        ),
        body=body if upload.complete else None,
        signing=None if target.callers_own_key else target.provider.signing,
    )
    return message, target, None if upload.complete else upload.rest(prefix)


def _plan(gateway: Gateway, call: Call, model: str | None) -> Plan:
    if not call.principal.grants.forward:
        raise PermissionDenied("your key does not allow Forward", code="forward_not_allowed")
    return gateway.resolver.resolve(call, model) if model else gateway.resolver.resolve_default(call)


def _is_json(headers: Headers) -> bool:
    return JSON.fullmatch((first(headers, "content-type") or "").strip()) is not None


@asynccontextmanager
async def _sending(
    gateway: Gateway, call: Call, message: Outbound, streamed: AsyncIterator[bytes] | None
) -> AsyncGenerator[UpstreamReply]:
    """Send, bounded until the answer's headers: a long upload may take as long as its caller allows."""
    until = call.deadline_at
    if until is None and streamed is None:
        until = gateway.clock.monotonic() + gateway.options.request_s
    sent = gateway.upstream.send(message, streamed, decode=False)
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
            return
        draft.mark_first_event()
        observer.feed(chunk)
        yield chunk


async def _next_chunk(answer: UpstreamReply, until: float) -> bytes:
    try:
        async with asyncio.timeout_at(until):
            return await answer.next_chunk()
    except TimeoutError:
        raise TimedOut("the provider fell silent within the answer; try again") from None
