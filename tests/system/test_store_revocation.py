"""A revoked key ends in every process of the node within a second, and on every node of a shared store within five."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path

import pytest
from isthmusd.clock import SystemClock
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.options import StoreOptions

from tests.edge.gateway import ROOT, running_gateway
from tests.fakes.postgres import running_postgres
from tests.system.callers import Office
from tests.system.calling import Caller
from tests.system.pair import eventually

NODE_S = 1.0
ALL_S = 5.0
PROCESSES = 2


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with running_postgres() as server:
        yield server.url(server.database())


@pytest.fixture(params=["sqlite", "postgres"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with Office(tmp_path / "data", url) as opened:
        yield opened


@pytest.fixture
async def directories(office: Office) -> AsyncIterator[list[CachedDirectory]]:
    """As two workers have them: each with its own connections."""
    options = StoreOptions(url=office.url)
    async with AsyncExitStack() as resources:
        made: list[CachedDirectory] = []
        for _ in range(2):
            database = resources.enter_context(closing(Database(options)))
            directory = CachedDirectory(database, office.keyring, SystemClock(), options)
            made.append(await resources.enter_async_context(directory))
        yield made


async def until_revoked(directory: CachedDirectory, key_id: str) -> float:
    """Give when the directory first says so."""
    while True:
        key = await directory.key(key_id)
        if key is not None and key.revoked_at is not None:
            return time.monotonic()
        await asyncio.sleep(0.002)


async def test_r28_every_worker_knows_within_a_second(office: Office, directories: list[CachedDirectory]) -> None:
    office.tenant("within")
    waits: list[float] = []
    for _ in range(4):
        key = office.key("within").key
        for directory in directories:
            found = await directory.key(key.id)
            assert found is not None
            assert found.revoked_at is None

        await asyncio.to_thread(office.desk.revoke_key, key.id)
        committed = time.monotonic()
        async with asyncio.timeout(ALL_S):
            known = await asyncio.gather(*(until_revoked(directory, key.id) for directory in directories))
        waits += [at - committed for at in known]

    assert max(waits) < NODE_S


async def test_r28_a_revoked_tenant_is_known_too(office: Office, directories: list[CachedDirectory]) -> None:
    office.tenant("ended")
    assert all([await directory.tenant("ended") for directory in directories])

    await asyncio.to_thread(office.desk.revoke_tenant, "ended")
    await asyncio.sleep(NODE_S)

    tenants = [await directory.tenant("ended") for directory in directories]
    assert [tenant is not None and tenant.revoked_at is not None for tenant in tenants] == [True, True]


def test_r28_every_process_knows_within_a_second(office: Office) -> None:
    office.tenant("processes")
    key = office.key("processes").key
    argv = [sys.executable, "-m", "tests.system.store_watcher", office.url, key.id]
    with ExitStack() as resources:
        watchers = [
            resources.enter_context(subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True))
            for _ in range(PROCESSES)
        ]
        for watcher in watchers:
            resources.callback(watcher.kill)
        lines = [watcher.stdout for watcher in watchers if watcher.stdout is not None]
        seen = [float(line.readline()) for line in lines]

        office.desk.revoke_key(key.id)
        committed = time.time()
        known = [float(line.readline()) for line in lines]

    assert max(seen) < committed
    assert max(known) - committed < NODE_S


@pytest.mark.edge
def test_r28_gateways_on_one_postgres_refuse_within_five_seconds(postgres_url: str) -> None:
    config = {"store": {"url": postgres_url}, "auth": {"anonymous": False}}
    with ExitStack() as resources:
        folders = [Path(resources.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        office = resources.enter_context(Office(folders[0], postgres_url))
        office.tenant("nodes")
        issued = office.key("nodes")
        given = {**config, "secret": office.secret}
        nodes = [
            resources.enter_context(running_gateway({**given, "data": str(folder / "node")})) for folder in folders
        ]
        callers = [resources.enter_context(Caller(node.url)) for node in nodes]
        assert [caller.status(issued.token) for caller in callers] == [200, 200]

        office.desk.revoke_key(issued.key.id)
        committed = time.monotonic()
        assert eventually(lambda: [caller.status(issued.token) for caller in callers] == [401, 401], ALL_S)
        waited_s = time.monotonic() - committed

    assert waited_s < ALL_S
