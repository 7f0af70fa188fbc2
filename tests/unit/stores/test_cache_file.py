"""How the cache's SQLite file comes to be, whose it is, and what becomes of files that are not its own."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from isthmusd.stores.caching import Fault

from tests.unit.stores.cache_files import answers, is_sound, looked_into, opened
from tests.unit.stores.cached import item, name

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder / "cache.db"


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def modes(path: Path) -> dict[str, int]:
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}


def widen(path: Path, mode: int) -> None:
    path.chmod(mode)


def delete(path: Path) -> None:
    path.unlink()


def exists(path: Path) -> bool:
    return path.exists()


def owners(path: Path) -> dict[str, int]:
    return {one.name: one.stat().st_uid for one in path.parent.iterdir()}


@as_root
async def test_what_root_makes_in_the_folder_of_another_is_the_others(path: Path) -> None:
    os.chown(path.parent, NOBODY, NOBODY)
    async with opened(path) as store:
        await store.put(item("a"))

        assert {"cache.db", "cache.db.lock", "cache.db-wal", "cache.db-shm"} <= set(owners(path))
        assert set(owners(path).values()) == {NOBODY}


@as_root
async def test_a_file_that_root_replaces_has_the_owner_of_the_old_one(path: Path) -> None:
    write(path, b"damaged" * 1000)
    os.chown(path, NOBODY, NOBODY)

    async with opened(path) as store:
        await answers(store.get(name("a")))
        await store.put(item("a"))

        assert "cache.db.damaged" in owners(path)
        assert set(owners(path).values()) == {NOBODY}


@pytest.mark.parametrize("has_tables", [False, True])
async def test_a_file_that_was_there_becomes_its_owners_alone(path: Path, has_tables: bool) -> None:
    if has_tables:
        async with opened(path) as store:
            await store.put(item("a"))
    with looked_into(path) as before:
        before.execute("PRAGMA journal_mode = WAL")
        before.execute("PRAGMA user_version = 1")
        for one in modes(path):
            widen(path.with_name(one), 0o666)
        async with opened(path) as store:
            await store.put(item("b"))

            assert {"cache.db", "cache.db-wal", "cache.db-shm"} <= set(modes(path))
            assert {mode for one, mode in modes(path).items() if one != "cache.db.lock"} == {0o600}


async def test_the_mode_of_a_file_of_something_else_stays(path: Path) -> None:
    with looked_into(path) as theirs:
        theirs.execute("CREATE TABLE theirs (value TEXT)")
    widen(path, 0o644)

    async with opened(path) as store:
        assert await answers(store.put(item("a"))) is Fault.REFUSED

    assert modes(path)["cache.db"] == 0o644


async def test_workers_begin_anew_where_the_file_alone_was_deleted(path: Path) -> None:
    async with opened(path) as first, opened(path) as second:
        for number in range(30):
            await first.put(item(str(number), size=3000))
        assert await second.get(name("7")) is not None
        await second.put(item("b"))
        delete(path)

        for number in range(3):
            await first.put(item(f"new {number}", size=3000))
            assert await first.get(name(f"new {number}")) is not None
            assert await second.get(name(f"new {number}")) is not None
        await second.put(item("c"))
        assert await first.get(name("c")) is not None
        assert await first.get(name("7")) is None
    async with opened(path) as store:
        assert (await store.stats(None, None)).count == 4
    assert is_sound(path)


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.parent.iterdir() if one.name.endswith((".db", "-wal"))}


def written_by_a_newer_sqlite(connection: sqlite3.Connection, application_id: int) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("CREATE TABLE theirs (value TEXT)")
    connection.execute("INSERT INTO theirs VALUES ('precious')")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE theirs (value TEXT) FUTURE'")


async def test_a_database_of_something_else_is_not_touched_where_our_sqlite_cannot_read_it(path: Path) -> None:
    with looked_into(path) as theirs:
        written_by_a_newer_sqlite(theirs, 77)
        before = contents(path)

        async with opened(path) as store:
            assert await answers(store.get(name("a"))) is Fault.REFUSED
            assert await answers(store.put(item("a"))) is Fault.REFUSED

        assert contents(path) == before


async def test_what_was_written_last_goes_aside_with_a_file(path: Path) -> None:
    stale = path.with_name("cache.db.damaged-journal")
    write(stale, b"of an earlier one")
    with looked_into(path) as theirs:
        written_by_a_newer_sqlite(theirs, 0)

        async with opened(path) as store:
            await store.put(item("a"))
            assert await store.get(name("a")) == item("a")

    assert not exists(stale)
    with closing(sqlite3.connect(path.with_name("cache.db.damaged"))) as aside:
        aside.execute("PRAGMA writable_schema = ON")
        assert aside.execute("SELECT value FROM theirs").fetchall() == [("precious",)]
