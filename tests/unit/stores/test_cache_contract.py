"""What every store of cached answers does, on both kinds of event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from isthmusd.stores.cache_memory import MemoryCache
from isthmusd.stores.cache_sqlite import SqliteCache
from isthmusd.stores.cache_valkey import ValkeyCache
from isthmusd.stores.caching import CacheStats, CacheStore, Cleared

from tests.fakes.valkey import Valkey
from tests.unit.stores.cached import START, StillClock, item, name

MIB = 1024 * 1024
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as running:
        yield running


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let a test run on the loop of the fixture `runner`."""

    @functools.wraps(test)
    def played(runner: asyncio.Runner, **fixtures: Any) -> None:
        runner.run(test(**fixtures))

    own = inspect.signature(test)
    first = inspect.Parameter("runner", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    played.__signature__ = own.replace(parameters=[first, *own.parameters.values()])
    del played.__wrapped__
    return played


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(params=["memory", "sqlite", "valkey"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: StillClock, runner: asyncio.Runner
) -> Iterator[CacheStore]:
    match request.param:
        case "memory":
            opened: CacheStore = MemoryCache(64 * MIB, clock.now)
        case "sqlite":
            opened = SqliteCache(tmp_path / "data" / "cache.db", 64 * MIB, 5.0, clock.now)
        case _:
            server: Valkey = request.getfixturevalue("valkey")
            server.say("FLUSHALL")
            opened = ValkeyCache(server.url, clock.now)
    yield opened
    runner.run(opened.aclose())


@on_both_loops
async def test_an_entry_is_given_as_it_was_put(store: CacheStore) -> None:
    kept = item("a", tenant="Ütenant", model="provider/möd:el ' \" \0 %", size=1000)

    await store.put(kept)

    assert await store.get(kept.name) == kept
    assert await store.get(name("other")) is None


@on_both_loops
async def test_an_entry_takes_the_place_of_one_of_its_name(store: CacheStore) -> None:
    await store.put(item("a", size=10))
    newer = replace(item("a", tenant="other", stored_at=START - 5), sealed=b"newer")
    await store.put(newer)

    assert await store.get(newer.name) == newer
    assert await store.stats(None, None) == CacheStats(count=1, size=5)
    assert await store.stats("acme", None) == CacheStats(count=0, size=0)


@on_both_loops
async def test_several_are_put_as_one_after_the_other(store: CacheStore) -> None:
    older, newer = item("twice", size=10), replace(item("twice"), sealed=b"newer")
    alone = [item(str(number), tenant=str(number % 2), size=number * 100) for number in range(1, 30)]

    await store.put_all([older, *alone, item("gone", ttl_s=0), newer])
    await store.put_all([])

    assert [await store.get(each.name) for each in alone] == alone
    assert await store.get(newer.name) == newer
    assert await store.get(name("gone")) is None
    assert (await store.stats(None, None)).count == len(alone) + 1


@on_both_loops
async def test_an_entry_expires(store: CacheStore, clock: StillClock) -> None:
    await store.put(item("short", ttl_s=10))
    await store.put(item("long", ttl_s=20))
    await store.put(item("gone", ttl_s=0))

    clock.at += 9.9
    assert await store.get(name("short")) is not None
    clock.at += 0.1
    assert await store.get(name("short")) is None
    assert await store.get(name("long")) is not None
    assert await store.get(name("gone")) is None
    assert (await store.stats(None, None)).count == 1


@pytest.mark.parametrize(
    ("tenant", "model", "gone"),
    [
        ("acme", None, {"am", "an"}),
        (None, "m", {"am", "bm"}),
        ("acme", "m", {"am"}),
        ("", None, {"-m"}),
        ("nobody", None, set[str]()),
        (None, None, {"am", "an", "bm", "-m"}),
    ],
)
@on_both_loops
async def test_clear_removes_what_was_named_and_nothing_else(
    store: CacheStore, tenant: str | None, model: str | None, gone: set[str]
) -> None:
    kept = {
        "am": item("am", tenant="acme", model="m", size=1),
        "an": item("an", tenant="acme", model="n", size=2),
        "bm": item("bm", tenant="bar", model="m", size=4),
        "-m": item("-m", tenant="", model="", size=8),
    }
    for one in kept.values():
        await store.put(one)

    assert await store.stats(tenant, model) == CacheStats(
        count=len(gone), size=sum(len(kept[label].sealed) for label in gone)
    )
    assert await store.clear(tenant, model) == len(gone)

    assert {label for label, one in kept.items() if await store.get(one.name) is None} == gone


@on_both_loops
async def test_clear_does_not_count_what_had_expired(store: CacheStore, clock: StillClock) -> None:
    await store.put(item("a", ttl_s=1))
    await store.put(item("b"))
    clock.at += 2

    assert await store.clear(None, None) == 1
    assert await store.stats(None, None) == CacheStats(count=0, size=0)


@on_both_loops
async def test_what_is_put_after_a_clear_stays(store: CacheStore) -> None:
    await store.clear("acme", None)
    await store.put(item("a"))

    assert await store.get(name("a")) is not None


@on_both_loops
async def test_clear_leaves_notes_for_those_who_ask_since(store: CacheStore, clock: StillClock) -> None:
    await store.clear("before", None)
    none, mark = await store.cleared_since(None)
    nothing, same = await store.cleared_since(mark)
    await store.clear("acme", None)
    await store.clear(None, "m")
    clock.at += 1
    await store.clear(None, None)
    await store.clear("", "")

    notes, latest = await store.cleared_since(mark)

    assert (none, nothing, same) == ([], [], mark)
    assert notes == [
        Cleared(tenant="acme", model=None, at=START),
        Cleared(tenant=None, model="m", at=START),
        Cleared(tenant=None, model=None, at=START + 1),
        Cleared(tenant="", model="", at=START + 1),
    ]
    assert await store.cleared_since(latest) == ([], latest)


@on_both_loops
async def test_a_mark_of_before_the_first_note_is_good(store: CacheStore) -> None:
    _, mark = await store.cleared_since(None)
    await store.clear("acme", "m")

    notes, _ = await store.cleared_since(mark)

    assert [(note.tenant, note.model) for note in notes] == [("acme", "m")]


@on_both_loops
async def test_a_large_entry_is_kept_whole(store: CacheStore) -> None:
    large = item("large", size=8 * MIB)

    await store.put(large)

    assert await store.get(large.name) == large
    assert await store.stats(None, None) == CacheStats(count=1, size=8 * MIB)


@on_both_loops
async def test_a_thousand_at_once_get_what_is_theirs(store: CacheStore) -> None:
    items = [item(str(number), tenant=f"t{number % 3}") for number in range(1000)]

    await asyncio.gather(*(store.put(one) for one in items))
    found = await asyncio.gather(*(store.get(one.name) for one in items))

    assert found == items
    assert (await store.stats("t1", None)).count == 333
    assert await store.clear("t1", None) == 333
    assert (await store.stats(None, None)).count == 667


@on_both_loops
async def test_names_of_any_length_are_kept(store: CacheStore) -> None:
    long = item("long", tenant="t" * 1000, model="m" * 100_000)
    await store.put(long)

    assert await store.get(long.name) == long
    assert (await store.stats("t" * 1000, "m" * 100_000)).count == 1


@on_both_loops
async def test_lookups_that_nobody_waits_for_harm_no_others(store: CacheStore) -> None:
    items = [item(str(number), size=50_000) for number in range(100)]
    await asyncio.gather(*(store.put(one) for one in items))

    for _ in range(5):
        left = [asyncio.ensure_future(store.get(one.name)) for one in items]
        await asyncio.sleep(0.003)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    assert await asyncio.gather(*(store.get(one.name) for one in items)) == items
