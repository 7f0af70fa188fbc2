"""What the cache's SQLite file does when it is damaged, not ours, locked, or when the disk takes no more."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from isthmusd.stores.caching import LARGEST_BYTES, Fault

from tests.unit.stores.cache_files import MIB, answers, is_sound, locking, looked_into, opened, size_of
from tests.unit.stores.cached import item, name

SCRIBBLED = b"\xa5" * 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cache.db"


def scribble(path: Path, keep_header: bool) -> None:
    """Damage the file under whoever has it open."""
    with path.open("r+b") as file:
        file.seek(4096 if keep_header else 0)
        file.write(SCRIBBLED * (size_of(path) // 4096 - keep_header))


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)


def read(path: Path) -> bytes:
    return path.read_bytes()


async def damaged(path: Path, keep_header: bool) -> None:
    async with opened(path) as store:
        for number in range(50):
            await store.put(item(str(number), size=5000))
    scribble(path, keep_header)


@pytest.mark.parametrize("keep_header", [True, False])
async def test_a_damaged_file_is_moved_aside_and_a_fresh_one_begun(path: Path, keep_header: bool) -> None:
    await damaged(path, keep_header)

    async with opened(path) as store:
        assert await answers(store.get(name("7"))) in (None, Fault.CORRUPT)
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")
        assert (await store.stats(None, None)).count == 1

    assert {"cache.db", "cache.db.damaged"} <= {one.name for one in path.parent.iterdir()}


async def test_a_text_in_place_of_the_file_is_moved_aside(path: Path) -> None:
    write(path, b"no database, and somebody may want it" * 1000)

    async with opened(path) as store:
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")

    assert read(path.with_name("cache.db.damaged")).startswith(b"no database")


async def test_a_database_of_something_else_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (value TEXT)")
        other.commit()
    before = read(path)

    async with opened(path) as store:
        assert await answers(store.get(name("a"))) is Fault.REFUSED
        assert await answers(store.put(item("a"))) is Fault.REFUSED

    assert read(path) == before


async def test_tables_of_other_versions_are_let_be(path: Path) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE entries_2 (name TEXT)")
        other.execute("INSERT INTO entries_2 VALUES ('theirs')")
        other.commit()

        async with opened(path) as store:
            assert await store.get(name("a")) == item("a")
            await store.clear(None, None)

        assert other.execute("SELECT name FROM entries_2").fetchall() == [("theirs",)]


async def test_tables_that_are_not_as_we_make_them_are_moved_aside(path: Path) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE entries_1 RENAME COLUMN used_at TO touched_at")
        other.commit()

    async with opened(path) as store:
        assert await store.get(name("a")) is None
        await store.put(item("b"))
        assert await store.get(name("b")) == item("b")


async def test_workers_that_find_the_damage_together_begin_one_fresh_file(path: Path) -> None:
    await damaged(path, keep_header=True)
    async with opened(path) as first, opened(path) as second, opened(path) as third:
        stores = (first, second, third)
        for _ in range(3):
            await asyncio.gather(*(answers(store.get(name(str(number)))) for number in range(50) for store in stores))
        await first.put(item("a"))

        found = [await store.get(name("a")) for store in stores]

    assert found == [item("a")] * 3


async def test_damage_under_a_worker_at_work_costs_entries_only(path: Path) -> None:
    async with opened(path) as writer, opened(path) as reader:
        for number in range(300):
            await writer.put(item(str(number), size=20_000))
        scribble(path, keep_header=False)
        for number in range(300):
            await answers(reader.get(name(str(number))))
            await answers(writer.put(item(str(number), size=20_000)))
        await writer.put(item("a"))

        assert await reader.get(name("a")) == item("a")
    assert is_sound(path)


async def test_a_file_that_somebody_deletes_is_made_again(path: Path) -> None:
    async with opened(path) as first, opened(path) as second:
        await first.put(item("a"))
        await second.get(name("a"))
        for one in path.parent.glob("cache.db*"):
            one.unlink()

        await first.put(item("b"))

        assert await second.get(name("a")) is None
        assert await second.get(name("b")) == item("b")


@pytest.mark.parametrize("place", ["/proc/cache.db", "/proc/none/cache.db", "/dev/null/cache.db"])
async def test_a_place_where_nothing_can_be_made_is_refused(place: str) -> None:
    async with opened(Path(place)) as store:
        assert await answers(store.get(name("a"))) is Fault.REFUSED
        assert await answers(store.put(item("a"))) is Fault.REFUSED


async def test_lookups_do_not_wait_for_a_process_that_writes(path: Path) -> None:
    async with opened(path, timeout_s=0.05) as store:
        await store.put(item("a"))
        with locking(path, "BEGIN EXCLUSIVE"):
            began_at = time.monotonic()
            assert await store.get(name("a")) == item("a")
            assert time.monotonic() - began_at < 0.3
            assert await answers(store.put(item("b"))) is Fault.BUSY
        await store.put(item("b"))


async def test_a_file_that_is_held_whole_is_busy_soon(path: Path) -> None:
    async with opened(path, timeout_s=0.05) as store:
        await store.put(item("a"))
    with locking(path, "PRAGMA locking_mode = EXCLUSIVE;BEGIN IMMEDIATE;PRAGMA user_version = 1;COMMIT"):
        async with opened(path, timeout_s=0.05) as store:
            began_at = time.monotonic()
            assert await answers(store.get(name("a"))) is Fault.BUSY
            assert time.monotonic() - began_at < 0.5
    async with opened(path) as store:
        assert await store.get(name("a")) == item("a")


FILLING = """
import asyncio, hashlib, resource, sys
from pathlib import Path
from isthmusd.core.entry import CacheItem
from isthmusd.stores.cache_sqlite import SqliteCache
from isthmusd.stores.caching import CacheFault

