"""How this process's memory of answers is bounded."""

from __future__ import annotations

import gc
import random
import tracemalloc
from dataclasses import replace

from isthmusd.stores.cache_memory import OVERHEAD, MemoryCache

from tests.unit.stores.cached import StillClock, item, name


def test_it_never_holds_more_than_its_limit() -> None:
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
    memory.forget(None, None)

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
