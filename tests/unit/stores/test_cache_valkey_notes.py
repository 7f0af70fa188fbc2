"""What is cleared by hand in a real Valkey or Redis stays cleared: whatever else is among the notes, and whoever writes
meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from isthmusd.stores.cache_valkey import NOTES, ValkeyCache
from isthmusd.stores.caching import Cleared

from tests.fakes.valkey import Valkey
from tests.unit.stores.cached import START, StillClock


@pytest.fixture
def emptied(valkey: Valkey) -> Valkey:
    valkey.say("FLUSHALL")
    return valkey


@asynccontextmanager
async def opened(url: str, clock: StillClock | None = None) -> AsyncGenerator[ValkeyCache]:
    store = ValkeyCache(url, (clock or StillClock()).now)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize(
    "fields",
    [
        ("foo", "bar"),
        ("tenant", "=acme", "model", "=m"),
        ("tenant", "acme", "model", "", "at", "1"),
        ("tenant", b"=\xff", "model", "", "at", "1"),
        ("tenant", "", "model", "", "at", "soon"),
        ("tenant", "", "model", "", "at", "inf"),
        ("tenant", "", "model", "", "at", "nan"),
    ],
)
async def test_a_note_that_is_none_hides_no_other(emptied: Valkey, fields: tuple[str | bytes, ...]) -> None:
    async with opened(emptied.url) as store:
        _, mark = await store.cleared_since(None)
        await store.clear("before", None)
        emptied.say("XADD", NOTES, "*", *fields)
        await store.clear("after", None)

        notes, latest = await store.cleared_since(mark)

        assert notes == [Cleared(tenant=which, model=None, at=START) for which in ("before", "after")]
        emptied.say("XADD", NOTES, "*", *fields)
        nothing, last = await store.cleared_since(latest)
        assert nothing == []
        assert last != latest


async def test_so_many_notes_at_the_most_are_read_and_the_newest_ones(emptied: Valkey) -> None:
    for number in range(1500):
        emptied.say("XADD", NOTES, "*", "tenant", f"={number}", "model", "", "at", "1")
    async with opened(emptied.url) as store:
        notes, latest = await store.cleared_since("0-0")

        assert [note.tenant for note in notes] == [str(number) for number in range(500, 1500)]
        assert await store.cleared_since(latest) == ([], latest)
