"""A store of cached answers as calls see it: never late, never failing. What is wrong with the store is counted, and it
is left alone for a while. Which store it is, and what is kept in memory, is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from traceback import extract_tb
from typing import Any, Generic, TypeVar

from isthmusd.core.entry import CacheItem
from isthmusd.stores.caching import (
    LARGEST_BYTES,
    CacheClock,
    CacheFault,
    CacheStore,
    CacheWatch,
    Cleared,
    Fault,
    StoreStep,
    Which,
    clearings_of,
)

LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")

SHORTEST_REST_S = 0.25
LONGEST_REST_S = 10.0
LET_GO_S = 2.0
"""What nobody waits for any more still may take this long: the first connection to a server far away needs more than
any call should wait."""
WRITE_S = 5.0
AT_ONCE = 16
"""Lookups that the store works on. Who waits behind them until the time is over is not asked for any more: else the
store would work for those who left, and be too late for all who come."""
LAST_TURNS = 8
"""Of the loop, after the time is over: an answer that came while the loop was busy is taken."""
QUEUE_BYTES = LARGEST_BYTES
TOGETHER = 64
TOGETHER_BYTES = 1024 * 1024
"""Of entries that are written together, about."""
LOOKED_AT = 1024
"""Of what waits, while nothing else runs."""
OVERHEAD = 1024
FLUSH_S = 2.0
CLOSE_S = 3.0
LOG_S = 10.0
NO_TURNS: AbstractAsyncContextManager[object] = nullcontext()
RESTLESS = frozenset({Fault.CORRUPT, Fault.UNREADABLE, Fault.DROPPED})
"""Faults of one entry: the store itself answers."""


@dataclass(slots=True)
class Rest:
    """Whether to ask a store that failed: after each fault not for twice as long as after the one before, then once."""

    length_s: float = 0.0
    until: float = 0.0
    failed_at: float = 0.0
    answered_at: float = -math.inf

    def take_turn(self, now: float) -> bool:
        """Whether to ask now. Who asks first after a rest is alone until the answer is known."""
        if not self.length_s:
            return True
        if now < self.until:
            return False
        self.until = now + max(self.length_s, LET_GO_S)
        return True

    def failed(self, began_at: float, now: float) -> None:
        """Note a fault; one of a question that was under way at the last fault tells nothing more."""
        if self.length_s and began_at <= self.failed_at:
            return
        self.length_s = min(max(self.length_s * 2, SHORTEST_REST_S), LONGEST_REST_S)
        self.until, self.failed_at = now + self.length_s, now

    def answered(self, now: float) -> None:
        """Note that it works."""
        self.length_s = 0.0
        self.answered_at = now


@dataclass(slots=True)
class _Asked(Generic[Answer]):
    """A question that was put to the store. It goes on when nobody waits any more."""

    step: StoreStep
    rest: Rest
    answer: asyncio.Future[Answer | None]
    began_at: float
    has_turn: bool = False
    is_judged: bool = False
    """Whether it is known what came of it, which may be that it took too long."""


class PatientCache:
    """Lookups wait `timeout_s` at most; writes wait in a queue of bounded size, and `write` takes them out of it, one
    after the other. Lookups and writes rest apart: a full disk can still be read.
    """

    def __init__(self, store: CacheStore, timeout_s: float, clock: CacheClock, watch: CacheWatch) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._monotonic = clock.monotonic
        self._watch = watch
        self._reads = Rest()
        self._writes = Rest()
        # Of its own: that a question may take longer tells nothing of whether lookups are quick enough.
        self._news = Rest()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting: deque[CacheItem] = deque()
        self._waiting_bytes = 0
        self._cleared: dict[Which, Cleared] = {}
        """The latest notes of what may be among what waits."""
        self._awake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._told_at = -math.inf

    async def load(self) -> None:
        """Load what speaks to the store."""
        await self._store.load()

    async def get(self, name: bytes) -> CacheItem | None:
        """Look an entry up; None if the store does not give it in time."""
        if not self._reads.take_turn(self._monotonic()):
            self._watch.store_failed(StoreStep.GET, Fault.RESTING)
            return None
        # After a rest those who were asked before it may still hold all turns.
        turns = NO_TURNS if self._reads.length_s else self._turns
        return await self._ask(StoreStep.GET, partial(self._store.get, name), self._reads, self._timeout_s, turns)

    def put(self, item: CacheItem) -> None:
        """Have an entry written soon, unless too much waits."""
        if self._waiting_bytes + _weight(item) > QUEUE_BYTES:
            self._watch.store_failed(StoreStep.PUT, Fault.DROPPED)
            return
        self._waiting.append(item)
        self._waiting_bytes += _weight(item)
        self._idle.clear()
        self._awake.set()

    async def news(self, mark: str | None) -> tuple[list[Cleared], str] | None:
        """Ask what was cleared; None if the store does not say."""
        if not self._news.take_turn(self._monotonic()):
            return None
        return await self._ask(StoreStep.NEWS, partial(self._store.cleared_since, mark), self._news, LET_GO_S)

    def forget(self, note: Cleared) -> None:
        """Do not write what waits to be written and was cleared by now. It is looked at when its turn comes: many
        thousands may wait."""
        if self._waiting:
            former = self._cleared.get((note.tenant, note.model))
            if former is None or former.at < note.at:
                self._cleared[note.tenant, note.model] = note

    async def write(self) -> None:
        """Take what waits to the store, for as long as this runs."""
        while True:
            await self._awake.wait()
            while self._waiting:
                if not self._writes.take_turn(self._monotonic()):
                    await asyncio.sleep(max(self._writes.until - self._monotonic(), 0.0))
                    continue
                await self._write_next()
            self._awake.clear()
            self._idle.set()

    async def flush(self) -> None:
        """Wait until what waits is written, for a while."""
        if not self._writes.length_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._idle.wait()

    async def aclose(self) -> None:
        """Let go of what is under way, and close the store."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LET_GO_S)
        closing = asyncio.create_task(self._store.aclose())
        await asyncio.wait({closing}, timeout=CLOSE_S)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)

    async def _write_next(self) -> None:
        """Write what waits the longest, together with what came soon after it."""
        items: list[CacheItem] = []
        size = 0
        for _ in range(min(len(self._waiting), LOOKED_AT)):
            item = self._waiting.popleft()
            self._waiting_bytes -= _weight(item)
            if self._was_cleared(item):
                continue
            items.append(item)
            size += _weight(item)
            if len(items) == TOGETHER or size >= TOGETHER_BYTES:
                break
        if not self._waiting:
            self._cleared.clear()
        if items:
            await self._ask(StoreStep.PUT, partial(self._store.put_all, items), self._writes, WRITE_S)
        else:
            await asyncio.sleep(0)

    def _was_cleared(self, item: CacheItem) -> bool:
        notes = map(self._cleared.get, clearings_of(item))
        return any(note is not None and note.covers(item) for note in notes)

    async def _ask(
        self,
        step: StoreStep,
        question: Callable[[], Awaitable[Answer]],
        rest: Rest,
        timeout_s: float,
        turns: AbstractAsyncContextManager[object] = NO_TURNS,
    ) -> Answer | None:
        """Wait for an answer until the time is over, whatever the store does. The question outlives who asked."""
        loop = asyncio.get_running_loop()
        asked: _Asked[Answer] = _Asked(step, rest, loop.create_future(), self._monotonic())
        task = asyncio.create_task(_asking(asked, question, turns, max(timeout_s, LET_GO_S)))
        timer = loop.call_later(timeout_s, self._give_up, asked, task, LAST_TURNS)
        self._under_way.add(task)
        task.add_done_callback(partial(self._ended, asked, timer))
        return await asked.answer

    def _give_up(self, asked: _Asked[Any], task: asyncio.Task[Any], turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._give_up, asked, task, turns - 1)
        elif not asked.is_judged:
            if not asked.has_turn:
                task.cancel()
            self._failed(asked, CacheFault(Fault.TIMEOUT, "it takes too long"))

    def _ended(self, asked: _Asked[Answer], timer: asyncio.TimerHandle, task: asyncio.Task[Answer]) -> None:
        timer.cancel()
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if asked.is_judged:
            return
        if task.cancelled():
            asked.is_judged = True
            _tell(asked, None)
        elif error is not None:
            self._failed(asked, error)
        else:
            self._answered(asked, task.result())

    def _answered(self, asked: _Asked[Answer], answer: Answer) -> None:
        now = self._monotonic()
        asked.is_judged = True
        self._watch.store_took(asked.step, now - asked.began_at)
        asked.rest.answered(now)
        _tell(asked, answer)

    def _failed(self, asked: _Asked[Any], error: BaseException) -> None:
        now = self._monotonic()
        fault = _fault(error)
        asked.is_judged = True
        self._watch.store_took(asked.step, now - asked.began_at)
        self._watch.store_failed(asked.step, fault.kind)
        if fault.kind in RESTLESS:
            asked.rest.answered(now)
        elif fault.kind is not Fault.TIMEOUT or asked.rest.answered_at < asked.began_at:
            # Not of one that is late where others got their answers: many ask at once.
            asked.rest.failed(asked.began_at, now)
        if now - self._told_at > LOG_S:
            self._told_at = now
            LOG.warning("the cache does without its store: %s: %s", asked.step, fault)
        _tell(asked, None)


async def _asking(
    asked: _Asked[Answer],
    question: Callable[[], Awaitable[Answer]],
    turns: AbstractAsyncContextManager[object],
    limit_s: float,
) -> Answer:
    async with turns, asyncio.timeout(limit_s):
        asked.has_turn = True
        return await question()


def _tell(asked: _Asked[Answer], answer: Answer | None) -> None:
    if not asked.answer.done():
        asked.answer.set_result(answer)


def _fault(error: BaseException) -> CacheFault:
    """Say what went wrong; of what no store should raise its kind and place only, as its words may hold a value."""
    match error:
        case CacheFault():
            return error
        case TimeoutError():
            return CacheFault(Fault.TIMEOUT, "it takes too long")
        case _:
            places = [f"{place.filename}:{place.lineno}" for place in extract_tb(error.__traceback__)[-1:]]
            return CacheFault(Fault.BROKEN, " at ".join((type(error).__name__, *places)))


def _weight(item: CacheItem) -> int:
    return OVERHEAD + len(item.sealed)
