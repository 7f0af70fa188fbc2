"""What a worker remembers of callers, over every kind of store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from isthmusd.core.errors import Unavailable
from isthmusd.core.tenants import ForwardGrant, ProviderKey
from isthmusd.stores.changes import read_generation
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.tables import changes, generation, keys
from sqlalchemy import delete, insert, select, update

from tests.unit.stores.remembering import POLL_S, TENANT, World, credential, opened, statements

LOOKUPS = 10_000

Record = Callable[[str, object], None]


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    with opened(store_url) as made:
        yield made


async def polled(directory: CachedDirectory, world: World, times: int = 2) -> None:
    """Wait until the watch has asked again: the second question began after this was called."""
    seen = world.database.asked_count
    for _ in range(2000):
        if world.database.asked_count >= seen + times:
            break
        await asyncio.sleep(POLL_S / 4)
    await asyncio.sleep(POLL_S)


async def test_it_gives_what_is_stored(world: World) -> None:
    world.add_provider_key("sk-of-acme")
    world.add_key("isk-1", "first")
    world.add_subject("https://issuer", "somebody")
    kept = credential("tmp-1", model="m", custody=b"sealed")
    world.add_credential(kept)

    async with world.directory() as directory:
        tenant = await directory.tenant(TENANT)
        key = await directory.key("isk-1")

        assert tenant is not None
        assert tenant.provider_keys == {"openai": (ProviderKey(provider="openai", secret="sk-of-acme"),)}
        assert tenant.grants.forward is ForwardGrant.OWN
        assert key is not None
        assert (key.tenant, key.name) == (TENANT, "first")
        assert await directory.tenant_of("https://issuer", "somebody") == TENANT
        assert await directory.credential("tmp-1") == kept


async def test_it_gives_nothing_for_what_is_not_stored(world: World) -> None:
    async with world.directory() as directory:
        assert await directory.tenant("other") is None
        assert await directory.key("isk-0") is None
        assert await directory.credential("tmp-0") is None
        assert await directory.tenant_of("https://issuer", "nobody") is None


async def test_identities_with_spaces_do_not_share_a_name(world: World) -> None:
    world.add_tenant("other")
    world.add_subject("https://a b", "c")
    world.add_subject("https://a", "b c", "other")

    async with world.directory() as directory:
        assert await directory.tenant_of("https://a b", "c") == TENANT
        assert await directory.tenant_of("https://a", "b c") == "other"


async def test_the_steady_state_reads_nothing(world: World) -> None:
    world.add_key("isk-1")
    world.add_subject("https://issuer", "somebody")
    world.add_credential(credential("tmp-1"))

    async with world.directory() as directory:
        for counted in (False, True):
            with statements() as heard:
                first = [await directory.tenant(TENANT), await directory.key("isk-1"), await directory.key("isk-0")]
                second = [await directory.credential("tmp-1"), await directory.tenant_of("https://issuer", "somebody")]

            assert [value is None for value in first + second] == [False, False, True, False, False]
            assert (heard.texts == []) is counted


async def test_lookups_of_what_is_known_are_cheap(world: World, record_testsuite_property: Record) -> None:
    names = [f"isk-{number}" for number in range(100)]
    for name in names:
        world.add_key(name)

    async with world.directory() as directory:
        for name in names:
            await directory.key(name)
        began = time.perf_counter()
        for number in range(LOOKUPS):
            await directory.key(names[number % 100])
        each_us = (time.perf_counter() - began) / LOOKUPS * 1e6

    record_testsuite_property("lookup_us", round(each_us, 2))
    assert each_us < 20, "a quiet machine needs less than one microsecond"


async def test_who_misses_the_same_thing_shares_one_read(world: World) -> None:
    world.add_key("isk-1")

    with statements() as heard:
        async with world.directory() as directory:
            found = await asyncio.gather(*(directory.key("isk-1") for _ in range(50)))

    assert {key.id for key in found if key is not None} == {"isk-1"}
    assert heard.of("keys") == 1


async def test_who_leaves_takes_the_answer_from_nobody(world: World) -> None:
    world.add_key("isk-1")

    async with world.directory() as directory:
        await directory.tenant(TENANT)
        world.database.open.clear()
        first, second = (asyncio.create_task(directory.key("isk-1")) for _ in range(2))
        await asyncio.sleep(POLL_S)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        world.database.open.set()
        found = await second

    assert first.cancelled()
    assert found is not None


async def test_a_change_makes_it_forget_exactly_what_changed(world: World) -> None:
    world.add_key("isk-1")
    world.add_key("isk-2")

    async with world.directory() as directory:
        before = [await directory.key("isk-1"), await directory.key("isk-2"), await directory.tenant(TENANT)]
        world.revoke_key("isk-1")
        await polled(directory, world)
        with statements() as heard:
            after = [await directory.key("isk-1"), await directory.key("isk-2"), await directory.tenant(TENANT)]

    assert before[0] is not None
    assert after == [replace(before[0], revoked_at=5.0), before[1], before[2]]
    assert len(heard.texts) == heard.of("keys") == 1


async def test_what_is_made_after_it_was_missed_is_found(world: World) -> None:
    async with world.directory() as directory:
        assert await directory.key("isk-1") is None
        assert await directory.tenant("new") is None
        assert await directory.tenant_of("https://issuer", "new") is None
        assert await directory.credential("tmp-1") is None
        # A new credential is not told to anybody: it must be found at once.
        world.add_credential(credential("tmp-1"))
        assert await directory.credential("tmp-1") is not None
        world.add_key("isk-1")
        world.add_tenant("new")
        world.add_subject("https://issuer", "new", "new")
        await polled(directory, world)

        assert await directory.key("isk-1") is not None
        assert await directory.tenant("new") is not None
        assert await directory.tenant_of("https://issuer", "new") == "new"


async def test_a_revoked_credential_is_known_to_be(world: World) -> None:
    async with StoredCredentials(world.database, world.options) as credentials, world.directory() as directory:
        await credentials.add(credential("tmp-1"))
        assert (await directory.credential("tmp-1")) == credential("tmp-1")
        await credentials.revoke("tmp-1", 7.0)
        await polled(directory, world)

        assert await directory.credential("tmp-1") == credential("tmp-1", revoked_at=7.0)


@pytest.mark.parametrize("later", [0, 1])
async def test_r28_a_backup_that_went_on_to_the_same_number_is_another_history(world: World, later: int) -> None:
    world.add_key("isk-1")
    with world.database.reading() as connection:
        number, rows = read_generation(connection), connection.execute(select(changes)).mappings().all()

    async with world.directory() as directory:
        assert await directory.key("isk-1") is not None
        # What was done to the backup: a key was taken back, and told under a number that was told before.
        with world.database.writing() as connection:
            connection.execute(delete(changes))
            connection.execute(update(generation).values(value=number + later))
            for row in [dict(each) for each in rows] + [{**rows[-1], "generation": number + 1, "subject": "x"}][:later]:
                connection.execute(insert(changes).values({**row, "at": row["at"] + 1}))
            connection.execute(update(keys).values(revoked_at=5.0))
        await polled(directory, world)

        found = await directory.key("isk-1")
    assert found is not None
    assert found.revoked_at == 5.0


@pytest.mark.parametrize("happened", ["pruned", "restored"])
async def test_it_forgets_everything_when_it_cannot_know_what_changed(world: World, happened: str) -> None:
    world.add_key("isk-1")
    world.add_key("isk-2")

    async with world.directory() as directory:
        assert await directory.key("isk-1") is not None
        with world.database.writing() as connection:
            if happened == "pruned":
                connection.execute(update(generation).values(value=generation.c.value + 3))
            else:
                connection.execute(delete(changes))
                connection.execute(update(generation).values(value=1))
        await polled(directory, world)
        with statements() as heard:
            assert await directory.key("isk-1") is not None

    assert heard.of("keys") == 1


async def test_a_tenant_is_another_one_after_each_change_only(world: World) -> None:
    async with world.directory() as directory:
        first = await directory.tenant(TENANT)
        same = await directory.tenant(TENANT)
        world.name_tenant("Acme")
        await polled(directory, world)
        other = await directory.tenant(TENANT)

    assert first is same
    assert other is not None
    assert other is not first
    assert other.name == "Acme"


async def test_a_run_that_looks_nobody_up_asks_nothing(world: World) -> None:
    async with world.directory():
        await asyncio.sleep(3 * POLL_S)

    assert world.database.asked_count == 0


def test_a_run_that_looks_nobody_up_does_not_load_the_database() -> None:
    code = """
import asyncio, sys
from isthmusd.core.keyring import Keyring
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.options import StoreOptions

async def run():
    options = StoreOptions(url="sqlite:////nowhere/at/all.db", poll_s=0.01)
    database = Database(options)
    StoredCredentials(database, options)
    async with CachedDirectory(database, Keyring([b"x" * 32]), asyncio.get_running_loop(), options):
        await asyncio.sleep(0.05)

asyncio.run(run())
print("sqlalchemy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


async def test_it_begins_to_watch_when_it_is_told_to(world: World) -> None:
    async with world.directory() as directory:
        await directory.warm()
        await directory.warm()
        await polled(directory, world, 3)

    count = world.database.asked_count
    await asyncio.sleep(3 * POLL_S)
    assert world.database.asked_count == count


async def test_after_its_end_it_answers_nobody(world: World) -> None:
    async with world.directory() as directory:
        await directory.tenant(TENANT)

    with pytest.raises(Unavailable):
        await directory.key("isk-1")
    await directory.warm()