def item(number):
    key = hashlib.sha256(str(number).encode()).digest()
    return CacheItem(name=key, tenant="t", model="m", sealed=key * 2000, stored_at=1.8e9, expires_at=1.8e9 + 60)

async def fill(path):
    store = SqliteCache(Path(path), 64 * 1024 * 1024, 5.0, lambda: 1.8e9)
    await store.put(item(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
    kinds = set()
    for number in range(1, 100):
        try:
            await store.put(item(number))
        except CacheFault as fault:
            kinds.add(fault.kind.value)
    print(*sorted(kinds), (await store.get(item(0).name)) == item(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.put(item(1000))
    print((await store.get(item(1000).name)) == item(1000))
    await store.aclose()

asyncio.run(fill(sys.argv[1]))
"""


def test_a_full_disk_takes_no_more_and_gives_what_it_has(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FILLING, str(path)], capture_output=True, text=True, check=False)

    assert (done.stdout.split(), done.stderr) == (["full", "True", "True"], "")
    assert is_sound(path)


async def test_a_file_full_of_what_is_not_ours_to_delete_is_full(path: Path) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE entries_2 (value BLOB)")
        other.execute("INSERT INTO entries_2 VALUES (zeroblob(?))", (2 * MIB,))
        other.commit()

    async with opened(path, limit=MIB) as store:
        assert await answers(store.put(item("b"))) is Fault.FULL


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("entries_1", "expires_at", "abc"),
        ("entries_1", "stored_at", b"abc"),
        ("entries_1", "used_at", "abc"),
        ("entries_1", "tenant", b"acme"),
        ("entries_1", "model", b"m"),
        ("sealed_1", "sealed", "text"),
        ("sealed_1", "sealed", 5),
        ("sealed_1", "sealed", 1.5),
    ],
)
async def test_an_entry_of_other_types_is_none_and_gives_way_to_the_next(
    path: Path, table: str, column: str, value: object
) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
    with looked_into(path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))

    async with opened(path) as store:
        assert await answers(store.get(name("a"))) is Fault.CORRUPT
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")


@pytest.mark.parametrize(
    ("column", "value"), [("at", "soon"), ("at", b"soon"), ("at", 1e300), ("at", float("inf")), ("tenant", b"\xff")]
)
async def test_a_note_of_other_types_is_left_out(path: Path, column: str, value: object) -> None:
    async with opened(path) as store:
        _, mark = await store.cleared_since(None)
        await store.clear("odd", "m")
        await store.clear("acme", None)
        with looked_into(path) as connection:
            connection.execute(f"UPDATE cleared_1 SET {column} = ? WHERE tenant = 'odd'", (value,))

        notes, latest = await store.cleared_since(mark)

        assert [(note.tenant, note.model) for note in notes] == [("acme", None)]
        assert await store.cleared_since(latest) == ([], latest)


async def test_a_note_whose_text_is_none_is_left_out(path: Path) -> None:
    async with opened(path) as store:
        _, mark = await store.cleared_since(None)
        await store.clear("odd", None)
        await store.clear(None, "m")
        with looked_into(path) as connection:
            connection.execute("UPDATE cleared_1 SET tenant = CAST(x'ff' AS TEXT) WHERE tenant = 'odd'")

        notes, _ = await store.cleared_since(mark)

    assert [(note.tenant, note.model) for note in notes] == [(None, "m")]


@pytest.mark.parametrize("column", ["tenant", "model"])
async def test_an_entry_whose_text_is_none_is_none_and_costs_no_others(path: Path, column: str) -> None:
    async with opened(path) as store:
        await store.put(item("a"))
        await store.put(item("b"))
        with looked_into(path) as connection:
            connection.execute(f"UPDATE entries_1 SET {column} = CAST(x'ff' AS TEXT) WHERE name = ?", (name("a"),))

        assert await answers(store.get(name("a"))) is Fault.CORRUPT
        assert await store.get(name("b")) == item("b")
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("sealed_1", "sealed", bytes(LARGEST_BYTES + 1)),
        ("entries_1", "tenant", "t" * (2 * MIB)),
        ("entries_1", "model", "m" * (2 * MIB)),
    ],
    ids=["sealed", "tenant", "model"],
)
async def test_an_entry_longer_than_any_of_ours_is_none_and_is_not_read(
    path: Path, table: str, column: str, value: object
) -> None:
    async with opened(path, limit=256 * MIB) as store:
        await store.put(item("a"))
        with looked_into(path) as connection:
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))

        tracemalloc.start()
        assert await answers(store.get(name("a"))) is Fault.CORRUPT
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert most < MIB
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")


async def test_the_largest_entry_is_given(path: Path) -> None:
    largest = item("a", size=LARGEST_BYTES)
    async with opened(path, limit=256 * MIB) as store:
        await store.put(largest)

        assert await store.get(name("a")) == largest
        assert await answers(store.put(item("b", size=LARGEST_BYTES + 1))) is Fault.DROPPED
