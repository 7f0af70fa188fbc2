"""Administration of a whole gateway: at the admin address and nowhere else, whichever workers live; what it changes
holds for callers within a second, and what it did is on record."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import pytest
from isthmus.v1 import admin_pb2 as pb
from isthmus.v1 import model_pb2
from isthmus.v1.admin_pb2_grpc import AdminServiceStub
from isthmus.v1.model_pb2_grpc import ModelServiceStub
from isthmusd.core.tenants import Role

from tests.edge.gateway import Gateway, running_gateway
from tests.system.callers import Office
from tests.system.pair import eventually
from tests.system.wire import JSON_TYPE, ask

pytestmark = pytest.mark.edge

LIST = "/isthmus.v1.AdminService/ListTenants"
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Administered:
    gateway: Gateway
    admin: Metadata

    @property
    def target(self) -> str:
        return self.gateway.admin_url.removeprefix("http://")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Administered]:
    data: Path = tmp_path_factory.mktemp("admin")
    admin = administrator(data)
    with running_gateway({"data": str(data), "auth": {"anonymous": False}}, workers=2) as gateway:
        yield Administered(gateway=gateway, admin=admin)


def administrator(data: Path) -> Metadata:
    with Office(data) as office:
        office.tenant("ops")
        return bearer(office.key("ops", role=Role.ADMIN).token)


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def opens(gateway: Gateway, token: str) -> bool:
    """Whether a key opens the public surface; on every worker, as far as some calls tell."""
    with grpc.insecure_channel(gateway.grpc_target) as channel:
        stub = ModelServiceStub(channel)
        try:
            for _ in range(8):
                stub.ListModels(model_pb2.ListModelsRequest(), metadata=bearer(token), timeout=10)
        except grpc.RpcError:
            return False
        return True


def shut(gateway: Gateway, token: str) -> bool:
    """Whether no worker takes a key, as far as some calls tell."""
    codes = set[grpc.StatusCode]()
    with grpc.insecure_channel(gateway.grpc_target) as channel:
        for _ in range(8):
            try:
                ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), metadata=bearer(token), timeout=10)
                codes.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                codes.add(error.code())
    return codes == {grpc.StatusCode.UNAUTHENTICATED}


def test_r28_a_key_opens_and_shuts_within_a_second_on_every_worker(running: Administered) -> None:
    with grpc.insecure_channel(running.target) as channel:
        stub = AdminServiceStub(channel)
        stub.CreateTenant(pb.CreateTenantRequest(id="acme"), metadata=running.admin, timeout=10)
        made = stub.CreateKey(pb.CreateKeyRequest(tenant="acme"), metadata=running.admin, timeout=10)
        opened = eventually(lambda: opens(running.gateway, made.token), within_s=1)
        stub.RevokeKey(pb.RevokeKeyRequest(id=made.key.id), metadata=running.admin, timeout=10)
        closed = eventually(lambda: shut(running.gateway, made.token), within_s=1)

    assert opened
    assert closed


def test_what_was_done_is_on_record(running: Administered) -> None:
    with grpc.insecure_channel(running.target) as channel:
        stub = AdminServiceStub(channel)
        stub.CreateTenant(pb.CreateTenantRequest(id="recorded"), metadata=running.admin, timeout=10)

        def actions() -> list[str]:
            # Each look is on record too: not too many, lest they push out what is looked for.
            time.sleep(0.1)
            request = pb.ListRecordsRequest(tenant="ops", page_size=1000)
            listed = stub.ListRecords(request, metadata=running.admin, timeout=10)
            return [record.action for record in listed.records]

        kept = eventually(lambda: "CreateTenant id=recorded" in actions())

    assert kept


async def test_r3_administration_is_not_on_the_public_listener(running: Administered) -> None:
    url, headers = running.gateway.url, (*running.admin,)
    kinds = ("application/grpc", "application/grpc-web+proto", "application/proto", "application/json")

    answers = {kind: await ask(url, LIST, b"\0\0\0\0\0", headers=(("content-type", kind), *headers)) for kind in kinds}
    async with grpc.aio.insecure_channel(running.gateway.grpc_target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as native:
            await AdminServiceStub(channel).ListTenants(pb.ListTenantsRequest(), metadata=running.admin, timeout=10)

    assert native.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not [answer for answer in answers.values() if b"tenants" in answer.body or b"ops" in answer.body]
    assert answers["application/json"].status == answers["application/proto"].status == 404


async def test_r3_nobody_gets_to_administration_by_a_path_that_looks_like_another(running: Administered) -> None:
    paths = (
        "/v1/../isthmus.v1.AdminService/ListTenants",
        "/v1/%2e%2e/isthmus.v1.AdminService/ListTenants",
        "/api/openai/../../isthmus.v1.AdminService/ListTenants",
        "//isthmus.v1.AdminService/ListTenants",
        "/isthmus.v1.OpenAIService/../isthmus.v1.AdminService/ListTenants",
        "/isthmus.v1%2EAdminService/ListTenants",
    )

    answers = [await ask(running.gateway.url, path, b"{}", headers=(*JSON_TYPE, *running.admin)) for path in paths]

    assert {answer.status for answer in answers} <= {400, 403, 404, 415}


async def test_one_admin_address_speaks_both(running: Administered) -> None:
    health = await ask(running.gateway.admin_url, "/healthz", b"", method="GET")
    metrics = await ask(running.gateway.admin_url, "/metrics", b"", method="GET")
    unknown = await ask(running.gateway.admin_url, LIST, b"{}", headers=(*JSON_TYPE, *running.admin))

    assert (health.status, health.body) == (200, b"ok\n")
    assert (metrics.status, b"isthmus_process_starts" in metrics.body) == (200, True)
    assert unknown.status == 404


def test_a_dead_worker_takes_no_administration_along(tmp_path: Path) -> None:
    admin = administrator(tmp_path / "data")
    with running_gateway({"data": str(tmp_path / "data")}, workers=2) as gateway:
        victim = next(pid for pid, line in gateway.children().items() if "isthmusd.worker" in line)
        os.kill(victim, signal.SIGKILL)
        with grpc.insecure_channel(gateway.admin_url.removeprefix("http://")) as channel:
            listed = AdminServiceStub(channel).ListTenants(
                pb.ListTenantsRequest(), metadata=admin, timeout=20, wait_for_ready=True
            )
        code = gateway.stop()

    assert [tenant.id for tenant in listed.tenants] == ["ops"]
    assert code == 0


@pytest.mark.parametrize("arguments", [(), ("--no-envoy",)])
async def test_a_unix_socket_may_be_the_admin_address(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    admin, path = administrator(tmp_path / "data"), tmp_path / "admin.sock"
    settings = {"data": str(tmp_path / "data"), "admin": f"unix:{path}"}
    with running_gateway(settings, arguments=arguments) as gateway:
        mode = stat.S_IMODE(path.lstat().st_mode)
        async with grpc.aio.insecure_channel(gateway.admin_url) as channel:
            listed = await AdminServiceStub(channel).ListTenants(pb.ListTenantsRequest(), metadata=admin, timeout=10)
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
            http.get("http://admin/healthz") as response,
        ):
            health = await response.text()
        async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await AdminServiceStub(channel).ListTenants(pb.ListTenantsRequest(), metadata=admin, timeout=10)
        code = gateway.stop()

    assert mode == 0o600
    assert [tenant.id for tenant in listed.tenants] == ["ops"]
    assert health == "ok\n"
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert code == 0
    assert not path.exists()
