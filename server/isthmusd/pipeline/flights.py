"""The seam between a call and the answer that serves it. A call that may not be cached flies alone: its attempts run in
its own task. Any other is served by what is kept, or takes a seat in the one flight that there is for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

from isthmusd.core.caching import CACHED, CachePolicy, CacheStatus
from isthmusd.core.entry import Entry, Head
from isthmusd.core.errors import Garbled, GatewayError, TimedOut, UnsupportedFeature
from isthmusd.core.flight_parts import HeadPart, PeerAsking
from isthmusd.core.record import Attempt
from isthmusd.core.reply import Reply
from isthmusd.core.usage import Usage
from isthmusd.dialects import registry
from isthmusd.pipeline.answers import answer_headers, complete_reply, following, in_form, late, settle
from isthmusd.pipeline.attempts import DEADLINE, HEAVY_BYTES, LATE_START, Attempts
from isthmusd.pipeline.flight import HELD_ENTRIES, PATIENCE_S, PEER_PATIENCE_S, Flight, Hold, LostOnTheWay, Seat
from isthmusd.pipeline.headers import Pairs
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock
from isthmusd.pipeline.producing import Caching, Producer
from isthmusd.pipeline.wanted import Asking, Wanted, policy_of

TRIES = 3
"""How often a call asks again for an answer that was lost with its worker."""


class Unfit(Exception):
    """What is kept, or on its way, does not serve this call."""


class Alone(Exception):
    """This call is better served by an answer of its own."""


class Flights:
    """Produces upstream answers for calls. Its flights are tasks of its own: close it when no more calls run."""

    def __init__(
        self, attempts: Attempts, options: PipelineOptions, clock: Clock, caching: Caching | None = None
    ) -> None:
        self._attempts = attempts
        self._options = options
        self._clock = clock
        self._producer = (
            None if caching is None else Producer(attempts=attempts, options=options, clock=clock, caching=caching)
        )
        self._flights: dict[tuple[bytes, bool, bool], Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hold = Hold(HELD_ENTRIES * options.cache_entry_bytes)

    def join(self, asking: Asking) -> AbstractAsyncContextManager[Reply]:
        """Give the answer to a call; leaving the context lets go of it."""
        policy = None if self._producer is None else policy_of(asking)
        if policy is None or self._producer is None:
            return self.alone(asking)
        return Joining(self, self._producer, asking, policy, self._clock)

    def alone(self, asking: Asking) -> AbstractAsyncContextManager[Reply]:
        """Ask for the answer to this call, and share it with nobody."""
        if asking.inbound.operation in CACHED:
            asking.draft.cache = CacheStatus.BYPASS
        return self._attempts.first_success(
            asking.call, asking.inbound, asking.plan, asking.arrival.headers, asking.draft
        )

    def seat(self, producer: Producer, want: Wanted, *, here: bool) -> tuple[Flight, Seat, bool]:
        """Take a seat in the flight of an answer, which begins with its first seat; tells whether this is that one."""
        place = (want.names[0], want.asking.call.strict, want.policy.reads)
        flight = self._flights.get(place)
        begins = flight is None
        if flight is None:
            flight = Flight(self._options.cache_entry_bytes, lambda: self._forget(place, flight), self._hold)
            self._flights[place] = flight
        seat = flight.sit(PEER_PATIENCE_S if here else PATIENCE_S)
        if want.policy.writes and not flight.ttl_s:
            flight.ttl_s = want.policy.ttl_s
        if begins:
            flight.task = asyncio.create_task(producer.produce(flight, want, here=here))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(partial(self._ended, flight))
        watch = producer.caching.watch
        (watch.flight_began if begins else watch.flight_joined)()
        return flight, seat, begins

    @asynccontextmanager
    async def attend(self, asking: Asking, peer: PeerAsking, left: Left) -> AsyncGenerator[Attended | None]:
        """Take a seat for a call of another worker; None: the answer to this call is not shared. When a seat is left,
        `left` is told what of it is still to account for."""
        policy, producer = policy_of(asking), self._producer
        want = None if producer is None or policy is None else await producer.wanted(asking, policy)
        if producer is None or want is None or want.names[0] != peer.name:
            yield None
            return
        for each in (want.fresh,) if peer.fresh else (want, want.fresh):
            flight, seat, begins = self.seat(producer, each, here=True)
            try:
                if await self._serves(each, seat):
                    yield Attended(flight, seat, begins)
                    return
            finally:
                await seat.leave()
                left(flight.settle(seat), flight.usage)
        yield None

    async def _serves(self, want: Wanted, seat: Seat) -> bool:
        try:
            part = await seat.head(None)
        except GatewayError:
            return True  # the flight tells it
        return part.fresh or want.takes(part.head, self._clock.now())

    def renewed(self, name: bytes, stored_at: float) -> None:
        """Take note that another worker has a newer answer."""
        if self._producer is not None:
            self._producer.caching.cache.renewed(name, stored_at)

    async def aclose(self) -> None:
        """End all flights."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, flight: Flight, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not flight.over:
            # It was cancelled, maybe before it did anything.
            flight.fail(LostOnTheWay())

    def _forget(self, place: tuple[bytes, bool, bool], flight: Flight | None) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]


Left = Callable[[tuple[Attempt, ...], Usage | None], None]


@dataclass(frozen=True, slots=True)
class Attended:
    """A seat that is another worker's."""

    flight: Flight
    seat: Seat
    begins: bool
    """It is the first one."""

    def head(self) -> HeadPart | None:
        """Tell the beginning as it is for this seat; None: there is none."""
        part = self.flight.head
        if part is None:
            return None
        personal = part.fresh and part.head.provenance.personal
        first = self.flight.claim(self.seat) if personal else self.begins
        return replace(part, joined=not first, attempts=self.flight.owed(self.seat))


