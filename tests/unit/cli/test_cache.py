"""`isthmus cache`, on a store in a file, whether or not a gateway runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from isthmusd.core.entry import MODEL_LENGTH, CacheItem
from isthmusd.stores.cache_sqlite import SqliteCache
from isthmusd.stores.caching import Cleared

from tests.unit.cli.commands import Isthmus

LIMIT = 1 << 20


def item(number: int, tenant: str, model: str, expires_in_s: float = 60.0) -> CacheItem:
    now = time.time()
    return CacheItem(
        name=number.to_bytes(32, "big"),
        tenant=tenant,
        model=model,
        sealed=b"x" * 100,
        stored_at=now,
        expires_at=now + expires_in_s,
    )


@pytest.fixture
def kept(isthmus: Isthmus) -> Path:
    """A file with answers of two tenants."""
    path = isthmus.data / "cache.db"
    isthmus.data.mkdir(mode=0o700)

    async def fill() -> None:
        store = SqliteCache(path, LIMIT, 5.0, time.time)
        for entry in (item(1, "shop", "fast"), item(2, "shop", "best"), item(3, "bank", "fast")):
            await store.put(entry)
        await store.aclose()

    asyncio.run(fill())
    return path


def count(isthmus: Isthmus, *arguments: str) -> int:
    return isthmus.gives("cache", "stats", *arguments)["answers"]


def test_what_is_kept_is_counted(isthmus: Isthmus, kept: Path) -> None:
    assert isthmus.gives("cache", "stats") == {
        "store": str(kept),
        "tenant": None,
        "model": None,
        "answers": 3,
        "bytes": 300,
    }
    assert count(isthmus, "--tenant", "shop") == 2
    assert count(isthmus, "--model", "fast") == 2
    assert count(isthmus, "--tenant", "shop", "--model", "fast") == 1
    assert count(isthmus, "--tenant", "nobody") == 0


def test_it_is_shown_to_people_too(isthmus: Isthmus, kept: Path) -> None:
    shown = isthmus.does("cache", "stats", "--tenant", "shop").stdout

    assert dict(line.split(maxsplit=1) for line in shown.splitlines()) == {
        "store": str(kept),
        "tenant": "shop",
        "model": "-",
        "answers": "2",
        "bytes": "200",
    }


@pytest.mark.parametrize(
    ("which", "cleared", "left"),
    [
        (("--tenant", "shop"), 2, 1),
        (("--model", "fast"), 2, 1),
        (("--tenant", "shop", "--model", "fast"), 1, 2),
        (("--tenant", "nobody"), 0, 3),
        (("--all",), 3, 0),
    ],
)
def test_what_is_named_is_cleared_and_nothing_else(
    isthmus: Isthmus, kept: Path, which: tuple[str, ...], cleared: int, left: int
) -> None:
    done = isthmus.gives("cache", "clear", *which)

    assert (done["cleared"], done["store"]) == (cleared, str(kept))
    assert count(isthmus) == left


@pytest.mark.parametrize("which", [(), ("--all", "--tenant", "shop"), ("--all", "--model", "fast")])
def test_a_slip_clears_nothing(isthmus: Isthmus, kept: Path, which: tuple[str, ...]) -> None:
    refused = isthmus.run("cache", "clear", *which)

    assert refused.exit_code == 2
    assert "--all" in refused.stderr
    assert kept.exists()
    assert count(isthmus) == 3


def test_a_long_model_is_found_by_its_whole_name(isthmus: Isthmus, kept: Path) -> None:
    long = "x" * (MODEL_LENGTH + 50)

    async def fill() -> None:
        store = SqliteCache(kept, LIMIT, 5.0, time.time)
        await store.put(item(4, "shop", long[:MODEL_LENGTH]))
        await store.aclose()

    asyncio.run(fill())

    assert count(isthmus, "--model", long) == 1
    assert isthmus.gives("cache", "clear", "--model", long)["cleared"] == 1
    assert count(isthmus, "--model", long) == 0


def test_workers_are_told_what_was_cleared(isthmus: Isthmus, kept: Path) -> None:
    async def notes(mark: str | None) -> tuple[list[Cleared], str]:
        store = SqliteCache(kept, LIMIT, 5.0, time.time)
        try:
            return await store.cleared_since(mark)
        finally:
            await store.aclose()

    _, mark = asyncio.run(notes(None))
    said = isthmus.does("cache", "clear", "--tenant", "shop", "--model", "fast").stderr
    told, _ = asyncio.run(notes(mark))

    assert "cleared 1 answer" in said
    assert [(note.tenant, note.model) for note in told] == [("shop", "fast")]


def test_a_store_that_nobody_used_is_empty_and_is_not_made(isthmus: Isthmus) -> None:
    assert count(isthmus) == 0
    assert isthmus.gives("cache", "clear", "--all")["cleared"] == 0
    assert not (isthmus.data / "cache.db").exists()


def test_where_there_is_no_file_nobody_is_said_to_forget(isthmus: Isthmus) -> None:
    said = isthmus.does("cache", "clear", "--all").stderr

    assert f"there is no {isthmus.data / 'cache.db'}: nothing was cleared" in said
    assert "within about a second" not in said


@pytest.mark.parametrize("command", [("stats",), ("clear", "--all")])
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("ISTHMUS_CACHE_URL", "memory", "nothing shared"), ("ISTHMUS_CACHE_ENABLED", "false", "the cache is off")],
)
def test_where_nothing_is_shared_that_is_said(
    isthmus: Isthmus, command: tuple[str, ...], name: str, value: str, why: str
) -> None:
    refused = isthmus.run("cache", *command, environ={name: value})

    assert refused.exit_code == 2
    assert why in refused.stderr
    assert refused.stdout == ""


def test_a_store_that_cannot_be_used_ends_the_command(isthmus: Isthmus, kept: Path) -> None:
    elsewhere = kept.with_name("folder")
    elsewhere.mkdir()

    refused = isthmus.run("cache", "stats", environ={"ISTHMUS_CACHE_URL": f"sqlite:///{elsewhere}"})

    assert refused.exit_code == 1
    assert "the cache's store cannot be used: " in refused.stderr
    assert isthmus.run("cache", "stats", environ={"ISTHMUS_CACHE_URL": "ftp://x"}).exit_code == 1
