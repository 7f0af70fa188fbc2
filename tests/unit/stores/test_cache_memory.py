"""How this process's memory of answers is bounded."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from dataclasses import replace

import pytest
from isthmusd.stores.cache_memory import OVERHEAD, STEP, MemoryCache

from tests.unit.stores.cached import StillClock, item, name


async def test_it_never_holds_more_than_its_limit() -> None:
    rng, clock = random.Random(5), StillClock()
    memory = MemoryCache(50_000, clock.now)

    for _ in range(3000):
        label = str(rng.randrange(200))
        match rng.randrange(10):
            case 0:
                memory.drop(name(label))
            case 1:
                memory.forget(f"t{rng.randrange(50)}", None)
            case 2:
                memory.peek(name(label))
            case _:
                memory.keep(item(label, tenant=f"t{rng.randrange(50)}", size=rng.randrange(20_000)))
        assert memory.size <= 50_000
    await memory.clear(None, None)

    assert (memory.size, len(memory)) == (0, 0)


def test_the_least_recently_used_goes_first() -> None:
    one = item("a", size=1000)
    memory = MemoryCache(3 * (OVERHEAD + 1000 + 32 + 5), StillClock().now)
    for label in "abc":
        memory.keep(item(label, size=1000))

    memory.peek(one.name)
    memory.keep(item("d", size=1000))
    memory.keep(item("c", size=1000))
    memory.keep(item("e", size=1000))

    assert {label for label in "abcde" if memory.peek(name(label))} == {"d", "c", "e"}


def test_an_entry_larger_than_all_the_room_drives_nothing_out() -> None:
    memory = MemoryCache(10_000, StillClock().now)
    memory.keep(item("a"))

    memory.keep(item("b", size=10_000))

    assert memory.peek(name("a")) is not None
    assert memory.peek(name("b")) is None


def test_what_is_too_large_now_does_not_leave_what_was_there_before() -> None:
    memory = MemoryCache(10_000, StillClock().now)
    memory.keep(item("a"))

    memory.keep(replace(item("a"), sealed=bytes(10_000)))

    assert memory.peek(name("a")) is None


def test_the_room_of_an_expired_entry_is_given_back_when_it_is_asked_for() -> None:
    clock = StillClock()
    memory = MemoryCache(10_000, clock.now)
    memory.keep(item("a", ttl_s=10))
    clock.at += 10

    assert memory.peek(name("a")) is None
    assert memory.size == 0


def test_the_overhead_is_no_less_than_what_python_takes() -> None:
    memory = MemoryCache(1 << 30, StillClock().now)
    gc.collect()
    tracemalloc.start()

    for number in range(5000):
        memory.keep(
            item(
                f"entry {number}",
                tenant=f"tenant {number}",
                model=f"model {number}",
                stored_at=number + 0.5,
                ttl_s=1e10,
            )
        )
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(memory) == 5000
    assert taken <= memory.size


@pytest.mark.parametrize(
    ("tenant", "model", "left"),
    [
        ("acme", None, {"bm", "bn"}),
        (None, "m", {"an", "bn"}),
        ("acme", "m", {"an", "bm", "bn"}),
        (None, None, set[str]()),
    ],
)
def test_what_is_forgotten_is_not_given_before_its_room_is_given_back(
    tenant: str | None, model: str | None, left: set[str]
) -> None:
    memory = MemoryCache(1 << 20, StillClock().now)
    kept = [item("am"), item("an", model="n"), item("bm", tenant="bar"), item("bn", tenant="bar", model="n")]
    for one in kept:
        memory.keep(one)

    memory.forget(tenant, model)

    assert len(memory) == 4
    assert {label for label in ("am", "an", "bm", "bn") if memory.peek(name(label))} == left


async def test_what_comes_after_a_forgetting_stays() -> None:
    memory = MemoryCache(1 << 20, StillClock().now)
    for label in "abc":
        memory.keep(item(label))
    memory.forget("acme", None)
    memory.keep(item("a", size=7))
    memory.keep(item("d"))

    await memory.tidy(0)

    assert memory.peek(name("a")) == item("a", size=7)
    assert memory.peek(name("d")) == item("d")
    assert len(memory) == 2


async def test_a_full_memory_is_forgotten_in_small_steps() -> None:
    memory = MemoryCache(1 << 30, StillClock().now)
    for number in range(20 * STEP):
        memory.keep(item(str(number), tenant=f"t{number % 2}", size=1))

    longest = 0
    memory.forget("t1", None)
    assert len(memory) == 20 * STEP
    tidying = asyncio.ensure_future(memory.tidy(0))
    while not tidying.done():
        before = len(memory)
        await asyncio.sleep(0)
        longest = max(longest, before - len(memory))

    assert 0 < longest <= STEP
    assert await tidying == 10 * STEP == len(memory)


async def test_what_has_expired_is_let_go_of_without_being_asked_for() -> None:
    clock = StillClock()
    memory = MemoryCache(1 << 20, clock.now)
    for number in range(3 * STEP):
        memory.keep(item(str(number), ttl_s=10))
    for number in range(STEP):
        memory.keep(item(f"long {number}", ttl_s=20))
    clock.at += 10

    await memory.tidy(STEP)
    assert len(memory) == 3 * STEP
    await memory.tidy(1 << 20)
    assert len(memory) == STEP


def test_names_that_come_and_go_leave_nothing_behind() -> None:
    memory = MemoryCache(1 << 20, StillClock().now)
    memory.keep(item("stays"))
    for label in ("a", "b") * 500:
        memory.keep(item(label))
        memory.drop(name(label))
    gc.collect()
    tracemalloc.start()

    for label in ("a", "b") * 5000:
        memory.keep(item(label))
        memory.drop(name(label))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken < 10_000
