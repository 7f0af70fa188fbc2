"""What of the operators' listener is HTTP: metrics of all processes, and health."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from isthmusd.edge.admin import reserved_address, serving, url
from isthmusd.edge.options import Address, AdminAddress, UnixAddress
from isthmusd.edge.workers import Folder, behind_envoy

STARTS = {"worker 0": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(root=tmp_path)
    made.create(b"{}")
    return made


async def get(http: aiohttp.ClientSession, at: str) -> tuple[int, str]:
    async with http.get(at) as response:
        return response.status, await response.text()


async def test_metrics_and_health_are_served_over_tcp(folder: Folder, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with reserved_address(Address(host="127.0.0.1", port=0)) as address:
        async with (
            serving(address, folder, [], lambda: STARTS, journal),
            aiohttp.ClientSession(base_url=url(address)) as http,
        ):
            health = await get(http, "/healthz")
            metrics = await get(http, "/metrics")
            unknown = await get(http, "/debug/vars")

    assert health == (200, "ok\n")
    assert metrics[0] == 200
    assert 'isthmus_process_starts_total{process="worker 0"} 2.0' in metrics[1]
    assert "isthmus_records_journal_bytes 0.0" in metrics[1]
    assert unknown[0] == 404


async def test_the_same_is_served_on_a_unix_socket(folder: Folder, tmp_path: Path) -> None:
    wanted: AdminAddress = UnixAddress(path=tmp_path / "operators")
    with reserved_address(wanted) as address:
        async with (
            serving(address, folder, [], lambda: STARTS),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "operators"))) as http,
        ):
            health = await get(http, "http://admin/healthz")
            metrics = await get(http, "http://admin/metrics")

    assert url(address) == f"unix:{tmp_path}/operators"
    assert health == (200, "ok\n")
    assert "journal" not in metrics[1]


async def test_a_stop_does_not_wait_for_clients_that_keep_their_connection(folder: Folder) -> None:
    with reserved_address(Address(host="127.0.0.1", port=0)) as address:
        async with (
            aiohttp.ClientSession(base_url=url(address)) as http,
            asyncio.timeout(5),
            serving(address, folder, [], lambda: STARTS),
        ):
            health = await get(http, "/healthz")

    assert health == (200, "ok\n")


def test_every_worker_has_an_admin_socket_of_its_own_in_the_private_folder(folder: Folder) -> None:
    posts = behind_envoy(folder, 3)

    assert [post.admin for post in posts] == [f"unix:{folder.root}/a{index}.sock" for index in range(3)]
