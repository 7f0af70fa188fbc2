"""What is cleared by hand in a real Valkey or Redis stays cleared: whatever else is among the notes, and whoever writes
meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from isthmusd.stores.cache_valkey import NOTES
from isthmusd.stores.caching import Cleared, Fault

from tests.fakes.valkey import Valkey, running_valkey
from tests.unit.stores.cache_files import answers
from tests.unit.stores.cached import START, StillClock, item, name
from tests.unit.stores.valkeys import opened


@pytest.fixture
def emptied(valkey: Valkey) -> Valkey:
    valkey.say("FLUSHALL")
    return valkey


@pytest.fixture
def server() -> Iterator[Valkey]:
    """One that a test may harm."""
    with running_valkey() as started:
        yield started


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
        ("tenant", "", "model", "", "at", "1e300"),
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


async def test_what_is_written_after_it_was_cleared_does_not_stay(emptied: Valkey) -> None:
    clock = StillClock(START + 10)
    async with opened(emptied.url, clock) as clearing, opened(emptied.url, clock) as store:
        await clearing.clear("acme", "m")
        late = [item(f"late {number}") for number in range(5)]
        others = [item("b", tenant="bar"), item("n", model="n"), item("new", stored_at=START + 10)]

        await store.put_all([*late, *others])

        assert [await store.get(one.name) for one in (*late, *others)] == [*[None] * 5, *others]


async def test_a_clear_made_while_the_clock_was_ahead_takes_nothing_that_is_written_after_it(emptied: Valkey) -> None:
    async with opened(emptied.url, StillClock(START + 30 * 86_400)) as clearing, opened(emptied.url) as store:
        await clearing.clear(None, None)
        await store.put(item("a"))

        assert await store.get(name("a")) == item("a")


async def test_what_waits_while_others_are_written_is_cleared_with_them(emptied: Valkey) -> None:
    clock = StillClock(START + 10)
    async with opened(emptied.url, clock) as clearing, opened(emptied.url, clock) as store:
        await clearing.clear("acme", None)
        await store.put(item("b", tenant="bar"))
        await store.put(item("a"))

        assert await store.get(name("a")) is None
        assert await store.get(name("b")) is not None


async def test_what_was_written_while_notes_could_not_be_read_is_looked_at_again(server: Valkey) -> None:
    clock = StillClock(START + 10)
    async with opened(server.url, clock) as store:
        await store.clear("acme", None)
        server.say("ACL", "SETUSER", "default", "-xrevrange")
        assert await answers(store.put_all([item("a"), item("b", tenant="bar")])) is Fault.REFUSED
        assert await store.get(name("a")) is not None
        server.say("ACL", "SETUSER", "default", "+xrevrange")

        await store.put(item("c", tenant="bar"))

        assert [await store.get(name(label)) is not None for label in "abc"] == [False, True, True]


async def test_a_newer_entry_takes_the_place_of_one_that_was_cleared(emptied: Valkey) -> None:
    clock = StillClock(START + 10)
    newer = item("a", stored_at=START + 11)
    async with opened(emptied.url, clock) as store:
        await store.clear(None, None)
        await store.put_all([item("a"), newer])

        assert await store.get(name("a")) == newer


async def test_a_full_server_is_cleared_and_a_note_left_once_there_is_room(server: Valkey) -> None:
    async with opened(server.url) as store:
        await store.put_all([item(str(number), tenant=f"t{number % 2}", size=100_000) for number in range(60)])
        used = server.say("INFO", "memory").partition(b"used_memory:")[2].split()[0].decode()
        server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.say("CONFIG", "SET", "maxmemory", used)
        assert await answers(store.put(item("more", size=100_000))) is Fault.FULL
        _, mark = await store.cleared_since(None)

        assert await store.clear("t1", None) == 30

        assert (await store.stats(None, None)).count == 30
        assert [note.tenant for note in (await store.cleared_since(mark))[0]] == ["t1"]
        await store.put(item("more"))


async def test_a_server_that_stays_full_is_cleared_though_it_cannot_be_told(server: Valkey) -> None:
    async with opened(server.url) as store:
        await store.put_all([item("a"), item("b", tenant="bar")])
        server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.say("CONFIG", "SET", "maxmemory", "1")

        assert await answers(store.clear("acme", None)) is Fault.FULL

        assert await store.get(name("a")) is None
        assert await store.get(name("b")) is not None
