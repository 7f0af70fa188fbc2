"""Temporary credentials in the store: what is added is safe, what is revoked is told, pages are the issuer's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.errors import InvalidRequest, LimitExceeded, Unavailable
from isthmusd.core.tenants import Issuer, TemporaryCredential
from isthmusd.stores import credentials as module
from isthmusd.stores.asking import Late
from isthmusd.stores.changes import changes_since, read_generation
from isthmusd.stores.credentials import FORGOTTEN, KEPT_S, StoredCredentials
from isthmusd.stores.database import Database
from isthmusd.stores.news import Change, ChangeKind
from isthmusd.stores.rows import insert_credential, read_credential

from tests.unit.stores.remembering import TENANT, World, credential, opened

NOW = 1000.0
ISSUER = Issuer(method="gateway_key", id="isk-1")


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    with opened(store_url, timeout_s=1.0) as made:
        yield made


@pytest.fixture
async def credentials(world: World) -> AsyncIterator[StoredCredentials]:
    async with StoredCredentials(world.database, world.options) as stored:
        yield stored


def aged(number: int, **given: Any) -> TemporaryCredential:
    """A credential that was made at a second of its own."""
    return credential(f"tmp-{number}", **{"created_at": float(number), "expires_at": NOW + 1, **given})


async def ids(credentials: StoredCredentials, after: str | None = None, limit: int = 10) -> list[str]:
    found = await credentials.issued_by(TENANT, ISSUER, now=NOW, after=after, limit=limit)
    return [each.id for each in found]


async def test_what_was_added_is_found_whole(world: World, credentials: StoredCredentials) -> None:
    given = aged(1, model="m", project="p", compress_audio=True, custody=b"\x00sealed")

    await credentials.add(given)

    with closing(Database(world.options)) as elsewhere, elsewhere.reading() as connection:
        assert read_credential(connection, "tmp-1") == given
    assert await credentials.find("tmp-2") is None
    assert await credentials.find("tmp\0") is None


async def test_adding_tells_nobody(world: World, credentials: StoredCredentials) -> None:
    with world.database.reading() as connection:
        before = read_generation(connection)

    await credentials.add(aged(1))

    with world.database.reading() as connection:
        assert read_generation(connection) == before


async def test_r28_revoking_is_told_once_and_keeps_its_first_time(world: World, credentials: StoredCredentials) -> None:
    await credentials.add(aged(1))
    with world.database.reading() as connection:
        before = read_generation(connection)

    for at in (7.0, 8.0):
        await credentials.revoke("tmp-1", at)
    await credentials.revoke("tmp-unknown", 9.0)
    await credentials.revoke("tmp\0", 9.0)

    assert await credentials.find("tmp-1") == replace(aged(1), revoked_at=7.0)
    with world.database.reading() as connection:
        assert changes_since(connection, before).changes == (Change(ChangeKind.CREDENTIAL, "tmp-1"),)


async def test_the_newest_come_first_page_by_page(credentials: StoredCredentials) -> None:
    for number in range(1, 6):
        await credentials.add(aged(number))

    first = await ids(credentials, limit=2)
    second = await ids(credentials, first[-1], limit=2)
    third = await ids(credentials, second[-1], limit=2)

    assert [first, second, third] == [["tmp-5", "tmp-4"], ["tmp-3", "tmp-2"], ["tmp-1"]]
    assert await ids(credentials, third[-1]) == []


async def test_credentials_of_one_instant_are_on_one_page_each(credentials: StoredCredentials) -> None:
    names = {f"tmp-{number}" for number in range(6)}
    for number in range(6):
        await credentials.add(aged(number, created_at=5.0))

    pages: list[str] = []
    while found := await ids(credentials, pages[-1] if pages else None, limit=1):
        pages += found

    assert len(pages) == len(names)
    assert set(pages) == names


async def test_an_issuer_sees_its_own_that_still_count(credentials: StoredCredentials) -> None:
    await credentials.add(aged(1))
    await credentials.add(aged(2, expires_at=NOW))
    await credentials.add(aged(3, tenant="other"))
    await credentials.add(aged(4, issuer=Issuer(method="gateway_key", id="isk-2")))
    await credentials.add(aged(5, issuer=Issuer(method="identity_token", id="isk-1")))
    await credentials.add(aged(6, revoked_at=9.0))

    assert await ids(credentials) == ["tmp-6", "tmp-1"]


@pytest.mark.parametrize("after", ["tmp-2", "tmp-3", "tmp-unknown", "tmp\0"])
async def test_anothers_credential_is_no_place_in_the_list(credentials: StoredCredentials, after: str) -> None:
    await credentials.add(aged(1))
    await credentials.add(aged(2, tenant="other"))
    await credentials.add(aged(3, issuer=Issuer(method="gateway_key", id="isk-2")))

    assert await ids(credentials, after) == []


@pytest.mark.parametrize("field", ["model", "project"])
@pytest.mark.parametrize("text", ["a\0b", "half \ud800"])
async def test_text_that_no_database_holds_is_refused(credentials: StoredCredentials, field: str, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await credentials.add(aged(1, **{field: text}))

    assert await credentials.find("tmp-1") is None


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%", "\\", '"; DROP TABLE credentials; --'])
async def test_r1_text_is_never_sql(credentials: StoredCredentials, text: str) -> None:
    given = credential(text, model=text, project=text, issuer=Issuer(method="identity_token", id=text))
    await credentials.add(given)
    await credentials.add(aged(1))

    found = await credentials.issued_by(TENANT, given.issuer, now=NOW, after=None, limit=10)
    await credentials.revoke(text, 5.0)

    assert found == [given]
    assert await credentials.find(text) == replace(given, revoked_at=5.0)
    assert await credentials.find("tmp-1") == aged(1)


async def test_r20_a_store_that_is_held_up_costs_a_bounded_wait(world: World, credentials: StoredCredentials) -> None:
    world.database.open.clear()
    began = time.perf_counter()

    waiting = [asyncio.create_task(credentials.find("tmp-1")) for _ in range(module.WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as at_once:
        await credentials.find("tmp-1")
    refused_at_once = not any(task.done() for task in waiting)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    waited_s = time.perf_counter() - began
    world.database.open.set()

    assert refused_at_once
    assert at_once.value.code == "store_unavailable"
    assert {type(each) for each in ended} == {Late}
    assert waited_s < 2.0
    assert len(world.database.readers) <= 2
    assert await credentials.find("tmp-1") is None


async def test_who_leaves_makes_room(world: World, credentials: StoredCredentials) -> None:
    world.database.open.clear()
    waiting = [asyncio.create_task(credentials.find("tmp-1")) for _ in range(module.WAITING)]
    await asyncio.sleep(0)

    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    world.database.open.set()

    assert all(each.cancelled() for each in waiting)
    assert await credentials.find("tmp-1") is None


async def test_r17_those_that_expired_long_ago_make_room_for_new_ones(credentials: StoredCredentials) -> None:
    long_ago = NOW - KEPT_S
    for number in range(5):
        await credentials.add(aged(number, created_at=0.0, expires_at=long_ago - 1 - number))
    await credentials.add(aged(5, created_at=0.0, expires_at=long_ago + 1))

    await credentials.add(aged(6, created_at=NOW, expires_at=NOW + 600))

    found = [number for number in range(7) if await credentials.find(f"tmp-{number}") is not None]
    assert found == [5, 6]


async def test_the_old_go_a_few_at_a_time(world: World, credentials: StoredCredentials) -> None:
    count = FORGOTTEN + 5
    with world.database.writing() as connection:
        for number in range(count):
            insert_credential(connection, aged(number, created_at=0.0, expires_at=float(number)))

    await credentials.add(aged(count, created_at=NOW + KEPT_S, expires_at=NOW + KEPT_S + 600))

    left = [number for number in range(count) if await credentials.find(f"tmp-{number}") is not None]
    assert left == list(range(FORGOTTEN, count))


async def test_r17_callers_without_a_tenant_make_only_so_many(world: World) -> None:
    def of(tenant: str, number: int, expires_at: float = NOW + 600) -> TemporaryCredential:
        return aged(number, tenant=tenant, created_at=NOW, expires_at=expires_at)

    with world.database.writing() as connection:
        for number in range(2):
            insert_credential(connection, of("default", number))
        insert_credential(connection, of("default", 2, NOW))

    async with StoredCredentials(world.database, world.options, of_nobody=3) as credentials:
        await credentials.add(of("default", 3))
        with pytest.raises(LimitExceeded):
            await credentials.add(of("default", 4))
        # Whoever has a tenant is not held up by others.
        await credentials.add(of(TENANT, 5))

        found = [number for number in range(6) if await credentials.find(f"tmp-{number}") is not None]
    assert found == [0, 1, 2, 3, 5]


async def test_their_number_is_looked_up_again(world: World) -> None:
    def expiring(number: int) -> TemporaryCredential:
        return aged(number, tenant="default", created_at=NOW + number, expires_at=NOW + number + 0.5)

    async with StoredCredentials(world.database, world.options, of_nobody=1, count_s=0.0) as credentials:
        for number in range(3):
            await credentials.add(expiring(number))
