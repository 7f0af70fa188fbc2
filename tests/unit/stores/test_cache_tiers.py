"""The cache as calls see it: memory first, then the store; what is cleared by hand leaves both; faults harm no call."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from isthmusd.stores.cache_sqlite import SqliteCache
from isthmusd.stores.caching import CacheFault, CacheOptions, Fault, StoreStep
from isthmusd.stores.patient_cache import PatientCache
from isthmusd.stores.tiered_cache import TieredCache, open_cache, open_store

from tests.fakes.valkey import Valkey, running_valkey
from tests.unit.stores.cache_files import locking
from tests.unit.stores.cached import Counts, item, name

MIB = 1024 * 1024
SLACK_S = 0.3
"""Of a machine with other things to do; without the deadline it would be seconds."""


@dataclass(slots=True)
class RealClock:
    """This machine's, unless it stands still or is far ahead."""

    ahead_s: float = 0.0
    passing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.passing.set()

    def now(self) -> float:
        self.passing.wait()
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic()


def fresh(label: str, **changes: Any) -> Any:
    return item(label, stored_at=time.time(), **changes)


@asynccontextmanager
async def opened(options: CacheOptions) -> AsyncGenerator[tuple[TieredCache, Counts]]:
    counts = Counts()
    async with open_cache(options, RealClock(), counts) as cache:
        yield cache, counts


