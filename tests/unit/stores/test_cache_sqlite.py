"""The cache's SQLite file: bounded, shared, private, and never in the way."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from isthmusd.stores import cache_sqlite
from isthmusd.stores.cache_sqlite import USED_S
from isthmusd.stores.caching import CacheFault, CacheStats, Fault

from tests.unit.stores.cache_files import MIB, answers, is_sound, kept, looked_into, opened, size_of
from tests.unit.stores.cached import START, StillClock, item, name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cache.db"


async def test_a_restart_loses_nothing(path: Path) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
    async with opened(path) as store:
        assert await store.get(name("a")) == item("a")


async def test_the_file_is_its_owners_alone(path: Path) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}

    assert {"cache.db", "cache.db-wal", "cache.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_nothing_is_made_before_the_first_use(path: Path) -> None:
    async with opened(path):
        pass

    assert not path.parent.exists()


@pytest.mark.parametrize("size", [200, 5_000, 300_000])
async def test_the_file_never_grows_beyond_its_limit(path: Path, size: int) -> None:
    limit = 2 * MIB
    async with opened(path, limit=limit) as store:
        for number in range(3 * limit // max(size, 1000)):
            await store.put(item(str(number), size=size))
            assert size_of(path) <= limit
        assert await store.get(name(str(number))) is not None
        held = await store.stats(None, None)
    assert is_sound(path)
    with looked_into(path) as connection:
        assert connection.execute("SELECT count(*) FROM sealed_1").fetchone() == (held.count,)

    assert size_of(path) <= limit
    assert held.size > limit * (0.15 if size == 200 else 0.5)


@pytest.mark.parametrize("size", [200, 5_000, 300_000])
async def test_the_file_never_grows_beyond_its_limit_when_several_are_put(path: Path, size: int) -> None:
    limit, together = 2 * MIB, 20
    async with opened(path, limit=limit) as store:
        for first in range(0, 3 * limit // max(size, 1000), together):
            await store.put_all([item(str(number), size=size) for number in range(first, first + together)])
            assert size_of(path) <= limit
        assert await store.get(name(str(first + together - 1))) is not None
    assert is_sound(path)


async def test_one_that_is_too_long_keeps_no_others_out(path: Path) -> None:
    async with opened(path, limit=MIB) as store:
        with pytest.raises(CacheFault) as failed:
            await store.put_all([item("a", size=MIB), item("b")])
        assert failed.value.kind is Fault.DROPPED
        assert await store.get(name("b")) == item("b")


async def test_what_has_expired_goes_first_then_what_was_used_least_recently(path: Path) -> None:
    clock = StillClock()
    async with opened(path, limit=MIB, clock=clock) as store:
        await store.put(item("oldest", size=200_000, ttl_s=7 * USED_S))
        clock.at += 1
        await store.put(item("old", size=200_000, ttl_s=7 * USED_S))
        clock.at += 1
        await store.put(item("expires", size=200_000, ttl_s=USED_S))
        clock.at += 2 * USED_S
        assert await store.get(name("oldest")) is not None

        await store.put(item("new", size=400_000, stored_at=clock.at))
        left = kept(path, "oldest", "old", "expires", "new")
        await store.put(item("newer", size=200_000, stored_at=clock.at))
        after = kept(path, "oldest", "old", "new", "newer")

    assert left == {"oldest", "old", "new"}
    assert after == {"oldest", "new", "newer"}


async def test_what_has_expired_is_deleted_without_need(path: Path) -> None:
    clock = StillClock()
    async with opened(path, clock=clock) as store:
        for number in range(100):
            await store.put(item(str(number), ttl_s=10))
        clock.at += 61
        for number in range(4):
            await store.put(item(f"new {number}", stored_at=clock.at))

    assert kept(path, *(str(number) for number in range(100))) == set()


async def test_lookups_write_nothing(path: Path) -> None:
    clock = StillClock()
    async with opened(path, clock=clock) as store:
        await store.put(item("a", ttl_s=9 * USED_S))
        clock.at += 2 * USED_S
        with looked_into(path) as connection:
            before = connection.execute("PRAGMA data_version").fetchone()
            for _ in range(10):
                await store.get(name("a"))
            assert connection.execute("PRAGMA data_version").fetchone() == before
            await store.put(item("b", stored_at=clock.at))
            used = dict(connection.execute("SELECT name, used_at FROM entries_1").fetchall())

    assert used == {name("a"): clock.at, name("b"): clock.at}


async def test_a_lowered_limit_makes_the_file_smaller(path: Path) -> None:
    async with opened(path) as store:
        for number in range(40):
            await store.put(item(str(number), size=200_000))
    assert size_of(path) > 6 * MIB
    async with opened(path, limit=2 * MIB) as store:
        for number in range(100, 110):
            await store.put(item(str(number), size=200_000))
        assert await store.get(name("109")) is not None

    assert size_of(path) <= 2 * MIB


async def test_an_entry_that_is_too_large_is_not_kept(path: Path) -> None:
    async with opened(path, limit=MIB) as store:
        await store.put(item("a"))

        assert await answers(store.put(item("large", size=MIB))) is Fault.DROPPED
        assert await store.get(name("a")) is not None


async def test_a_text_that_is_none_is_not_kept(path: Path) -> None:
    async with opened(path) as store:
        assert await answers(store.put(item("a", model="\ud800"))) is Fault.UNREADABLE
        await store.put(item("b"))


async def test_what_was_stored_before_a_clear_is_not_put_after_it(path: Path) -> None:
    clock = StillClock()
    async with opened(path, clock=clock) as store:
        await store.put(item("others", tenant="bar"))
        clock.at += 10
        await store.clear("acme", None)
        await store.put(item("late", stored_at=START + 9))
        await store.put(item("model", tenant="bar", stored_at=START + 9))
        await store.put(item("new", stored_at=START + 11))

        found = {label for label in ("others", "late", "model", "new") if await store.get(name(label))}

    assert found == {"others", "model", "new"}


async def test_notes_are_kept_for_an_hour(path: Path) -> None:
    clock = StillClock()
    async with opened(path, clock=clock) as store:
        _, mark = await store.cleared_since(None)
        await store.clear("early", None)
        clock.at += 3601
        await store.clear("late", None)
        notes, _ = await store.cleared_since(mark)

    assert [note.tenant for note in notes] == ["late"]


async def test_what_other_programs_put_into_a_column_is_cleared_too(path: Path) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
        await store.put(item("b"))
        with looked_into(path) as connection:
            connection.execute("UPDATE entries_1 SET expires_at = 'soon' WHERE name = ?", (name("a"),))
            connection.execute("UPDATE entries_1 SET size = 'large' WHERE name = ?", (name("b"),))

        await store.clear(None, None)

        assert kept(path, "a", "b") == set()


def test_no_statement_needs_a_newer_sqlite_than_3_31() -> None:
    said = [text for text in vars(cache_sqlite).values() if isinstance(text, str)]

    assert [text for text in said if " RETURNING " in text] == []


@pytest.mark.parametrize("odd", [None, "soon", b"soon"])
async def test_a_clear_by_a_clock_that_was_far_ahead_keeps_out_nothing_that_comes_after_it(
    path: Path, odd: object
) -> None:
    clock = StillClock(START + 86_400)
    async with opened(path, clock=clock) as store:
        await store.clear("acme", None)
        if odd is not None:
            with looked_into(path) as connection:
                connection.execute("UPDATE cleared_1 SET at = ?", (odd,))
        clock.at = START
        _, mark = await store.cleared_since(None)
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")

        await store.clear("zoo", None)
        notes, _ = await store.cleared_since(mark)
        assert [note.tenant for note in notes] == ["zoo"]

        clock.at = START + 86_399
        late = item("late", stored_at=clock.at - 1)
        await store.put(late)
        assert await store.get(late.name) == late


async def test_a_clear_by_a_clock_that_is_a_little_ahead_counts(path: Path) -> None:
    clock = StillClock(START + 200)
    async with opened(path, clock=clock) as store:
        await store.clear("acme", None)
        clock.at = START
        await store.put(item("a"))

        assert await store.get(name("a")) is None


async def test_notes_that_come_after_all_were_deleted_are_new_to_who_knows_the_old(path: Path) -> None:
    clock = StillClock(START + 86_400)
    async with opened(path, clock=clock) as store:
        await store.clear("ahead", None)
        _, mark = await store.cleared_since(None)
        for _ in range(3):
            clock.at = START
            await store.put(item("a"))
            clock.at += 4000
            await store.put(item("b", stored_at=clock.at))
        await store.clear("acme", None)

        notes, _ = await store.cleared_since(mark)

    assert [note.tenant for note in notes] == ["acme"]


WORK = """
import asyncio, hashlib, sys, time
from pathlib import Path
from isthmusd.core.entry import CacheItem
from isthmusd.stores.cache_sqlite import SqliteCache

