"""Keeps one draft per call and writes it to the journal exactly once, whatever happens. Journals are `stores/`' and
`observe/`'s."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from types import TracebackType
from typing import Any

from isthmusd.core.bridge import total
from isthmusd.core.caching import CacheStatus
from isthmusd.core.call import Call, Principal
from isthmusd.core.errors import CallerError, GatewayError, Interrupted, Unauthenticated, Unavailable, UpstreamError
from isthmusd.core.record import Attempt, Bodies, EndReason, Record
from isthmusd.core.reply import Provenance
from isthmusd.core.request import Arrival, Loss
from isthmusd.core.routing import Target
from isthmusd.core.usage import Usage
from isthmusd.pipeline.headers import printable
from isthmusd.pipeline.identify import request_id_of
from isthmusd.pipeline.ports import Clock, Journal

CLIENT_CLOSED = 499
"""The status that records show for calls whose caller left; nginx's convention."""

MODEL_LENGTH = 200
"""A model's name is the caller's text: a record keeps no more of it than this."""
LOSSES_COUNT = 100
LOSS_LENGTH = 200
"""Of each text of a loss: callers name the fields, as many as a body holds."""


class Beginning:
    """As much of a body as is kept."""

    __slots__ = ("_kept", "_limit", "cut")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.cut = False

    def add(self, piece: Any) -> None:
        """Take the next piece: bytes, or the message of a typed call."""
        match piece:
            case bytes():
                written = piece
            case _:
                written = piece.SerializeToString()
        left = self._limit - len(self._kept)
        self.cut = self.cut or len(written) > left
        self._kept += written[:left]

    def whole(self) -> bytes:
        """Give what was kept."""
        return bytes(self._kept)


