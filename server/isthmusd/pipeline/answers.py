"""Kept and shared answers as replies: which headers say where they come from, and the pieces in the form that was asked
for. Waiting for them is `flight.py`'s.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from isthmusd.core.caching import CacheStatus
from isthmusd.core.entry import Head, lasting
from isthmusd.core.errors import GatewayError, Interrupted, TimedOut
from isthmusd.core.record import Attempt
from isthmusd.core.reply import Reply, Stream, Whole
from isthmusd.core.usage import Usage
from isthmusd.pipeline.flight import Flight, LostOnTheWay, Seat
from isthmusd.pipeline.headers import Pairs
from isthmusd.pipeline.ports import Clock
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.wanted import Wanted

CACHED = {CacheStatus.HIT: "HIT", CacheStatus.MISS: "MISS", CacheStatus.BYPASS: "MISS"}
"""What the older header says: it knows two words."""
LATE = "the call's deadline passed before the answer was complete"
LOST = "the worker that was producing this answer went away; ask again"


def status_headers(status: CacheStatus) -> Pairs:
    """Say what the cache did for a call."""
    return ("x-isthmus-cache", status.value), ("x-bt-cached", CACHED[status])


def cache_headers(status: CacheStatus, *, age_s: float, ttl_s: int, streams: bool) -> Pairs:
    """Say what the cache did, how old the answer is and how long it is kept; 0: it is not."""
    about = [f"max-age={ttl_s}"] if ttl_s else []
    if streams:
        # Whoever compresses or collects a stream on its way takes from it that it streams.
        about.append("no-transform")
    headers = status_headers(status)
    if ttl_s:
        headers += (("age", str(max(0, int(age_s)))),)
    return (*headers, ("cache-control", ", ".join(about))) if about else headers


def complete_reply(wanted: Wanted, head: Head, headers: Pairs, pieces: Sequence[Any]) -> Reply:
    """Give an answer that is all there; `pieces` are in the wanted form."""
    draft = wanted.asking.draft
    draft.mark_first_event()
    if wanted.form.stream:
        return Stream(status=head.status, headers=headers, pieces=_all(pieces, draft), provenance=head.provenance)
    return Whole(status=head.status, headers=headers, body=pieces[0], provenance=head.provenance)


async def _all(pieces: Sequence[Any], draft: Draft) -> AsyncIterator[Any]:
    last = len(pieces) - 1
    for place, piece in enumerate(pieces):
        draft.answering(piece)
        if place == last:
            draft.settle()
        yield piece


def thawed(wanted: Wanted, head: Head, pieces: Sequence[bytes]) -> list[Any]:
    """Read the frozen pieces of a complete answer."""
    thaw = wanted.kept.thaw_piece if head.form.stream else wanted.kept.thaw_whole
    return [thaw(piece) for piece in pieces]


def in_form(wanted: Wanted, head: Head, pieces: Sequence[bytes], usage: Usage | None, clock: Clock) -> list[Any]:
    """Give the pieces of a complete answer in the wanted form. Raises Garbled, UnsupportedFeature."""
    given = thawed(wanted, head, pieces)
    if wanted.is_for(head.form):
        return given
    return wanted.kept.recast(given, head.form, wanted.form, clock.stamp(), usage=usage)


class Following:
    """A stream that is read while it is produced. `pieces` once, from the call's task."""

    def __init__(self, wanted: Wanted, flight: Flight, seat: Seat, keep_alive: Any) -> None:
        self._wanted = wanted
        self._flight = flight
        self._seat = seat
        self._keep_alive = keep_alive
        self._draft = wanted.asking.draft
        self._until = wanted.asking.call.deadline_at

    async def pieces(self) -> AsyncGenerator[Any]:
        """Yield the answer piece by piece, then account for it. A failure ends it in-band where the wire can say so."""
        seat, draft, thaw = self._seat, self._draft, self._wanted.kept.thaw_piece
        try:
            while not seat.at_end:
                data = await seat.more(self._until)
                if data is None:
                    if seat.breath:
                        seat.breath = False
                        if self._keep_alive is not None:
                            yield self._keep_alive
                    continue
                piece = thaw(data)
                draft.mark_first_event()
                draft.answering(piece)
                if seat.at_end and (self._flight.landed or self._flight.told):
                    self._account()
                yield piece
            self._account()
            self._raise_untold()
        except TimeoutError:
            error = TimedOut(LATE)
        except LostOnTheWay:
            error = Interrupted(LOST)
        except GatewayError as failed:
            error = failed
        else:
            return
        draft.interrupted_by(error)
        # If others read on, it is theirs to account for what was sent.
        await self._seat.leave()
        settle(self._flight, self._seat, draft)
        last = self._wanted.kept.write_failure(error)
        if last is None:
            raise error
        draft.answering(last)
        draft.settle()
        yield last

    def _raise_untold(self) -> None:
        failure = self._flight.failure
        if failure is not None and not self._flight.told:
            raise failure.with_traceback(None)

    def _account(self) -> None:
        """Write the record before the last piece leaves."""
        flight, draft = self._flight, self._draft
        if flight.failure is not None:
            if not flight.told:
                return
            match flight.failure:
                case GatewayError() as failed:
                    draft.interrupted_by(failed)
                case other:
                    draft.ended_by(other)
        draft.usage = flight.usage
        settle(flight, self._seat, draft)
        draft.settle()


def settle(flight: Flight, seat: Seat, draft: Draft) -> None:
    """Write down what was sent to providers, and what that took, if it is this seat's to account for."""
    attempts = flight.settle(seat)
    draft.attempts += attempts
    if attempts and draft.usage is None:
        draft.usage = flight.usage


def late(attempt: Attempt) -> Attempt:
    """Name what nothing came of until a caller's deadline: it was called off, as if he had left."""
    unanswered = attempt.status is None and attempt.error is None
    return replace(attempt, error=TimedOut.code) if unanswered else attempt


def following(wanted: Wanted, flight: Flight, seat: Seat, headers: Pairs, keep_alive: Any) -> Stream:
    """Give a stream that is on its way, in its own form."""
    part = flight.head
    head = part.head if part is not None else None
    if head is None:
        raise LostOnTheWay
    return Stream(
        status=head.status,
        headers=headers,
        pieces=Following(wanted, flight, seat, keep_alive).pieces(),
        provenance=head.provenance,
    )


def answer_headers(head: Head, status: CacheStatus, *, age_s: float, ttl_s: int, streams: bool) -> Pairs:
    """Give all headers of an answer: those of the call that reached the provider are for that call only."""
    given = head.headers if status is CacheStatus.MISS else lasting(head.headers)
    return (*given, *cache_headers(status, age_s=age_s, ttl_s=ttl_s, streams=streams))
