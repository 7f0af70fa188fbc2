"""Cached answers in this process's own memory, bounded by bytes; the least recently used one goes first. Sharing them
with other processes is not its business.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from isthmusd.core.entry import CacheItem
from isthmusd.stores.caching import CacheStats, Cleared

OVERHEAD = 450
"""What Python takes for an entry beside its bytes, tenant and model: measured, and rounded up."""
NOTES = 64


class MemoryCache:
    """A CacheStore that never waits and never fails; `peek` and `keep` are what its process uses.

    It runs on one event loop, and is bounded at every moment: room is made before an entry comes in.
    """

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._items: OrderedDict[bytes, CacheItem] = OrderedDict()
        self._size = 0
        self._notes: deque[tuple[int, Cleared]] = deque(maxlen=NOTES)
        self._clear_count = 0

    @property
    def size(self) -> int:
        """Bytes, overhead included."""
        return self._size

    def __len__(self) -> int:
        return len(self._items)

    def peek(self, name: bytes) -> CacheItem | None:
        """Give an entry that has not expired, and make it the most recently used."""
        item = self._items.get(name)
        if item is None:
            return None
        if item.expires_at <= self._now():
            self.drop(name)
            return None
        self._items.move_to_end(name)
        return item

    def keep(self, item: CacheItem) -> None:
        """Keep an entry, in place of one of the same name; one that is larger than all the room is not kept."""
        self.drop(item.name)
        weight = _weight(item)
        if weight > self._limit or item.expires_at <= self._now():
            return
        while self._size + weight > self._limit:
            _, oldest = self._items.popitem(last=False)
            self._size -= _weight(oldest)
        self._items[item.name] = item
        self._size += weight

    def drop(self, name: bytes) -> None:
        """Let go of an entry, if it is there."""
        item = self._items.pop(name, None)
        if item is not None:
            self._size -= _weight(item)

    def forget(self, tenant: str | None, model: str | None) -> int:
        """Let go of the entries of a tenant, of a model, of both, or of all; tells how many had not expired."""
        gone = [item for item in self._items.values() if _is_of(item, tenant, model)]
        for item in gone:
            self.drop(item.name)
        now = self._now()
        return sum(item.expires_at > now for item in gone)

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
        """As `forget`, and leave a note of it."""
        self._clear_count += 1
        self._notes.append((self._clear_count, Cleared(tenant=tenant, model=model, at=self._now())))
        return self.forget(tenant, model)

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        """Give the notes after a mark, and the next mark."""
        after = self._clear_count if mark is None else int(mark)
        return [note for number, note in self._notes if number > after], str(self._clear_count)

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats:
        """Count what has not expired."""
        now = self._now()
        sizes = [
            len(item.sealed) for item in self._items.values() if item.expires_at > now and _is_of(item, tenant, model)
        ]
        return CacheStats(count=len(sizes), size=sum(sizes))

    async def aclose(self) -> None:
        """Let go of everything."""
        self._items.clear()
        self._size = 0


def _weight(item: CacheItem) -> int:
    return OVERHEAD + len(item.name) + len(item.sealed) + len(item.tenant) + len(item.model)


def _is_of(item: CacheItem, tenant: str | None, model: str | None) -> bool:
    return tenant in (None, item.tenant) and model in (None, item.model)
