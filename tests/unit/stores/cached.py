"""What tests of the cache's stores are made of: entries, a clock that stands still, a watch that counts."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from isthmusd.core.entry import CacheItem
from isthmusd.stores.caching import Fault, StoreStep

START = 1_800_000_000.0


def name(label: str) -> bytes:
    """The name of an entry, as the vault makes them."""
    return hashlib.sha256(label.encode()).digest()


def item(
    label: str,
    *,
    tenant: str = "acme",
    model: str = "m",
    size: int = 100,
    stored_at: float = START,
    ttl_s: float = 600.0,
) -> CacheItem:
    """An entry whose bytes are of its label."""
    return CacheItem(
        name=name(label),
        tenant=tenant,
        model=model,
        sealed=hashlib.shake_256(label.encode()).digest(size),
        stored_at=stored_at,
        expires_at=stored_at + ttl_s,
    )


@dataclass(slots=True)
class StillClock:
    """Wall time that passes when told."""

    at: float = START

    def now(self) -> float:
        return self.at


@dataclass(slots=True)
class Counts:
    """A CacheWatch that keeps what it is told."""

    failed: Counter[tuple[StoreStep, Fault]] = field(default_factory=Counter[tuple[StoreStep, Fault]])
    took: list[tuple[StoreStep, float]] = field(default_factory=list[tuple[StoreStep, float]])
    held: tuple[int, int] = (0, 0)

    def store_took(self, step: StoreStep, seconds: float) -> None:
        self.took.append((step, seconds))

    def store_failed(self, step: StoreStep, kind: Fault) -> None:
        self.failed[step, kind] += 1

    def memory_holds(self, count: int, size: int) -> None:
        self.held = (count, size)

    def kinds(self, step: StoreStep = StoreStep.GET) -> set[Fault]:
        """What went wrong so far."""
        return {kind for asked, kind in self.failed if asked is step}
