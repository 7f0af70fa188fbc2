"""How the cache's SQLite file comes to be, whose it is, and what becomes of files that are not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.stores.cache_files import answers, is_sound, opened
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


def delete(path: Path) -> None:
    path.unlink()


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