class Joining:
    """One call's way to an answer that may be shared. Entered once, by one task; leaving it gives the seat back."""

    __slots__ = ("_asking", "_clock", "_flight", "_flights", "_policy", "_producer", "_seat", "_stack")

    def __init__(self, flights: Flights, producer: Producer, asking: Asking, policy: CachePolicy, clock: Clock) -> None:
        self._flights = flights
        self._producer = producer
        self._asking = asking
        self._policy = policy
        self._clock = clock
        self._flight: Flight | None = None
        self._seat: Seat | None = None
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> Reply:
        try:
            return await self._answer()
        except TimedOut:
            await self._leave()
            self._asking.draft.attempts[:] = map(late, self._asking.draft.attempts)
            raise
        except BaseException:
            await self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _answer(self) -> Reply:
        want = await self._producer.wanted(self._asking, self._policy)
        if want is None:
            return await self._alone()
        entry = self._producer.near(want)
        if entry is not None:
            try:
                return await self._from_memory(want, entry)
            except (Garbled, UnsupportedFeature):
                want = want.fresh
        for _ in range(TRIES):
            try:
                return await self._ride(want)
            except Alone:
                break
            except Unfit:
                want = want.fresh
            except LostOnTheWay:
                pass
            await self._leave()
        await self._leave()
        self._asking.draft.begin_again()
        return await self._alone()

    async def _alone(self) -> Reply:
        self._stack = AsyncExitStack()
        return await self._stack.enter_async_context(self._flights.alone(self._asking))

    async def _from_memory(self, want: Wanted, entry: Entry) -> Reply:
        pieces = await self._in_form(want, entry.head, entry.pieces, entry.usage)
        self._note(want, HeadPart(head=entry.head, fresh=False, joined=False), CacheStatus.HIT)
        self._asking.draft.usage = entry.usage
        headers = answer_headers(
            entry.head,
            CacheStatus.HIT,
            age_s=self._clock.now() - entry.head.stored_at,
            ttl_s=entry.head.ttl_s,
            streams=want.form.stream,
        )
        return complete_reply(want, entry.head, headers, pieces)

    async def _ride(self, want: Wanted) -> Reply:
        """Take a seat and wait for the answer. Raises Unfit, Alone, LostOnTheWay, and what the producer raised."""
        flight, seat, begins = self._flights.seat(self._producer, want, here=False)
        self._flight, self._seat = flight, seat
        # Unless more is known: what failed was not kept.
        self._asking.draft.cache = CacheStatus.MISS
        until = self._asking.call.deadline_at
        try:
            part = await seat.head(until)
            self._judge(want, part, flight, seat)
            status = CacheStatus.MISS if begins and part.fresh and not part.joined else CacheStatus.HIT
            headers = self._headers(want, flight, part, status)
            if want.form.stream and want.is_for(part.head.form):
                self._note(want, part, status)
                inbound = self._asking.inbound
                keep_alive = registry.served(inbound.dialect, inbound.operation).keep_alive
                return following(want, flight, seat, headers, keep_alive)
            if not await seat.whole(until):
                raise Alone
        except TimeoutError:
            raise TimedOut(LATE_START if want.form.stream else DEADLINE) from None
        try:
            # A copy: readers of one that was too long let go of its pieces, as soon as they have them.
            pieces = await self._in_form(want, part.head, tuple(flight.pieces), flight.usage)
        except (Garbled, UnsupportedFeature):
            raise (Alone if part.fresh else Unfit) from None
        self._note(want, part, status)
        self._asking.draft.usage = flight.usage
        settle(flight, seat, self._asking.draft)
        return complete_reply(want, part.head, headers, pieces)

    async def _in_form(self, want: Wanted, head: Head, pieces: Sequence[bytes], usage: Usage | None) -> list[Any]:
        """Give the pieces in the wanted form; to take a long answer apart would hold up everybody else's calls."""
        if want.is_for(head.form) or sum(map(len, pieces)) <= HEAVY_BYTES:
            return in_form(want, head, pieces, usage, self._clock)
        heavy = self._producer.attempts.heavy
        return await asyncio.get_running_loop().run_in_executor(heavy, in_form, want, head, pieces, usage, self._clock)

    def _judge(self, want: Wanted, part: HeadPart, flight: Flight, seat: Seat) -> None:
        if want.refuses(part.head):
            raise Alone
        if part.head.provenance.personal and (part.joined or not flight.claim(seat)):
            raise Alone
        if not part.fresh and not want.takes(part.head, self._clock.now()):
            raise Unfit

    def _headers(self, want: Wanted, flight: Flight, part: HeadPart, status: CacheStatus) -> Pairs:
        if part.fresh:
            age_s, ttl_s = 0.0, 0 if part.head.provenance.personal else flight.ttl_s
        else:
            age_s, ttl_s = self._clock.now() - part.head.stored_at, part.head.ttl_s
        return answer_headers(part.head, status, age_s=age_s, ttl_s=ttl_s, streams=want.form.stream)

    def _note(self, want: Wanted, part: HeadPart, status: CacheStatus) -> None:
        draft = want.asking.draft
        draft.cache, draft.losses = status, part.head.provenance.losses
        draft.served_by(part.head.provenance)

    async def _leave(self) -> None:
        flight, seat, stack = self._flight, self._seat, self._stack
        self._flight = self._seat = self._stack = None
        if stack is not None:
            await stack.aclose()
        if seat is not None and flight is not None:
            try:
                await seat.leave()
            finally:
                settle(flight, seat, self._asking.draft)
