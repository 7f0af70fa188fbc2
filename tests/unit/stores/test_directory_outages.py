"""The store is slow or away: what is remembered counts for a time, nobody waits for long, and all heals by itself."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from isthmusd.core.errors import Unavailable
from isthmusd.stores import directory as module
from isthmusd.stores.asking import Late
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.provision import provision

from tests.fakes.callers import SECRET
from tests.unit.stores.remembering import POLL_S, TENANT, World, opened

TIMEOUT_S = 0.2
STALE_S = 60.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(provision(tmp_path, url=None, secret=SECRET).url, timeout_s=TIMEOUT_S, stale_s=STALE_S) as made:
        made.add_key("isk-1")
        made.add_key("isk-2")
        yield made


async def refusal(directory: CachedDirectory, key_id: str = "isk-2") -> float:
    """Look up what is not remembered, and demand to be refused; gives how long it took."""
    began = time.perf_counter()
    with pytest.raises(Unavailable) as caught:
        await directory.key(key_id)
    assert (caught.value.http_status, caught.value.code) == (503, "store_unavailable")
    return time.perf_counter() - began


async def noticed(world: World) -> None:
    """Wait until the watch had time to ask."""
    await asyncio.sleep(TIMEOUT_S + 5 * POLL_S)


async def healed(directory: CachedDirectory, key_id: str = "isk-2") -> bool:
    """Look a key up until it is given."""
    for _ in range(200):
        try:
            return await directory.key(key_id) is not None
        except Unavailable:
            await asyncio.sleep(POLL_S)
    return False


async def test_r20_what_is_remembered_counts_while_the_store_is_away(world: World) -> None:
    async with world.directory() as directory:
        assert await directory.key("isk-1") is not None
        assert await directory.key("isk-0") is None
        world.database.away = True
        await noticed(world)

        assert await directory.key("isk-1") is not None
        assert await directory.key("isk-0") is None
        await refusal(directory)


async def test_r20_what_is_remembered_counts_no_longer_than_was_said(world: World) -> None:
    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.away = True
        await noticed(world)
        world.clock.at += STALE_S - 0.001
        assert await directory.key("isk-1") is not None

        world.clock.at += 0.001

        await refusal(directory, "isk-1")
        with pytest.raises(Unavailable):
            await directory.tenant(TENANT)
        with pytest.raises(Unavailable):
            await directory.credential("tmp-1")
        with pytest.raises(Unavailable):
            await directory.tenant_of("https://issuer", "somebody")


async def test_r20_it_heals_by_itself_and_forgets_what_changed_meanwhile(world: World) -> None:
    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.away = True
        await noticed(world)
        await refusal(directory)
        world.clock.at += 2 * STALE_S
        world.revoke_key("isk-1")
        world.database.away = False

        assert await healed(directory)
        key = await directory.key("isk-1")

    assert key is not None
    assert key.revoked_at is not None


async def test_r20_a_store_that_is_away_from_the_start_refuses_at_once(world: World) -> None:
    world.database.away = True

    async with world.directory() as directory:
        await refusal(directory)
        assert await refusal(directory) < TIMEOUT_S / 2
        world.database.away = False

        assert await healed(directory)


async def test_r20_a_slow_store_costs_a_bounded_wait_and_few_threads(world: World) -> None:
    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.readers.clear()
        world.database.open.clear()
        took = await asyncio.gather(*(refusal(directory, f"isk-{number}") for number in range(2, 200)))
        await noticed(world)
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        later = [await refusal(directory, f"isk-{number}") for number in range(200) if number != 1]
        await asyncio.sleep(3 * TIMEOUT_S)

        assert max(took) < TIMEOUT_S + 0.5
        assert max(later) < TIMEOUT_S / 2
        assert await directory.key("isk-1") is not None
        assert len(asyncio.all_tasks()) <= tasks
        assert threading.active_count() <= threads
        assert len(world.database.readers) <= 3

        world.database.open.set()
        assert await healed(directory)


async def test_r20_the_watch_alone_asks_a_store_that_is_away(world: World) -> None:
    async with world.directory(poll_s=60.0) as directory:
        await directory.key("isk-1")
        world.database.away = True
        await refusal(directory)
        count = world.database.asked_count

        for number in range(100):
            await refusal(directory, f"isk-{number + 2}")

    assert world.database.asked_count == count


async def test_r20_an_outage_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "isthmusd.stores.directory")

    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.away = True
        await noticed(world)
        world.database.away = False
        assert await healed(directory)
        await noticed(world)

    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the store does not answer",
        "the store answers again",
    ]


async def test_a_mistake_in_the_watch_does_not_end_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.fault = LookupError("nobody foresaw this")
        await noticed(world)

        await refusal(directory)
        assert await directory.key("isk-1") is not None
        world.database.fault = None

        assert await healed(directory)

    assert "nobody foresaw this" in caplog.text


async def test_r28_revocations_do_not_wait_behind_reads(world: World) -> None:
    """However many wait for a slow store, the watch goes on."""
    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.slowness = itertools.repeat(TIMEOUT_S / 2)
        reads = [asyncio.create_task(directory.key(f"isk-{number}")) for number in range(2, 100)]
        await asyncio.sleep(POLL_S)
        await asyncio.to_thread(world.revoke_key, "isk-1")
        await asyncio.sleep(10 * POLL_S)
        world.database.slowness = itertools.repeat(0.0)
        world.clock.at += 1.0
        key = await directory.key("isk-1")
        ended = await asyncio.gather(*reads, return_exceptions=True)
        # Those that came too late do not mean that the store is away.
        after = await directory.key("isk-2")

    assert key is not None
    assert key.revoked_at is not None
    assert {type(each) for each in ended} <= {Late, type(None), type(key)}
    assert after is not None


async def test_too_many_different_reads_at_once_are_refused(world: World) -> None:
    async with world.directory(timeout_s=5.0) as directory:
        await directory.key("isk-1")
        world.database.open.clear()
        waiting = [asyncio.create_task(directory.key(f"isk-{number}")) for number in range(2, module.READS + 2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        took = await refusal(directory, "isk-x")
        world.database.open.set()
        found = await asyncio.gather(*waiting)

    assert took < 1.0
    assert sum(key is not None for key in found) == 1


async def test_leaving_while_a_read_is_under_way_lets_it_end(world: World) -> None:
    async with world.directory() as directory:
        await directory.key("isk-1")
        world.database.slowness = itertools.repeat(0.05)
        reading = asyncio.create_task(directory.key("isk-2"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert await reading is not None