class Draft:
    """What is known of a running call. One per call, used from the call's own task.

    Without a journal it is only looked at.
    """

    def __init__(self, arrival: Arrival, clock: Clock, journal: Journal | None = None) -> None:
        self._arrival = arrival
        self._clock = clock
        self._journal = journal
        self._began = clock.monotonic()
        self._call: Call | None = None
        self._principal: Principal | None = None
        self._first_event_s: float | None = None
        self._error: BaseException | None = None
        self._interrupted = False
        self._asked: Beginning | None = None
        self._answered: Beginning | None = None
        self.operation = arrival.operation
        self.model: str | None = None
        self.action: str | None = None
        self.stream = arrival.stream
        self.status = 200
        self.usage: Usage | None = None
        self.losses: tuple[Loss, ...] = ()
        self.attempts: list[Attempt] = []
        self.cache: CacheStatus | None = None
        self.settled = False
        """The last piece of the answer is about to leave."""
        self._kept: Provenance | None = None
        self._spent: tuple[Usage, ...] = ()

    @property
    def error(self) -> BaseException | None:
        """What ended the call, if that was no clean end."""
        return self._error

    def apart(self) -> Draft:
        """Give a draft for an answer that is not this call's alone. It is never written."""
        return Draft(self._arrival, self._clock)

    def served_by(self, provenance: Provenance) -> None:
        """Take in who once gave an answer that is given again."""
        self._kept = provenance

    def meet(self, principal: Principal) -> None:
        """Take in whose call it is: that is known of refused ones too."""
        self._principal = principal

    def know(self, call: Call, body_bytes: int = 0) -> None:
        """Take in what is asked; of bodies as much is kept as is said here, if the call wants that at all."""
        self._call = call
        if call.record_bodies and body_bytes:
            self._asked, self._answered = Beginning(body_bytes), Beginning(body_bytes)
            self._asked.add(self._arrival.body)

    def asking(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass a request body that streams, seen if it is wanted."""
        return pieces if self._asked is None else _seen(pieces, self._asked)

    def answering(self, piece: Any) -> None:
        """See the answer, or the next piece of it, before the caller does."""
        if self._answered is not None:
            self._answered.add(piece)

    def begin_again(self) -> None:
        """What was accounted for so far came to nothing for this call: it asks once more, and both were paid for."""
        if self.usage is not None:
            self._spent, self.usage = (*self._spent, self.usage), None

    def mark_first_event(self) -> None:
        """Note when the first piece of an answer was ready for the caller."""
        if self._first_event_s is None:
            self._first_event_s = self._clock.monotonic() - self._began

    def attempted(
        self,
        target: Target,
        began: float,
        status: int | None = None,
        error: GatewayError | None = None,
        request_id: str | None = None,
    ) -> None:
        """Add one send and what came of it; `request_id` is the target's."""
        told = error.told if isinstance(error, UpstreamError) else None
        named = request_id if told is None else told.request_id
        self.attempts.append(
            Attempt(
                provider=target.provider.name,
                model=target.model[:MODEL_LENGTH],
                status=status if status is not None or told is None else told.status,
                duration_s=self._clock.monotonic() - began,
                error=error.code if error is not None else None,
                # Bytes outside ASCII would be surrogates here, which no journal can write.
                upstream_request_id=None if named is None else printable(named),
                endpoint=target.endpoint,
            )
        )

    def ended_by(self, error: BaseException) -> None:
        """Note what ended the call; the first cause stays."""
        if self._error is None:
            self._error = error

    def interrupted_by(self, error: GatewayError) -> None:
        """Note a failure after the first piece left, told to the caller within the stream."""
        self._interrupted = True
        self.ended_by(error)

    def settle(self) -> None:
        """Write the record, the first time. Called before the last byte of the reply leaves: what happens after that
        byte is no part of the call."""
        self.settled = True
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.write(self.finish())

    def finish(self) -> Record:
        """Give the record."""
        call, end = self._call, self._end()
        error = self._error
        principal = self._principal if call is None else call.principal
        provider, target_model = self._answered_by()
        return Record(
            id=self._clock.stamp().id,
            request_id=call.request_id if call is not None else request_id_of(self._arrival.headers) or "",
            surface=self._arrival.surface,
            operation=self.operation,
            started_at=self._arrival.started_at,
            duration_s=self._clock.monotonic() - self._began,
            first_event_s=self._first_event_s,
            tenant=principal.tenant if principal is not None else None,
            key_id=principal.key_id if principal is not None else None,
            auth=principal.method if principal is not None else None,
            project=call.project if call is not None else None,
            model=None if self.model is None else self.model[:MODEL_LENGTH],
            provider=provider,
            target_model=target_model,
            attempts=tuple(self.attempts),
            cache=self.cache,
            status=self._status(end),
            error_code=error.code if isinstance(error, GatewayError) else None,
            end=end,
            stream=self.stream,
            usage=total([each for each in (*self._spent, self.usage) if each is not None]),
            losses=tuple(_shortened(loss) for loss in self.losses[:LOSSES_COUNT]),
            action=self.action,
            detail=_detail(error, end),
            bodies=self._bodies(),
        )

    def _answered_by(self) -> tuple[str | None, str | None]:
        if self.attempts:
            return self.attempts[-1].provider, self.attempts[-1].model
        if self._kept is not None:
            return self._kept.provider, self._kept.model
        return None, None

    def _bodies(self) -> Bodies | None:
        asked, answered = self._asked, self._answered
        if asked is None or answered is None:
            return None
        return Bodies(asked=asked.whole(), answered=answered.whole(), cut=asked.cut or answered.cut)

    def _end(self) -> EndReason:
        match self._error:
            case None:
                return EndReason.COMPLETE
            case _ if self._interrupted:
                return EndReason.INTERRUPTED
            case Interrupted() if self._first_event_s is not None:
                return EndReason.INTERRUPTED
            case CallerError() | Unavailable():
                return EndReason.REFUSED
            case UpstreamError():
                return EndReason.FAILED
            case asyncio.CancelledError() | GeneratorExit():
                return EndReason.CANCELLED
            case _:
                return EndReason.BUG

    def _status(self, end: EndReason) -> int:
        match end, self._error:
            case EndReason.CANCELLED, _:
                return CLIENT_CLOSED
            case EndReason.INTERRUPTED, _:
                return self.status
            case _, GatewayError(http_status=status):
                return status
            case EndReason.BUG, _:
                return 500
            case _:
                return self.status


class recording:
    """Write the record of whatever happens inside, at the latest at its end.

    No generator: that would cost every call four frames more.
    """

    __slots__ = ("_draft",)

    def __init__(self, journal: Journal, clock: Clock, arrival: Arrival) -> None:
        self._draft = Draft(arrival, clock, journal)

    async def __aenter__(self) -> Draft:
        return self._draft

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._draft.ended_by(error)
        self._draft.settle()


async def _seen(pieces: AsyncIterator[bytes], kept: Beginning) -> AsyncIterator[bytes]:
    async for piece in pieces:
        kept.add(piece)
        yield piece


def _shortened(loss: Loss) -> Loss:
    if len(loss.field) <= LOSS_LENGTH and len(loss.reason) <= LOSS_LENGTH:
        return loss
    return replace(loss, field=loss.field[:LOSS_LENGTH], reason=loss.reason[:LOSS_LENGTH])


def _detail(error: BaseException | None, end: EndReason) -> str | None:
    if error is None or end is EndReason.CANCELLED:
        return None
    if isinstance(error, Unauthenticated):
        return error.why
    if isinstance(error, UpstreamError):
        detail = error.told.detail
        return None if detail is None else detail.encode("utf-8", "replace").decode()
    return "".join(traceback.format_exception(error)) if end is EndReason.BUG else None
