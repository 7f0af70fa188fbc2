"""How long a worker's memory counts beside a store, and which of two answers is the newer one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from isthmusd.core.entry import CacheItem
from isthmusd.stores.cache_memory import MemoryCache
from isthmusd.stores.caching import Cleared, Fault, StoreStep
from isthmusd.stores.patient_cache import QUEUE_BYTES, PatientCache
from isthmusd.stores.tiered_cache import TieredCache

from tests.unit.stores.cached import Counts, StillClock, item, name

MIB = 1024 * 1024


class TickingClock(StillClock):
    """A still clock by which nothing takes any time."""

    def monotonic(self) -> float:
        return self.at


class OddStore(MemoryCache):
    """Gives what it is told to, whatever that is."""

    entry: Any = None
    told: Any = ([], "0")

    async def get(self, name: bytes) -> CacheItem | None:
        return self.entry

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        return self.told


class SlowStore(MemoryCache):
    """Gives what it had when it was asked, a moment later."""

    async def get(self, name: bytes) -> CacheItem | None:
        found = await super().get(name)
        await asyncio.sleep(0.02)
        return found


def before(store: MemoryCache, clock: TickingClock) -> TieredCache:
    counts = Counts()
    return TieredCache(MemoryCache(MIB, clock.now), PatientCache(store, 5.0, clock, counts), counts, clock.now)


async def test_memory_does_not_trust_itself_for_long_where_others_may_share_the_store() -> None:
    clock = TickingClock()
    shared = before(MemoryCache(MIB, clock.now), clock)
    alone = TieredCache(MemoryCache(MIB, clock.now), None, Counts(), clock.now)
    for each in (shared, alone):
        each.put(item("a", ttl_s=600))

    clock.at += 59
    assert shared.near(name("a")) is not None
    clock.at += 2
    assert shared.near(name("a")) is None
    assert alone.near(name("a")) is not None


async def test_what_was_put_while_the_store_was_asked_is_newer_than_what_it_gives() -> None:
    clock = TickingClock()
    store = SlowStore(MIB, clock.now)
    old = item("a", ttl_s=600)
    newer = replace(old, stored_at=old.stored_at + 2, sealed=b"newer")
    await store.put_all([old])
    async with before(store, clock) as cache:
        asked = asyncio.create_task(cache.get(old.name))
        await asyncio.sleep(0.01)
        cache.put(newer)

        assert await asked == newer.sealed
        assert cache.near(old.name) == newer.sealed


async def test_what_has_expired_is_not_counted_for_ever() -> None:
    clock, counts = TickingClock(), Counts()
    memory = MemoryCache(MIB, clock.now)
    async with TieredCache(memory, PatientCache(MemoryCache(MIB, clock.now), 5.0, clock, counts), counts, clock.now):
        memory.keep(item("a", ttl_s=10))
        await asyncio.sleep(1.1)
        assert counts.held == (1, memory.size)
        clock.at += 10
        await asyncio.sleep(1.1)

        assert counts.held == (0, 0)


async def test_a_note_that_is_none_harms_no_call_and_no_other_note() -> None:
    clock, odd = TickingClock(), cast("Any", "soon")
    store = OddStore(MIB, clock.now)
    notes = [Cleared(tenant=None, model=None, at=odd), Cleared(tenant="acme", model=None, at=clock.at + 1)]
    store.told = (notes, "1")
    store.entry = item("a", tenant="bar")
    async with before(store, clock) as cache:
        await asyncio.sleep(0.05)
        cache.put(item("b", tenant="bar"))
        cache.put(item("c"))

        assert await cache.get(name("a")) == store.entry.sealed
        assert cache.near(name("b")) is not None
        assert cache.near(name("c")) is None


async def test_an_entry_that_is_none_is_a_miss_and_counted() -> None:
    clock, counts = TickingClock(), Counts()
    store = OddStore(MIB, clock.now)
    store.entry = replace(item("a"), stored_at=None)
    store.told = ([Cleared(tenant=None, model=None, at=clock.at)], "1")
    async with TieredCache(None, PatientCache(store, 5.0, clock, counts), counts, clock.now) as cache:
        await asyncio.sleep(0.05)

        assert await cache.get(name("a")) is None
        cache.put(store.entry)

    assert counts.failed == {(StoreStep.GET, Fault.BROKEN): 1, (StoreStep.PUT, Fault.BROKEN): 1}


async def test_who_could_not_hear_once_asks_again() -> None:
    clock, counts = TickingClock(), Counts()
    store, memory = OddStore(MIB, clock.now), MemoryCache(MIB, clock.now)
    store.told = None, 1, 2
    memory.keep(item("a"))
    async with TieredCache(memory, PatientCache(store, 5.0, clock, counts), counts, clock.now) as cache:
        await asyncio.sleep(0.05)
        assert counts.failed == {(StoreStep.NEWS, Fault.BROKEN): 1}
        store.told = ([Cleared(tenant=None, model=None, at=clock.at)], "1")
        await asyncio.sleep(1.1)

        assert cache.near(name("a")) is None


async def test_a_clear_by_a_clock_that_was_far_ahead_keeps_out_nothing_that_comes_after_it() -> None:
    clock, counts = TickingClock(), Counts()
    store, memory = OddStore(MIB, clock.now), MemoryCache(MIB, clock.now)
    store.told = ([Cleared(tenant=None, model=None, at=clock.at + 301)], "1")
    memory.keep(item("old"))
    async with TieredCache(memory, PatientCache(store, 5.0, clock, counts), counts, clock.now) as cache:
        await asyncio.sleep(0.05)
        assert cache.near(name("old")) is None

        cache.put(item("a"))
        assert cache.near(name("a")) is not None


@pytest.mark.parametrize(("tenant", "model"), [(None, None), ("acme", None), (None, "m"), ("acme", "m")])
async def test_whatever_waits_and_was_cleared_makes_room_and_costs_no_write(
    tenant: str | None, model: str | None
) -> None:
    clock, counts = TickingClock(), Counts()
    store = MemoryCache(256 * MIB, clock.now)
    patient = PatientCache(store, 5.0, clock, counts)
    for number in range(3000):
        patient.put(item(str(number)))
    patient.forget(Cleared(tenant=tenant, model=model, at=clock.at + 1))
    patient.forget(Cleared(tenant=tenant, model=model, at=clock.at - 1))

    writing = asyncio.create_task(patient.write())
    await patient.flush()
    assert (len(store), counts.took) == (0, [])
    for number in range(3):
        patient.put(item(str(number), size=QUEUE_BYTES // 4))
    await patient.flush()
    writing.cancel()

    assert (len(store), counts.failed) == (3, {})
