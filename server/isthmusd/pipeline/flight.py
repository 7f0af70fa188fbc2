"""One answer on its way, and the calls that wait for it. Who produces it is `producing.py`'s, who joins `flights.py`'s.

A producer calls `begin` once, `add` for each piece, then `land` or `fail` once. Each seat reads at its own pace, from
the first piece on, whenever it came. What was read by all is held on for those who join later, up to the size of an
entry, and of what all flights together may hold; beyond it nobody joins any more, what all have read is let go of, and
the slowest reader bounds what is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from isthmusd.core.errors import Interrupted
from isthmusd.core.flight_parts import HeadPart
from isthmusd.core.record import Attempt
from isthmusd.core.usage import Usage
from isthmusd.pipeline.alarm import Alarm

PATIENCE_S = 1.0
"""How long the others wait, all in all, for a reader who does not keep up with an answer longer than an entry."""
PEER_PATIENCE_S = 3 * PATIENCE_S
"""As long for another worker: it leaves its own slow readers behind first."""
SHORTEST_WAIT_S = 0.05
TOO_SLOW = "this answer was read too slowly while others waited for it; ask again"


HELD_ENTRIES = 32
"""How many answers of an entry's size all flights of a worker hold together: readers choose how slow they are."""
LEAST_HELD = 64 * 1024
"""What a flight may hold when there is no room left: its provider waits for its readers then."""


class Hold:
    """Counts what all flights of a worker hold."""

    __slots__ = ("_most", "held")

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0
        """Bytes."""

    @property
    def is_full(self) -> bool:
        """No flight may hold more than it needs to go on."""
        return self.held > self._most


class LostOnTheWay(Exception):
    """Whoever produced the answer is gone: those who were told nothing of it yet ask again."""


class Flight:
    """Used from one loop. `closed` is called once, when nobody may join any more."""

    def __init__(self, most_held: int, closed: Callable[[], None], hold: Hold) -> None:
        self.head: HeadPart | None = None
        self.landed = False
        self.failure: BaseException | None = None
        self.told = False
        """The last piece tells the failure."""
        self.overflowed = False
        """It is longer than an entry, or than there is room for: it will not be kept."""
        self.usage: Usage | None = None
        self.sent: tuple[Attempt, ...] = ()
        """What was sent to providers for it. It only grows."""
        self.ttl_s = 0
        """How long it will be kept; 0: not at all. The first call that wants it kept says so."""
        self.task: asyncio.Task[None] | None = None
        self.pieces: list[bytes] = []
        self._claimed: Seat | None = None
        self._accounted = 0
        """How much of what was sent is in somebody's account."""
        self._gone = 0
        """Pieces before the held ones."""
        self._size = 0
        self._most = most_held
        self._hold = hold
        self._closed = closed
        self._seats: list[Seat] = []
        self._room: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.landed or self.failure is not None

    @property
    def complete(self) -> bool:
        """Everything that came is still held."""
        return self._gone == 0

    @property
    def end(self) -> int:
        """How many pieces there were so far."""
        return self._gone + len(self.pieces)

    @property
    def overflows(self) -> bool:
        """It is a stream too long to be held. A whole answer is one piece, whatever its length: those who wait for it
        get it."""
        return self.overflowed and (self.head is None or self.head.head.form.stream)

    @property
    def _bound(self) -> int:
        """How much it may hold now, in bytes."""
        return LEAST_HELD if self._hold.is_full else self._most

    def begin(self, part: HeadPart) -> None:
        """Tell what is known before the body."""
        self.head = part
        self._wake()

    def add(self, data: bytes) -> None:
        """Give the next piece."""
        self.pieces.append(data)
        self._size += len(data)
        self._hold.held += len(data)
        if not self.overflowed and (self._size > self._most or (self._hold.is_full and self._size > LEAST_HELD)):
            self.overflowed = True
            self.close()
        self._wake()

    def breathe(self) -> None:
        """Show those who read that the producer lives."""
        for seat in self._seats:
            seat.breath = True
        self._wake()

    async def room(self) -> None:
        """Wait until the slowest readers have made room, for as long as the others can wait for them. Only an answer
        that is longer than an entry needs any."""
        loop = asyncio.get_running_loop()
        while self.overflows and self._trimmed() > self._bound:
            slowest = [seat for seat in self._seats if seat.reads and seat.place == self._gone]
            left_s = min((seat.patience_s for seat in slowest), default=PATIENCE_S)
            began_at, self._room = loop.time(), loop.create_future()
            await asyncio.wait((self._room,), timeout=max(left_s, SHORTEST_WAIT_S))
            waiting = [seat.waits_since for seat in self._seats if seat.reads and seat.waits_since is not None]
            if waiting:
                for seat in slowest:
                    seat.hold_up(loop.time() - max(began_at, min(waiting)))

    def land(self) -> None:
        """End well."""
        self.landed = True
        self.close()
        self._wake()

    def fail(self, error: BaseException, *, told: bool = False) -> None:
        """End with a failure, `told` by the last piece or by nothing. All who wait get it."""
        if not self.over:
            self.failure, self.told = error, told
        self.close()
        self._wake()

    def close(self) -> None:
        """Let nobody join any more."""
        closed, self._closed = self._closed, _nothing
        closed()

    def sit(self, patience_s: float = PATIENCE_S) -> Seat:
        """Take a place. The first one accounts for the answer; when it leaves, the next one does."""
        seat = Seat(self, patience_s)
        self._seats.append(seat)
        return seat

    async def rise(self, seat: Seat) -> None:
        """Give a place back. With the last one the answer ends, whether or not it is complete."""
        if seat in self._seats:
            self._seats.remove(seat)
        self.moved()
        if self._seats:
            return
        # Whatever still comes counts no more.
        self._hold.held -= self._size
        self._hold = Hold(0)
        task = self.task
        # What has come to its end only closes its connection: cut short, it could not be used again.
        if task is not None and not task.done() and not self.over:
            self.close()
            task.cancel()
            # What was sent to providers is in the record of the call that leaves: its account is complete only then.
            await asyncio.wait((task,))

    def owed(self, seat: Seat) -> tuple[Attempt, ...]:
        """Show what was sent to providers, and is in nobody's account, to the seat whose business that is: the first of
        those that have not settled."""
        heir = next((each for each in self._seats if not each.settled), seat)
        return self.sent[self._accounted :] if heir is seat else ()

    def settle(self, seat: Seat) -> tuple[Attempt, ...]:
        """Put it into the account of a seat, which settles with this."""
        attempts = self.owed(seat)
        self._accounted += len(attempts)
        seat.settled = True
        return attempts

    def claim(self, seat: Seat) -> bool:
        """Take an answer that is one caller's own: the first who is there when it begins gets it, and nobody else."""
        if self._claimed is None and self._seats[0] is seat:
            self._claimed = seat
        return self._claimed is seat

    def piece(self, place: int) -> bytes:
        """Give a piece by its place."""
        return self.pieces[place - self._gone]

    def moved(self) -> None:
        """Somebody has read on, or left."""
        # To look at all readers for each of them, whenever one reads, would cost more than all reading.
        room = self._room
        if room is not None and not room.done() and self.overflows and self._trimmed() <= self._bound:
            room.set_result(None)

    def _wake(self) -> None:
        for seat in self._seats:
            seat.wake()

    def _trimmed(self) -> int:
        """Let go of what all readers have; give what is still held, in bytes."""
        first = min((seat.place for seat in self._seats if seat.reads), default=self.end)
        count = first - self._gone
        if count > 0:
            freed = sum(len(piece) for piece in self.pieces[:count])
            self._size -= freed
            self._hold.held -= freed
            del self.pieces[:count]
            self._gone = first
        return self._size


