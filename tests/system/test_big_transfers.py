"""200 MiB pass in either direction while the whole gateway, Envoy included, grows by less than a third of that."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from isthmusd.core.tenants import ForwardGrant

from tests.edge.gateway import Gateway, running_gateway
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.curl import curl
from tests.system.flood import FloodProvider

pytestmark = pytest.mark.edge
MIB = 1024 * 1024
SIZE = 200 * MIB
GROWTH = 64 * MIB
PIECE = b"u" * MIB
HEAD = b'--b\r\ncontent-disposition: form-data; name="file"; filename="big"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"
PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def held(gateway: Gateway) -> int:
    """Bytes in memory of all that the gateway runs; pages that processes share count once."""
    pids = [gateway.process.pid, *gateway.children()]
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(found[1]) * 1024 for text in rollups if (found := PSS.search(text)))


class Watch:
    """The most that was held while it watched."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._over = threading.Event()
        self.before = self.most = held(gateway)

    @property
    def growth(self) -> int:
        return self.most - self.before

    @contextmanager
    def watching(self) -> Generator[None]:
        """Look twenty times a second."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, held(self._gateway))


@pytest.fixture(scope="module")
def flood() -> Iterator[FloodProvider]:
    with in_background(FloodProvider()) as provider:
        yield provider


@pytest.fixture(scope="module")
def running(flood: FloodProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    data = tmp_path_factory.mktemp("big")
    with Office(data) as office:
        office.tenant("acme", forward=ForwardGrant.SHARED)
        office.provider_key("acme", "openai", "sk-acme")
        token = office.key("acme").token
    config = {"data": str(data), "providers": {"openai": {"base_url": flood.url, "api_key": "sk-flood"}}}
    with running_gateway(config) as gateway:
        # The first call of a tenant opens the store, which is no part of what a transfer takes.
        assert curl("-H", f"Authorization: Bearer {token}", f"{gateway.url}/v1/files/1").status == 200
        yield gateway, token


async def upload() -> AsyncIterator[bytes]:
    yield HEAD
    for _ in range(SIZE // MIB):
        yield PIECE
    yield TAIL


@contextmanager
def watched(gateway: Gateway) -> Generator[Watch]:
    watch = Watch(gateway)
    with watch.watching():
        yield watch


@pytest.mark.parametrize("prefix", ["/v1", "/api/openai/v1"])
async def test_a_big_upload_is_never_held(running: tuple[Gateway, str], flood: FloodProvider, prefix: str) -> None:
    gateway, token = running
    headers = {"content-type": "multipart/form-data; boundary=b", "authorization": f"Bearer {token}"}

    with watched(gateway) as watch:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.post(f"{gateway.url}{prefix}/files", data=upload(), headers=headers) as response,
        ):
            assert response.status == 200, await response.text()

    assert flood.ended
    assert flood.read_bytes == SIZE + len(HEAD) + len(TAIL)
    assert watch.growth < GROWTH


@pytest.mark.parametrize("prefix", ["/v1", "/api/openai/v1"])
async def test_a_big_download_is_never_held(running: tuple[Gateway, str], prefix: str) -> None:
    gateway, token = running
    size = 0

    with watched(gateway) as watch:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.get(
                f"{gateway.url}{prefix}/files/{SIZE}", headers={"authorization": f"Bearer {token}"}
            ) as response,
        ):
            assert response.status == 200
            async for chunk in response.content.iter_any():
                size += len(chunk)

    assert size == SIZE
    assert watch.growth < GROWTH
