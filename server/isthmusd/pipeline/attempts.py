"""Sends to the targets of a plan until one answers. What is sent and how it is read is `exchange.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from isthmusd.core.caching import sets_cookie
from isthmusd.core.call import Call, Stamp
from isthmusd.core.errors import (
    Bug,
    Garbled,
    GatewayError,
    KeyRejected,
    Misconfigured,
    TimedOut,
    Unreachable,
    UnsupportedFeature,
    UpstreamError,
)
from isthmusd.core.headers import Headers, first
from isthmusd.core.redaction import Redaction
from isthmusd.core.reply import Provenance, Reply, Stream, Whole
from isthmusd.core.request import Inbound, Loss, Operation, Outbound
from isthmusd.core.resting import Resting
from isthmusd.core.routing import Plan, Target, next_attempt, verdict
from isthmusd.dialects import registry
from isthmusd.dialects.base import Encoded
from isthmusd.pipeline import headers as travelling
from isthmusd.pipeline.alarm import Alarm
from isthmusd.pipeline.exchange import Exchange, MediaNeeded, exchange_for
from isthmusd.pipeline.held import Connections, Held
from isthmusd.pipeline.media import CallMedia, first_of
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, MediaFetcher, Upstream, UpstreamReply
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.stream import Patience, RunningStream
from isthmusd.providers.auth import auth_headers

AT_ONCE = 16
"""Requests of one attempt that run at a time: some embedders take one input each."""
HEAVY_BYTES = 64 * 1024
"""To translate what is larger may take longer than others should wait for their turn."""
ERROR_BYTES = 64 * 1024
"""How much of an error answer is read."""

FIXED_HEADERS = (
    ("content-type", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", travelling.USER_AGENT),
)
MISCONFIGURED = "the gateway's credential for this provider was refused; its operator must renew it"
MISCONFIGURED_OWN = "your tenant's own credential for this provider was refused; it must be renewed"
DEADLINE = "the answer was not complete before the deadline; allow more time, or stream it"
LATE_START = "the provider did not begin its answer in time; try again"


@dataclass(frozen=True, slots=True)
class Attempts:
    """Runs attempts. Holds no state of a call: safe for any number at once."""

    upstream: Upstream
    clock: Clock
    options: PipelineOptions
    media: MediaFetcher | None = None
    """Fetches what targets want as bytes; None: nothing is fetched."""
    resting: Resting = field(default_factory=Resting)
    heavy: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "translation"))
    """Where large requests are translated, one after the other: the loop goes on meanwhile."""

    def first_success(
        self, call: Call, inbound: Inbound, plan: Plan, caller_headers: Headers, draft: Draft
    ) -> AbstractAsyncContextManager[Reply]:
        """Give the first target's answer that is one. Leaving the context closes the connection it comes from.

        Another target is tried only before the first piece: a reply, once given, is never replaced.
        """
        now = self.clock.monotonic()
        # One limit for all attempts together. A stream that has begun is bound by the caller's own limit only.
        until = now + self.options.request_s if call.deadline_at is None else call.deadline_at
        asked = _Asked(call, inbound, caller_headers, draft, until, CallMedia(self.media, self.options))
        connections = Connections()
        return Held(self._first(connections, asked, self.resting.order(plan, now)), connections)

    async def _first(self, connections: Connections, asked: _Asked, plan: Plan) -> Reply:
        failures: list[GatewayError] = []
        while (target := next_attempt(plan, failures, asked.until - self.clock.monotonic())) is not None:
            began = self.clock.monotonic()
            try:
                reply = await self._attempt(connections, asked, target)
            except (UpstreamError, UnsupportedFeature) as error:
                Redaction(target).error(error)
                self._failed(asked.draft, target, began, error)
                failures.append(error)
                await connections.aclose()
            except asyncio.CancelledError:
                asked.draft.attempted(target, began)
                raise
            else:
                asked.draft.attempted(target, began, reply.status, request_id=reply.provenance.upstream_request_id)
                return _counted(reply, len(asked.draft.attempts))
        raise verdict(failures, asked.until - self.clock.monotonic())

    def _failed(self, draft: Draft, target: Target, began: float, error: GatewayError) -> None:
        self.resting.note(target, error, self.clock.monotonic())
        match error:
            case UpstreamError():
                draft.attempted(target, began, error=error)
            case _:
                pass  # nothing was sent

    async def _attempt(self, connections: Connections, asked: _Asked, target: Target) -> Reply:
        exchange = await self._exchange(asked, target)
        if exchange.losses and asked.call.strict:
            fields = ", ".join(loss.field for loss in exchange.losses)
            raise UnsupportedFeature(f"this model cannot express: {fields}", param=exchange.losses[0].field)
        if exchange.streams:
            reply = await self._stream(connections, asked, target, exchange)
        else:
            reply = await self._whole(asked, target, exchange)
        asked.draft.losses = exchange.losses
        return reply

    async def _exchange(self, asked: _Asked, target: Target) -> Exchange:
        stamp, media = self.clock.stamp(), asked.media
        match await self._decided(asked, target, stamp):
            case MediaNeeded(parts=parts):
                try:
                    async with asyncio.timeout_at(asked.until):
                        await media.fetch(parts)
                except TimeoutError:
                    raise TimedOut("the deadline passed while images or files were fetched; allow more time") from None
            case exchange:
                return exchange
        match await self._decided(asked, target, stamp):
            case MediaNeeded():
                raise Bug("everything was fetched, and something is missing")
            case exchange:
                return exchange

    async def _decided(self, asked: _Asked, target: Target, stamp: Stamp) -> Exchange | MediaNeeded:
        inbound, held = asked.inbound, asked.media.held
        if inbound.peeked.size <= HEAVY_BYTES:
            return exchange_for(inbound, target, stamp, held)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.heavy, exchange_for, inbound, target, stamp, held)

    async def _whole(self, asked: _Asked, target: Target, exchange: Exchange) -> Reply:
        alarm = Alarm()
        try:
            answers = await alarm.wait(self._ask_all(asked, target, exchange), asked.until)
        except TimeoutError:
            raise TimedOut(DEADLINE) from None
        finally:
            alarm.close()
        headers, provenance = _facts(target, [answer.headers for answer in answers], exchange.losses)
        bodies = [answer.body for answer in answers]
        answered = exchange.read(bodies)
        replayed = exchange.replay(bodies) if asked.inbound.peeked.stream else None
        asked.draft.usage = answered.usage
        asked.draft.mark_first_event()
        if asked.inbound.peeked.stream:
            return Stream(headers=headers, pieces=_one_piece(asked.draft, replayed), provenance=provenance)
        return Whole(status=answers[0].status, headers=headers, body=answered.body, provenance=provenance)

    async def _ask_all(self, asked: _Asked, target: Target, exchange: Exchange) -> list[_Answer]:
        if len(exchange.encoded) == 1:
            return [await self._ask(asked, target, exchange.encoded[0])]
        places = asyncio.Semaphore(AT_ONCE)

        async def ask(one: Encoded) -> _Answer:
            async with places:
                return await self._ask(asked, target, one)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(one)) for one in exchange.encoded]
        except* GatewayError as errors:
            raise first_of(errors) from None
        return [task.result() for task in tasks]

    async def _ask(self, asked: _Asked, target: Target, encoded: Encoded) -> _Answer:
        async with self.upstream.send(_outbound(asked.caller_headers, target, encoded)) as answer:
            await _refuse_errors(answer, asked.inbound.operation, target)
            body = await answer.read(self.options.reply_bytes)
            return _Answer(answer.status, answer.headers, body)

    async def _stream(self, connections: Connections, asked: _Asked, target: Target, exchange: Exchange) -> Reply:
        patience = Patience.of(self.options, self.clock.monotonic(), asked.call.deadline_at)
        # The limit of a first event is each attempt's own, within that of all attempts together.
        patience = replace(patience, first_event_at=min(patience.first_event_at, asked.until))
        try:
            async with asyncio.timeout_at(patience.first_event_at):
                message = _outbound(asked.caller_headers, target, exchange.encoded[0])
                answer = await connections.stack().enter_async_context(self.upstream.send(message))
                await _refuse_errors(answer, asked.inbound.operation, target)
                headers, provenance = _facts(target, [answer.headers], exchange.losses)
                if _is_json(answer.headers):
                    body = await answer.read(self.options.reply_bytes)
                    answered, replayed = exchange.read([body]), exchange.replay([body])
                    asked.draft.usage = answered.usage
                    asked.draft.mark_first_event()
                    return Stream(headers=headers, pieces=_one_piece(asked.draft, replayed), provenance=provenance)
        except TimeoutError:
            raise TimedOut(LATE_START) from None
        keep_alive = registry.served(asked.inbound.dialect, asked.inbound.operation).keep_alive
        running = RunningStream(
            answer, exchange.relay(), keep_alive, patience, self.clock, asked.draft, redaction=Redaction(target)
        )
        await running.prime()
        pieces = running.pieces()
        connections.stack().push_async_callback(pieces.aclose)
        return Stream(headers=headers, pieces=pieces, provenance=provenance)


@dataclass(frozen=True, slots=True)
class _Asked:
    call: Call
    inbound: Inbound
    caller_headers: Headers
    draft: Draft
    until: float
    """Monotonic: when the answer, or a stream's beginning, must be there, however many targets are asked."""
    media: CallMedia


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Headers
    body: bytes