class Seat:
    """One call's place in a flight. Used by one task."""

    __slots__ = (
        "_alarm",
        "_flight",
        "_most_patience_s",
        "_waiter",
        "behind",
        "breath",
        "patience_s",
        "place",
        "reads",
        "settled",
        "waits_since",
    )

    def __init__(self, flight: Flight, patience_s: float) -> None:
        self.place = 0
        """Of the piece to read next."""
        self.reads = True
        """Piece by piece; False: the whole is waited for, or nothing more is read."""
        self.breath = False
        self.behind = False
        self.waits_since: float | None = None
        """The loop's time; None: it does not wait."""
        self.settled = False
        """It asks for no account any more: its record is written."""
        self.patience_s = patience_s
        """How long the others still wait for it; when it has caught up, as long as in the beginning."""
        self._most_patience_s = patience_s
        self._flight = flight
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: Alarm | None = None

    async def head(self, until: float | None) -> HeadPart:
        """Wait for the beginning. Raises what the producer failed with, LostOnTheWay, TimeoutError at `until`."""
        flight = self._flight
        while flight.head is None:
            if flight.failure is not None:
                raise flight.failure.with_traceback(None)
            await self._change(until)
        return flight.head

    async def whole(self, until: float | None) -> bool:
        """Wait for the end, holding nothing up meanwhile; False: it became too long to be held. Raises as `head`."""
        self.reads = False
        flight = self._flight
        while not flight.over and not flight.overflows:
            await self._change(until)
        if flight.failure is not None:
            raise flight.failure.with_traceback(None)
        return flight.landed and flight.complete

    async def more(self, until: float | None) -> bytes | None:
        """Give the next piece; None: there is no more, or it is only to be shown that the producer lives (`breath`).

        Raises Interrupted if the others could not wait any longer; TimeoutError at `until`.
        """
        flight = self._flight
        while True:
            if self.behind:
                raise Interrupted(TOO_SLOW)
            if self.place < flight.end:
                data = flight.piece(self.place)
                self.place += 1
                if self.place == flight.end:
                    self.patience_s = self._most_patience_s
                flight.moved()
                return data
            if flight.over or self.breath:
                return None
            await self._change(until)

    @property
    def at_end(self) -> bool:
        """Everything was read, and nothing more will come."""
        return self._flight.over and self.place == self._flight.end

    def hold_up(self, seconds: float) -> None:
        """The others had to wait for this reader. In the end they go on without it."""
        self.patience_s -= seconds
        if self.patience_s <= 0:
            self.behind, self.reads = True, False
            self.wake()

    def wake(self) -> None:
        """Something has happened."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def leave(self) -> None:
        """Give the place back. May be called again."""
        if self._alarm is not None:
            self._alarm.close()
        await self._flight.rise(self)

    async def _change(self, until: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter, self.waits_since = loop.create_future(), loop.time()
        try:
            if until is None:
                await self._waiter
                return
            if self._alarm is None:
                self._alarm = Alarm()
            await self._alarm.wait(self._waiter, until)
        finally:
            self._waiter = self.waits_since = None


def _nothing() -> None:
    pass
