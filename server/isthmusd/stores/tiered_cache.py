"""The cache as calls see it: this process's memory, then the store that all processes share. How a store is kept from
harming calls is `patient_cache.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from isthmusd.core.entry import CacheItem
from isthmusd.stores.cache_memory import MemoryCache
from isthmusd.stores.cache_sqlite import SqliteCache
from isthmusd.stores.cache_valkey import ValkeyCache
from isthmusd.stores.caching import (
    AHEAD_S,
    CacheClock,
    CacheOptions,
    CacheStore,
    CacheWatch,
    Cleared,
    Fault,
    StoreStep,
)
from isthmusd.stores.patient_cache import PatientCache

LOG = logging.getLogger(__name__)

POLL_S = 1.0
"""How often a process asks what was cleared by hand: about as long as its memory serves it on."""
SURE_S = 2.0
"""Who learns later than this after the start from where on notes are new may have missed one."""
STALE_S = 1800.0
"""As who did not ask for so long: stores keep notes for an hour at least."""
NOTES = 64
RENEWED = 4096
"""Names of which it is remembered that there is something newer: what waits to be written is less."""
LOOKS = 8192
"""Entries of memory among which each poll looks for expired ones."""
TRUST_S = 60.0
"""How long memory serves what is in a store: others that share it, which are no workers of this node, do not say what
they asked for anew."""
ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What values raise that no store should give. No call may fail of them."""


def open_cache(options: CacheOptions, clock: CacheClock, watch: CacheWatch) -> TieredCache:
    """Give the cache of a worker; enter it before use. Nothing is opened before that, and nothing here fails."""
    memory = MemoryCache(options.memory_bytes, clock.now) if options.memory_bytes else None
    store = open_store(options, clock)
    patient = None if store is None else PatientCache(store, options.timeout_s, clock, watch)
    return TieredCache(memory, patient, watch, clock.now)


def open_store(options: CacheOptions, clock: CacheClock) -> CacheStore | None:
    """Give the store that processes share, as it is: it raises CacheFault. Close it. None: memory alone."""
    if options.url is not None:
        return ValkeyCache(options.url, clock.now)
    if options.path is not None:
        return SqliteCache(options.path, options.store_bytes, options.timeout_s, clock.now)
    return None


class TieredCache:
    """Satisfies ReplyCache. Enter it on the loop that uses it; leaving it writes what waits, for a while."""

    def __init__(
        self,
        memory: MemoryCache | None,
        store: PatientCache | None,
        watch: CacheWatch,
        now: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._store = store
        self._watch = watch
        self._now = now
        self._tasks: list[asyncio.Task[None]] = []
        self._notes: deque[Cleared] = deque(maxlen=NOTES)
        self._mark: str | None = None
        self._heard_at = 0.0
        self._is_used = False
        self._shown = (0, 0)
        self._trust_s = math.inf if store is None else TRUST_S
        self._renewed: OrderedDict[bytes, float] = OrderedDict()

    async def __aenter__(self) -> Self:
        if self._store is not None:
            # Before anybody asks: it would be counted to the store as slowness.
            await self._store.load()
        self._heard_at = self._now()
        self._tasks.append(asyncio.create_task(self._keep_asking()))
        if self._store is not None:
            self._tasks.append(asyncio.create_task(self._store.write()))
        return self

    async def __aexit__(
        self, raised: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._store is not None:
                await self._store.flush()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._store is not None:
                await self._store.aclose()

    def near(self, name: bytes) -> bytes | None:
        """Give what this process has in memory."""
        item = None if self._memory is None else self._memory.peek(name)
        return None if item is None else item.sealed

    async def get(self, name: bytes) -> bytes | None:
        """Look an answer up, in memory and then in the store, from where it comes into memory."""
        sealed = self.near(name)
        if sealed is not None or self._store is None:
            return sealed
        self._is_used = True
        try:
            return await self._look_up(self._store, name)
        except ODD as error:
            self._mistaken(StoreStep.GET, error)
            return None

    async def _look_up(self, store: PatientCache, name: bytes) -> bytes | None:
        item = await store.get(name)
        newer = self.near(name)
        if newer is not None:
            # It came while the store was asked.
            return newer
        if item is None or self._was_cleared(item) or item.stored_at < self._renewed.get(name, 0.0):
            return None
        self._remember(item)
        return item.sealed

    def put(self, item: CacheItem) -> None:
        """Keep an answer: in memory at once, in the store soon. One of before it was cleared is not kept."""
        try:
            if self._was_cleared(item):
                return
            self._is_used = True
            self._remember(item)
            if self._store is not None:
                self._store.put(item)
        except ODD as error:
            self._mistaken(StoreStep.PUT, error)

    def renewed(self, name: bytes, stored_at: float) -> None:
        """Take note that what was stored under a name before this time is out of date: in memory, and in the store
        until the newer one is written there."""
        self._renewed[name] = stored_at
        self._renewed.move_to_end(name)
        if len(self._renewed) > RENEWED:
            self._renewed.popitem(last=False)
        if self._memory is not None:
            self._memory.drop(name)

    def refuse(self, name: bytes, why: str) -> None:
        """Count and forget an entry that cannot be read: `sealed` or `unreadable`. What the provider is now asked for
        takes its place in the store; to remove it there could hit the newer one."""
        self._watch.store_failed(StoreStep.GET, Fault(why))
        if self._memory is not None:
            self._memory.drop(name)

    def _remember(self, item: CacheItem) -> None:
        if self._memory is not None:
            until = min(item.expires_at, self._now() + self._trust_s)
            self._memory.keep(item if until == item.expires_at else replace(item, expires_at=until))

    def _was_cleared(self, item: CacheItem) -> bool:
        """Whether it was on its way while it was cleared."""
        return any(note.covers(item) for note in self._notes)

    async def _keep_asking(self) -> None:
        while True:
            # Whatever came of it: the next one may hear what was cleared.
            (error,) = await asyncio.gather(self._poll(), return_exceptions=True)
            if error is not None:
                self._mistaken(StoreStep.NEWS, error)
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        if self._memory is not None:
            await self._memory.tidy(LOOKS)
            self._show(self._memory)
        if self._store is not None and (self._mark is None or self._is_used):
            await self._hear(self._store)

    def _mistaken(self, step: StoreStep, error: BaseException) -> None:
        self._watch.store_failed(step, Fault.BROKEN)
        LOG.warning("the cache made a mistake: %s: %s", step, type(error).__name__)

    def _show(self, memory: MemoryCache) -> None:
        held = (len(memory), memory.size)
        if held != self._shown:
            self._shown = held
            self._watch.memory_holds(*held)

    async def _hear(self, store: PatientCache) -> None:
        """Ask once what was cleared, and let go of it."""
        news = await store.news(self._mark)
        if news is None:
            return
        notes, mark = news
        now = self._now()
        if self._memory is not None and now - self._heard_at > (SURE_S if self._mark is None else STALE_S):
            # Whatever was cleared meanwhile is gone from the store; what of it is in memory is not known.
            self._memory.forget(None, None)
        self._mark, self._heard_at = mark, now
        for found in notes:
            note = Cleared.read(found.tenant, found.model, found.at)
            if note is None:
                continue
            if note.at > now + AHEAD_S:
                note = replace(note, at=now)
            self._notes.append(note)
            store.forget(note)
            if self._memory is not None:
                # All of it, however new: clocks of nodes differ, and what is new is in the store.
                self._memory.forget(note.tenant, note.model)