def _outbound(caller_headers: Headers, target: Target, encoded: Encoded) -> Outbound:
    """Address an encoded request to a target, with its secret."""
    return Outbound(
        method="POST",
        url=target.provider.base_url + encoded.path,
        headers=(
            *FIXED_HEADERS,
            *travelling.sent_to_model(caller_headers, callers_own_key=target.callers_own_key),
            *encoded.headers,
            *auth_headers(target.provider, target.secret),
        ),
        body=encoded.body,
        signing=None if target.callers_own_key else target.provider.signing,
    )


async def _refuse_errors(answer: UpstreamReply, operation: Operation, target: Target) -> None:
    """Raise what an error answer means; return if it is a success."""
    if 200 <= answer.status < 300:
        return
    if answer.status < 400:
        raise Garbled("the provider redirected the call, which is not followed")
    try:
        body = await answer.read(ERROR_BYTES)
    except (Garbled, Unreachable):
        # Too long, or cut: the status says enough.
        body = b""
    error = registry.called(target.provider.dialect, operation).decode_error(answer.status, answer.headers, body)
    if isinstance(error, KeyRejected) and not target.callers_own_key:
        whose = MISCONFIGURED if target.owner is None else MISCONFIGURED_OWN
        error = Misconfigured(whose, told=replace(error.told, type=None, detail=error.message))
    raise error