@pytest.fixture(params=["sqlite", "valkey"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> CacheOptions:
    """A store of each kind, with time enough for a busy machine."""
    common = CacheOptions(memory_bytes=MIB, timeout_s=5.0)
    if request.param == "sqlite":
        return replace(common, path=tmp_path / "cache.db", store_bytes=64 * MIB)
    server: Valkey = request.getfixturevalue("valkey")
    server.say("FLUSHALL")
    return replace(common, url=server.url)


async def until(is_so: Callable[[], bool], limit_s: float = 10.0) -> float:
    """Wait for something; gives how long it took."""
    began_at = time.monotonic()
    while not is_so():
        assert time.monotonic() - began_at < limit_s
        await asyncio.sleep(0.01)  # what is waited for tells nobody
    return time.monotonic() - began_at


async def stored(options: CacheOptions, *items: Any) -> None:
    store = open_store(options, RealClock())
    assert store is not None
    for one in items:
        await store.put(one)
    await store.aclose()


async def test_what_is_put_is_near_at_once_and_in_the_store_soon(options: CacheOptions) -> None:
    kept = fresh("a")
    async with opened(options) as (cache, counts):
        cache.put(kept)
        assert cache.near(kept.name) == kept.sealed
        assert await cache.get(kept.name) == kept.sealed
    async with opened(options) as (cache, _):
        assert cache.near(kept.name) is None
        assert await cache.get(kept.name) == kept.sealed
        assert cache.near(kept.name) == kept.sealed

    assert not counts.failed
    assert StoreStep.PUT in {step for step, _ in counts.took}


async def test_without_memory_everything_comes_from_the_store(options: CacheOptions) -> None:
    kept = fresh("a")
    async with opened(replace(options, memory_bytes=0)) as (cache, counts):
        cache.put(kept)
        await until(lambda: any(step is StoreStep.PUT for step, _ in counts.took))
        assert cache.near(kept.name) is None
        assert await cache.get(kept.name) == kept.sealed
        assert cache.near(kept.name) is None
        cache.refuse(kept.name, "sealed")


async def test_memory_alone_needs_no_store() -> None:
    async with opened(CacheOptions()) as (cache, counts):
        cache.put(fresh("a"))
        assert await cache.get(name("a")) is not None
        assert await cache.get(name("b")) is None
        await until(lambda: counts.held[0] == 1)
        cache.refuse(name("a"), "unreadable")
        assert await cache.get(name("a")) is None

    assert counts.failed == {(StoreStep.GET, Fault.UNREADABLE): 1}


async def test_what_is_refused_is_forgotten_and_counted_and_stays_for_the_next_one_to_replace(
    options: CacheOptions,
) -> None:
    await stored(options, fresh("a"))
    async with opened(options) as (cache, counts):
        assert await cache.get(name("a")) is not None
        cache.refuse(name("a"), "sealed")
        assert cache.near(name("a")) is None

    assert counts.failed == {(StoreStep.GET, Fault.SEALED): 1}


async def test_what_was_asked_for_anew_is_not_given_as_it_was(options: CacheOptions) -> None:
    old = fresh("a")
    newer = replace(old, stored_at=old.stored_at + 2, sealed=b"newer")
    await stored(options, old)
    async with opened(options) as (cache, _):
        assert await cache.get(old.name) == old.sealed
        cache.renewed(old.name, old.stored_at + 1)
        assert cache.near(old.name) is None
        assert await cache.get(old.name) is None, "the store has the old one still"
        await stored(options, newer)
        assert await cache.get(old.name) == newer.sealed


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_what_is_cleared_by_hand_leaves_memories_within_a_second(options: CacheOptions, loop: Any) -> None:
    mine, others, promoted = fresh("a"), fresh("b", tenant="bar"), fresh("c")

    async def scene() -> float:
        await stored(options, promoted)
        async with opened(options) as (cache, _):
            cache.put(mine)
            cache.put(others)
            assert await cache.get(promoted.name) is not None
            await asyncio.sleep(0.2)
            store = open_store(options, RealClock())
            assert store is not None
            assert await store.clear("acme", None) == 2
            await store.aclose()
            took_s = await until(lambda: cache.near(mine.name) is None)
            assert cache.near(promoted.name) is None
            assert cache.near(others.name) is not None
            assert await cache.get(mine.name) is None

            cache.put(mine)
            assert cache.near(mine.name) is None
            again = fresh("a")
            cache.put(again)
            assert cache.near(mine.name) == again.sealed
            return took_s

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(scene()) < 1.0 + SLACK_S


async def test_who_heard_nothing_for_long_trusts_its_memory_no_more(options: CacheOptions) -> None:
    clock, kept = RealClock(), fresh("a", ttl_s=9999)
    async with open_cache(options, clock, Counts()) as cache:
        cache.put(kept)
        await asyncio.sleep(0.2)
        clock.ahead_s = 3000
        await until(lambda: cache.near(kept.name) is None)
        assert await cache.get(kept.name) == kept.sealed
        assert cache.near(kept.name) == kept.sealed


async def test_who_hears_late_for_the_first_time_trusts_its_memory_no_more(tmp_path: Path) -> None:
    with running_valkey() as server:
        server.stop()
        async with opened(CacheOptions(url=server.url, timeout_s=5.0)) as (cache, counts):
            old = fresh("a")
            cache.put(old)
            await asyncio.sleep(2.2)
            server.start()
            await stored(CacheOptions(url=server.url), fresh("b"))
            await until(lambda: cache.near(old.name) is None)
            await until(lambda: counts.took[-1][0] is StoreStep.NEWS)
            assert await cache.get(name("b")) is not None


@contextmanager
def killed(tmp_path: Path) -> Iterator[CacheOptions]:
    with running_valkey() as server:
        server.stop()
        yield CacheOptions(url=server.url)


@contextmanager
def held_still(tmp_path: Path) -> Iterator[CacheOptions]:
    with running_valkey() as server:
        server.pause()
        yield CacheOptions(url=server.url)


@contextmanager
def wanting_credentials(tmp_path: Path) -> Iterator[CacheOptions]:
    with running_valkey("--requirepass", "x") as server:
        yield CacheOptions(url=server.url)


@contextmanager
def garbled(tmp_path: Path) -> Iterator[CacheOptions]:
    with running_valkey() as server:
        server.say("SET", f"isthmus:1:e:{name('a').hex()}", "garbage")
        yield CacheOptions(url=server.url)


@contextmanager
def held_by_another(tmp_path: Path) -> Iterator[CacheOptions]:
    options = CacheOptions(path=tmp_path / "cache.db")
    asyncio.run(stored(options, fresh("b")))
    assert options.path is not None
    with locking(options.path, "PRAGMA locking_mode = EXCLUSIVE;BEGIN IMMEDIATE;PRAGMA user_version = 1;COMMIT"):
        yield options


@contextmanager
def damaged(tmp_path: Path) -> Iterator[CacheOptions]:
    options = CacheOptions(path=tmp_path / "cache.db")
    asyncio.run(stored(options, *(fresh(str(number), size=5000) for number in range(20))))
    with (tmp_path / "cache.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096 * 20)
    yield options


@contextmanager
def nowhere(tmp_path: Path) -> Iterator[CacheOptions]:
    yield CacheOptions(path=Path("/proc/cache.db"))


FAULTS = {
    killed: {Fault.UNREACHABLE},
    held_still: {Fault.TIMEOUT},
    wanting_credentials: {Fault.REFUSED},
    # To begin another file in its place may take a busy machine longer than a call waits.
    garbled: {Fault.CORRUPT, Fault.TIMEOUT},
    held_by_another: {Fault.BUSY, Fault.TIMEOUT},
    damaged: {Fault.CORRUPT, Fault.TIMEOUT},
    nowhere: {Fault.REFUSED},
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_lookup_in_a_broken_store_is_a_miss_in_time_and_counted(fault: Any, loop: Any, tmp_path: Path) -> None:
    async def scene(options: CacheOptions) -> Counts:
        async with opened(options) as (cache, counts):
            began_at = time.monotonic()
            assert await cache.get(name("a")) is None
            assert time.monotonic() - began_at < 0.05 + SLACK_S
            for number in range(20):
                assert await cache.get(name(str(number + 100))) is None
            assert time.monotonic() - began_at < 2 * (0.05 + SLACK_S)
            cache.put(fresh("x"))
            assert await cache.get(name("x")) is not None
        return counts

    with fault(tmp_path) as options, asyncio.Runner(loop_factory=loop) as runner:
        counts = runner.run(scene(options))

    assert counts.kinds() | counts.kinds(StoreStep.NEWS) <= FAULTS[fault] | {Fault.RESTING}
    assert (counts.kinds() | counts.kinds(StoreStep.NEWS)) & FAULTS[fault]


async def test_a_thread_that_hangs_holds_up_no_lookup(tmp_path: Path) -> None:
    clock, counts = RealClock(), Counts()
    store = SqliteCache(tmp_path / "cache.db", 64 * MIB, 0.05, clock.now)
    patient = PatientCache(store, 0.05, clock, counts)
    await store.put(fresh("a"))
    clock.passing.clear()
    try:
        began_at = time.monotonic()
        found = await asyncio.gather(*(patient.get(name("a")) for _ in range(50)))
        assert time.monotonic() - began_at < 0.05 + SLACK_S
        assert set(found) == {None}
        assert counts.failed == {(StoreStep.GET, Fault.TIMEOUT): 50}
    finally:
        clock.passing.set()

    await asyncio.sleep(0.3)
    assert await patient.get(name("a")) is not None
    await patient.aclose()


async def test_closing_does_not_wait_for_a_thread_that_hangs(tmp_path: Path) -> None:
    clock = RealClock()
    store = SqliteCache(tmp_path / "cache.db", 64 * MIB, 0.05, clock.now)
    await store.put(fresh("a"))
    clock.passing.clear()
    try:
        asked = asyncio.ensure_future(store.get(name("a")))
        await asyncio.sleep(0.05)
        began_at = time.monotonic()
        await store.aclose()
        assert time.monotonic() - began_at < 2 + SLACK_S
    finally:
        clock.passing.set()
    assert await asked is not None


async def test_a_store_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with running_valkey() as server:
        async with opened(CacheOptions(memory_bytes=0, url=server.url)) as (cache, counts):
            kept = fresh("a")
            cache.put(kept)
            await until(lambda: any(step is StoreStep.PUT for step, _ in counts.took))
            assert await cache.get(kept.name) == kept.sealed
            server.pause()
            assert await cache.get(kept.name) is None
            assert await cache.get(kept.name) is None
            server.go_on()
            assert {Fault.TIMEOUT, Fault.RESTING} <= counts.kinds()
            deadline = time.monotonic() + 10
            while await cache.get(kept.name) is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)


def test_the_clear_of_one_process_reaches_the_memory_of_another(options: CacheOptions) -> None:
    """Two loops in two threads are two processes as far as they can tell."""
    kept = fresh("a")
    is_kept, is_cleared = threading.Event(), threading.Event()
    took: list[float] = []

    async def other() -> None:
        async with opened(options) as (cache, counts):
            cache.put(kept)
            await until(lambda: any(step is StoreStep.PUT for step, _ in counts.took))
            is_kept.set()
            await asyncio.to_thread(is_cleared.wait)
            took.append(await until(lambda: cache.near(kept.name) is None))

    async def operator() -> None:
        store = open_store(options, RealClock())
        assert store is not None
        assert await store.clear(None, "m") == 1
        await store.aclose()

    thread = threading.Thread(target=functools.partial(asyncio.run, other()))
    thread.start()
    assert is_kept.wait(20)
    asyncio.run(operator())
    is_cleared.set()
    thread.join()

    assert took[0] < 1.0 + SLACK_S


async def test_open_store_gives_what_raises() -> None:
    assert open_store(CacheOptions(), RealClock()) is None
    store = open_store(CacheOptions(path=Path("/proc/none.db")), RealClock())
    assert store is not None
    with pytest.raises(CacheFault):
        await store.stats(None, None)
    await store.aclose()
