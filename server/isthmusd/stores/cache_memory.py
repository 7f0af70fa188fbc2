"""Cached answers in this process's own memory, bounded by bytes; the least recently used one goes first. Sharing them
with other processes is not its business.

Hundreds of thousands of entries fit into it, and nothing here goes over all of them at once: what is forgotten is not
given any more from that moment on, and its room is given back in small steps.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isthmusd.core.entry import CacheItem
from isthmusd.stores.caching import CacheStats, Cleared, Which, clearings_of

OVERHEAD = 550
"""What Python takes for an entry beside its bytes, tenant and model: measured, and rounded up."""
NOTES = 64
STEP = 128
"""Entries that are looked at while nothing else runs: one may be a MiB that goes back to the system."""
WITH_EACH = 2
"""Entries that are looked at with each one that comes in: so the queue is at most twice as long as it must be."""


@dataclass(slots=True)
class _Held:
    item: CacheItem | None
    """None: it is gone, and still stands in the queue."""
    number: int


class MemoryCache:
    """A CacheStore that never waits and never fails; `peek` and `keep` are what its process uses.

    It runs on one event loop, and is bounded at every moment: room is made before an entry comes in.
    """

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._held: OrderedDict[bytes, _Held] = OrderedDict()
        self._size = 0
        self._last = 0
        self._queue: deque[_Held] = deque()
        """All that are held, once each, and some that are gone: in the order in which they are looked at."""
        self._forgotten: dict[Which, int] = {}
        """Of a tenant and a model, up to which number; it matters while some of it may be in the queue."""
        self._unseen = 0
        """How many of the queue are to be looked at before nothing forgotten is in it."""
        self._notes: deque[tuple[int, Cleared]] = deque(maxlen=NOTES)
        self._clear_count = 0

    @property
    def size(self) -> int:
        """Bytes, overhead included."""
        return self._size

    def __len__(self) -> int:
        return len(self._held)

    def peek(self, name: bytes) -> CacheItem | None:
        """Give an entry that has not expired, and make it the most recently used."""
        held = self._held.get(name)
        if held is None or held.item is None:
            return None
        if held.item.expires_at <= self._now() or self._is_forgotten(held):
            self.drop(name)
            return None
        self._held.move_to_end(name)
        return held.item

    def keep(self, item: CacheItem) -> None:
        """Keep an entry, in place of one of the same name; one that is larger than all the room is not kept."""
        self.drop(item.name)
        self._look(WITH_EACH)
        weight = _weight(item)
        if weight > self._limit or item.expires_at <= self._now():
            return
        while self._size + weight > self._limit:
            self.drop(next(iter(self._held)))
        self._last += 1
        held = _Held(item, self._last)
        self._held[item.name] = held
        self._queue.append(held)
        self._size += weight

    def drop(self, name: bytes) -> None:
        """Let go of an entry, if it is there."""
        held = self._held.pop(name, None)
        if held is not None and held.item is not None:
            self._size -= _weight(held.item)
            held.item = None

    def forget(self, tenant: str | None, model: str | None) -> None:
        """Give no entry of a tenant, of a model, of both, or of all any more; `tidy` gives their room back."""
        self._forgotten[tenant, model] = self._last
        self._unseen = len(self._queue)

    async def tidy(self, at_least: int) -> int:
        """Let go of what is forgotten, and look among so many entries for what has expired; other tasks run meanwhile.

        Tells how many were forgotten that had not expired.
        """
        gone, left = 0, min(at_least, len(self._queue))
        while self._forgotten or left > 0:
            gone += self._look(STEP)
            left -= STEP
            await asyncio.sleep(0)
        return gone

    async def load(self) -> None:
        """Nothing to do."""

    async def get(self, name: bytes) -> CacheItem | None:
        """As `peek`."""
        return self.peek(name)

    async def put(self, item: CacheItem) -> None:
        """As `keep`."""
        self.keep(item)

    async def put_all(self, items: Sequence[CacheItem]) -> None:
        """As `keep`, in their order."""
        for item in items:
            self.keep(item)

    async def clear(self, tenant: str | None, model: str | None) -> int:
        """Let go of the entries of a tenant, of a model, of both, or of all, and leave a note of it."""
        self._clear_count += 1
        self._notes.append((self._clear_count, Cleared(tenant=tenant, model=model, at=self._now())))
        self.forget(tenant, model)
        return await self.tidy(0)

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        """Give the notes after a mark, and the next mark."""
        after = self._clear_count if mark is None else int(mark)
        return [note for number, note in self._notes if number > after], str(self._clear_count)

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats:
        """Count what has not expired."""
        now = self._now()
        held = [each.item for each in self._held.values() if each.item is not None and not self._is_forgotten(each)]
        sizes = [
            len(item.sealed)
            for item in held
            if item.expires_at > now and tenant in (None, item.tenant) and model in (None, item.model)
        ]
        return CacheStats(count=len(sizes), size=sum(sizes))

    async def aclose(self) -> None:
        """Let go of everything."""
        self._held.clear()
        self._queue.clear()
        self._forgotten.clear()
        self._size = 0

    def _look(self, count: int) -> int:
        """Let go of what is forgotten or has expired among the next in the queue; tells how many had not expired."""
        now, alive = self._now(), 0
        for _ in range(min(count, len(self._queue))):
            held = self._queue.popleft()
            self._unseen -= 1
            if held.item is None:
                continue
            has_expired = held.item.expires_at <= now
            if has_expired or self._is_forgotten(held):
                alive += not has_expired
                self.drop(held.item.name)
            else:
                self._queue.append(held)
        if self._forgotten and (self._unseen <= 0 or not self._queue):
            self._forgotten.clear()
        return alive

    def _is_forgotten(self, held: _Held) -> bool:
        if not self._forgotten or held.item is None:
            return False
        return any(held.number <= self._forgotten.get(which, 0) for which in clearings_of(held.item))


def _weight(item: CacheItem) -> int:
    return OVERHEAD + len(item.name) + len(item.sealed) + len(item.tenant) + len(item.model)