def _facts(target: Target, heard: Sequence[Headers], losses: tuple[Loss, ...]) -> tuple[travelling.Pairs, Provenance]:
    """Say towards the caller where an answer comes from. Of several that make it up the first one speaks for all, but a
    cookie of any makes it somebody's own."""
    headers = Redaction(target).headers(heard[0])
    pairs = (
        *travelling.returned_from_model(headers),
        *travelling.endpoint_headers(target.endpoint),
        *travelling.losses_header(losses),
    )
    provenance = Provenance(
        attempts=1,
        provider=target.provider.name,
        model=target.model,
        endpoint=target.endpoint,
        upstream_request_id=travelling.request_id_in(headers),
        losses=losses,
        personal=any(sets_cookie(each.get("set-cookie", ())) for each in heard),
    )
    return pairs, provenance


def _counted(reply: Reply, attempt_count: int) -> Reply:
    """Say how many targets were asked, where it was not the first that answered."""
    if attempt_count == 1:
        return reply
    counted = replace(reply.provenance, attempts=attempt_count)
    return replace(reply, headers=(*reply.headers, ("x-isthmus-attempts", str(attempt_count))), provenance=counted)


def _is_json(headers: Headers) -> bool:
    return (first(headers, "content-type") or "").partition(";")[0].strip().lower() == "application/json"


async def _one_piece(draft: Draft, piece: Any) -> AsyncIterator[Any]:
    if piece is not None:
        draft.answering(piece)
        draft.settle()
        yield piece
