"""The store is locked, stands still, is swallowed by the network or gone: callers who are known go on, others wait a
bounded time for a clear refusal, nothing piles up, and all heals by itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from isthmusd.clock import SystemClock
from isthmusd.core.errors import Unavailable
from isthmusd.core.tenants import Issuer, TemporaryCredential
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.options import StoreOptions

from tests.edge.gateway import running_gateway
from tests.fakes.postgres import Postgres, running_postgres
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.calling import Caller
from tests.system.pair import eventually
from tests.system.store_proxy import StoreProxy

TENANT = "acme"
TIMEOUT_S = 0.5
SLACK_S = 1.0
"""What a busy machine may add to a wait."""
HEAL_S = 10.0
CALLS = 50
THREADS = 2


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[StoreProxy]:
    with in_background(StoreProxy(postgres.folder / ".s.PGSQL.5432").running()) as running:
        yield running


@pytest.fixture
def office(postgres: Postgres, proxy: StoreProxy, tmp_path: Path) -> Iterator[Office]:
    """The office goes to the server itself."""
    with Office(tmp_path / "office", postgres.url(postgres.database())) as opened:
        opened.tenant(TENANT)
        yield opened


@pytest.fixture
async def directory(office: Office, proxy: StoreProxy) -> AsyncIterator[CachedDirectory]:
    """The directory goes through the proxy."""
    options = StoreOptions(url=proxied(office, proxy), timeout_s=TIMEOUT_S, poll_s=0.05)
    with closing(Database(options)) as database:
        async with CachedDirectory(database, office.keyring, SystemClock(), options) as made:
            yield made
            proxy.mend()


def proxied(office: Office, proxy: StoreProxy) -> str:
    return proxy.url(office.url.rpartition("?")[0].rpartition("/")[2])


async def refusal(directory: CachedDirectory, key_id: str) -> float:
    """Look up what is not remembered, and demand to be refused; gives how long it took."""
    began = time.perf_counter()
    with pytest.raises(Unavailable) as caught:
        await directory.key(key_id)
    assert (caught.value.http_status, caught.value.code) == (503, "store_unavailable")
    return time.perf_counter() - began


async def heals(directory: CachedDirectory, key_id: str) -> bool:
    until = time.monotonic() + HEAL_S
    while time.monotonic() < until:
        try:
            return await directory.key(key_id) is not None
        except Unavailable:
            await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("trouble", ["stall", "cut", "pause"])
async def test_r20_known_callers_go_on_and_others_are_refused_in_time(
    office: Office, proxy: StoreProxy, postgres: Postgres, directory: CachedDirectory, trouble: str
) -> None:
    known, other, revoked = (office.key(TENANT).key.id for _ in range(3))
    assert await directory.key(known) is not None
    assert await directory.key(revoked) is not None
    await asyncio.to_thread(office.desk.revoke_key, revoked)
    {"stall": proxy.stall, "cut": proxy.cut, "pause": postgres.pause}[trouble]()

    try:
        took = await asyncio.gather(*(refusal(directory, f"unknown-{number}") for number in range(CALLS)))
        threads, tasks = threading.active_count(), len(asyncio.all_tasks())
        later = [await refusal(directory, other) for _ in range(CALLS)]
        assert await directory.key(known) is not None
        await asyncio.sleep(3 * TIMEOUT_S)

        assert max(took) < TIMEOUT_S + SLACK_S
        assert max(later) < SLACK_S
        assert threading.active_count() <= threads
        assert len(asyncio.all_tasks()) <= tasks
        assert await directory.key(known) is not None
    finally:
        proxy.mend()
        postgres.go_on()

    assert await heals(directory, other)
    key = await directory.key(revoked)
    assert key is not None
    assert key.revoked_at is not None


async def test_r20_connections_that_the_network_swallowed_are_replaced(
    office: Office, proxy: StoreProxy, directory: CachedDirectory
) -> None:
    """Who waits on a connection that nobody answers any more gives it up, although no error ever comes."""
    known, other = (office.key(TENANT).key.id for _ in range(2))
    assert await directory.key(known) is not None
    for _ in range(3):
        proxy.stall()
        await refusal(directory, "unknown")
        await asyncio.sleep(2 * TIMEOUT_S)
        proxy.mend()
        assert await heals(directory, other)

    await asyncio.sleep(2 * TIMEOUT_S)
    assert 0 < proxy.connection_count <= 2 * THREADS


async def test_r20_a_locked_file_stops_writers_for_a_bounded_time_and_no_reader(tmp_path: Path) -> None:
    with Office(tmp_path) as office:
        office.tenant(TENANT)
        known = office.key(TENANT).key.id
        options = StoreOptions(url=office.url, timeout_s=TIMEOUT_S, poll_s=0.05)
        issuer = Issuer(method="gateway_key", id=known)
        credential = TemporaryCredential(id="tmp-1", tenant=TENANT, issuer=issuer, expires_at=9e9)
        with closing(Database(options)) as database, closing(sqlite3.connect(tmp_path / "isthmus.db")) as other:
            directory = CachedDirectory(database, office.keyring, SystemClock(), options)
            async with directory, StoredCredentials(database, options) as credentials:
                other.execute("BEGIN EXCLUSIVE")
                began = time.perf_counter()
                with pytest.raises(Unavailable):
                    await credentials.add(credential)
                took = time.perf_counter() - began
                found = await directory.key(known)
                other.rollback()
                await credentials.add(credential)
                added = await directory.credential("tmp-1")

    assert took < TIMEOUT_S + SLACK_S
    assert found is not None
    assert added == credential


@pytest.mark.edge
def test_r20_a_gateway_whose_store_is_away(office: Office, proxy: StoreProxy, tmp_path: Path) -> None:
    store = {"url": proxied(office, proxy), "timeout_s": TIMEOUT_S}
    config = {"data": str(tmp_path / "node"), "secret": office.secret, "store": store, "auth": {"anonymous": False}}
    known, other = (office.key(TENANT).token for _ in range(2))
    with running_gateway(config) as gateway, Caller(gateway.url) as caller:
        assert eventually(lambda: caller.status(known) == 200, HEAL_S)
        for disturb in (proxy.stall, proxy.cut):
            disturb()
            began = time.perf_counter()
            refused = caller.error(other)
            took = time.perf_counter() - began
            still = caller.status(known)
            issued = caller.issue(known)
            proxy.mend()

            assert refused == (503, "store_unavailable")
            assert took < TIMEOUT_S + SLACK_S
            assert still == 200
            assert issued is None
            assert eventually(lambda: caller.issue(known) is not None, HEAL_S)
        assert eventually(lambda: caller.status(other) == 200, HEAL_S)
        log = gateway.log.read_text()

    assert "the store does not answer" in log
    assert "the store answers again" in log
    assert office.secret not in log
