"""Drives one streamed answer from a target to a caller: pulls bytes, feeds a relay, bounds silence. Knows no format.

Pulling is what bounds memory: nothing is read from the target while the caller has not taken the piece before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from isthmusd.core.errors import GatewayError, Interrupted, TimedOut, Unreachable
from isthmusd.core.redaction import Redaction
from isthmusd.dialects.base import Relay
from isthmusd.pipeline.alarm import Alarm
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, UpstreamReply
from isthmusd.pipeline.record import Draft

SETTLE_S = 0.2
"""How long the end of a body may follow its terminator."""
NOTHING_HIDDEN = Redaction()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one stream may be silent."""

    deadline_at: float | None
    """Monotonic; the caller's own."""
    first_event_at: float
    """Monotonic; when the first event must have come."""
    idle_s: float
    keep_alive_s: float

    @classmethod
    def of(cls, options: PipelineOptions, now: float, deadline_at: float | None) -> Patience:
        """Bound a stream that was asked for at `now`."""
        longest = min(options.first_event_s, options.request_s)
        return cls(
            deadline_at=deadline_at,
            first_event_at=now + longest,
            idle_s=options.idle_s,
            keep_alive_s=options.keep_alive_s,
        )


class RunningStream:
    """One streamed answer on its way. `prime` is called once, then `pieces` once, from the call's task."""

    def __init__(
        self,
        answer: UpstreamReply,
        relay: Relay,
        keep_alive: Any,
        patience: Patience,
        clock: Clock,
        draft: Draft,
        *,
        redaction: Redaction = NOTHING_HIDDEN,
    ) -> None:
        self._answer = answer
        self._relay = relay
        self._keep_alive = keep_alive
        self._patience = patience
        self._clock = clock
        self._draft = draft
        self._redaction = redaction
        self._first: Any = None
        self._heard_at = clock.monotonic()
        self._was_quiet = False
        """A keep-alive is due already."""
        self._begun = False
        self._over = False
        self._closed = False
        self._alarm = Alarm()

    async def prime(self) -> None:
        """Wait for the first piece, so that a failure before it is still an error answer and may still fall back.

        Returns early when a keep-alive is due: from then on the caller holds a 200.
        """
        quiet_until = self._clock.monotonic() + self._patience.keep_alive_s
        try:
            while self._first is None and not self._over:
                data = await self._pull(quiet_until)
                if data is None:
                    self._was_quiet = True
                    return
                self._first = self._feed(data)
                if self._first is None and self._relay.failure is not None:
                    raise self._relay.failure
        except Interrupted as error:
            # Nothing has reached the caller, so nothing is interrupted: another target may answer.
            raise Unreachable(error.message, told=error.told) from error

    async def pieces(self) -> AsyncGenerator[Any]:
        """Yield the answer piece by piece, then account for it. A failure ends it in-band where the wire can say so.

        Whoever stops early closes the generator, so that it accounts for what was read so far.
        """
        try:
            if self._was_quiet and self._keep_alive is not None:
                yield self._keep_alive
            if self._first is not None:
                yield self._begin(self._first)
                self._heard_at = self._clock.monotonic()
            now = self._clock.monotonic()
            while not self._over:
                data = await self._pull(now + self._patience.keep_alive_s)
                piece = self._keep_alive if data is None else self._feed(data)
                if piece is not None:
                    yield piece if data is None else self._begin(piece)
                now = self._clock.monotonic()
                if data is not None:
                    # A slow reader is no silence of the provider's.
                    self._heard_at = now
            if self._relay.failure is not None:
                raise self._relay.failure
        except GatewayError as error:
            self._redaction.error(error)
            self._draft.interrupted_by(error)
            last = self._relay.fail(error)
            if last is None:
                raise
            self._account(last)
            yield last
        else:
            await self._settle()
        finally:
            self._alarm.close()
            if not self._closed:
                self._closed = True
                self._relay.close()
            self._draft.usage = self._relay.usage

    def _begin(self, piece: Any) -> Any:
        if not self._begun:
            self._begun = True
            self._draft.mark_first_event()
        if self._over and self._relay.failure is None:
            self._account(piece)
        else:
            self._draft.answering(piece)
        return piece

    def _account(self, last: Any) -> None:
        """Write the record before the last piece leaves: a caller that holds the whole answer has been recorded."""
        self._draft.answering(last)
        self._draft.usage = self._relay.usage
        self._draft.settle()

    def _feed(self, data: bytes) -> Any | None:
        relay = self._relay
        if data:
            piece = relay.feed(data)
        else:
            self._closed = True
            piece = relay.close()
        self._over = not data or relay.ended or relay.failure is not None
        return piece

    async def _settle(self) -> None:
        """Read the empty rest after the terminator: only then can the connection serve another call."""
        if self._closed:
            return
        try:
            async with asyncio.timeout(SETTLE_S):
                while await self._answer.next_chunk():
                    pass
        except (TimeoutError, GatewayError):
            return  # a provider that keeps talking loses the connection, the caller nothing

    async def _pull(self, quiet_until: float) -> bytes | None:
        """Wait for bytes; None when it has been quiet until `quiet_until`. Raises TimedOut at a limit."""
        limit_at = self._limit_at()
        alarm = self._alarm
        alarm.begin(min(quiet_until, limit_at))
        try:
            data = await self._answer.next_chunk()
        except asyncio.CancelledError:
            if not alarm.rang():
                raise
            if self._clock.monotonic() < limit_at:
                return None
            raise self._timed_out() from None
        finally:
            alarm.end()
        self._heard_at = self._clock.monotonic()
        return data

    def _limit_at(self) -> float:
        patience = self._patience
        limit_at = self._heard_at + patience.idle_s if self._begun else patience.first_event_at
        return limit_at if patience.deadline_at is None else min(limit_at, patience.deadline_at)

    def _timed_out(self) -> TimedOut:
        deadline_at = self._patience.deadline_at
        if deadline_at is not None and self._clock.monotonic() >= deadline_at:
            return TimedOut("the call's deadline passed before the answer was complete")
        what = "fell silent within the answer" if self._begun else "sent no first event in time"
        return TimedOut(f"the provider {what}; try again")