async def work(path, seed, count):
    store = SqliteCache(Path(path), 4 * 1024 * 1024, 20.0, lambda: 1_800_000_000.0)
    wrong = 0
    for number in range(count):
        label = f"{number % 50}"
        key = hashlib.sha256(label.encode()).digest()
        await store.put(CacheItem(name=key, tenant="t", model="m", sealed=key * 1000, stored_at=1_800_000_000.0,
                                  expires_at=1_800_000_600.0))
        found = await store.get(hashlib.sha256(f"{(number * 7 + seed) % 50}".encode()).digest())
        wrong += found is not None and found.sealed != found.name * 1000
    await store.aclose()
    print("wrong", wrong)

asyncio.run(work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def working(path: Path, seed: int, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WORK, str(path), str(seed), str(count)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_processes_share_a_file_from_its_making_on(path: Path) -> None:
    workers = [working(path, seed, 150) for seed in range(3)]

    said = [worker.communicate(timeout=60)[0].strip() for worker in workers]

    assert said == [b"wrong 0"] * 3
    assert is_sound(path)
    with looked_into(path) as connection:
        assert connection.execute("SELECT count(*) FROM entries_1").fetchone() == (50,)


async def test_a_process_that_is_killed_leaves_a_sound_file(path: Path) -> None:
    worker = working(path, 1, 100_000)
    try:
        async with asyncio.timeout(30):
            while size_of(path) < 100_000:  # noqa: ASYNC110 of another process
                await asyncio.sleep(0.01)
    finally:
        worker.kill()
        worker.communicate()

    async with opened(path) as store:
        found = await store.stats(None, None)
        await store.put(item("after"))

    assert is_sound(path)
    assert found.count > 0
    assert found == CacheStats(count=found.count, size=found.count * 32_000)
