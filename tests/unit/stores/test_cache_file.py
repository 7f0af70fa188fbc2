"""How the cache's SQLite file comes to be, whose it is, and what becomes of files that are not its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.stores.cache_files import answers, opened
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
