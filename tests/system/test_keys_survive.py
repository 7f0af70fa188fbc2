"""Everything dies at once while tenants, keys and credentials are made and revoked: what was confirmed is there
afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from isthmus.v1 import admin_pb2, admin_pb2_grpc
from isthmusd.core.tenants import Role

from tests.edge.gateway import Gateway, children_of, running_gateway
from tests.system.callers import Office
from tests.system.calling import Caller
from tests.system.pair import eventually

pytestmark = pytest.mark.edge

TENANT = "acme"
ENOUGH = 40
"""Confirmed keys, and credentials, before everything is killed."""


@dataclass(slots=True)
class Confirmed:
    """What the gateway said was done."""

    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Id to token."""
    revoked: set[str] = field(default_factory=set[str])
    """Ids of keys."""
    doubtful: set[str] = field(default_factory=set[str])
    """Ids of keys whose revocation was asked for; whether it came to pass was perhaps never said."""
    credentials: list[str] = field(default_factory=list[str])
    """Tokens."""
    tenants: list[str] = field(default_factory=list[str])
    """Ids of tenants that have a provider key."""

    def is_enough(self) -> bool:
        few = min(len(self.keys), len(self.credentials), len(self.tenants))
        return few >= ENOUGH and len(self.revoked) >= ENOUGH // 4


def make_tenants(gateway: Gateway, admin_token: str, confirmed: Confirmed) -> None:
    """Make tenants, each with a provider key, until the gateway is gone."""
    metadata = (("authorization", f"Bearer {admin_token}"),)
    with grpc.insecure_channel(urlsplit(gateway.admin_url).netloc) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        for number in range(10_000):
            name = f"tenant-{number}"
            key = admin_pb2.SetProviderKeyRequest(tenant=name, provider="openai", secret=f"sk-{name}")
            try:
                stub.CreateTenant(admin_pb2.CreateTenantRequest(id=name), metadata=metadata, timeout=10)
                stub.SetProviderKey(key, metadata=metadata, timeout=10)
                confirmed.tenants.append(name)
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
                return


def make_keys(gateway: Gateway, admin_token: str, confirmed: Confirmed) -> None:
    """Make keys and revoke every second one, until the gateway is gone."""
    metadata = (("authorization", f"Bearer {admin_token}"),)
    with grpc.insecure_channel(urlsplit(gateway.admin_url).netloc) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        for number in range(10_000):
            try:
                made = stub.CreateKey(admin_pb2.CreateKeyRequest(tenant=TENANT), metadata=metadata, timeout=10)
                confirmed.keys[made.key.id] = made.token
                if number % 2:
                    confirmed.doubtful.add(made.key.id)
                    stub.RevokeKey(admin_pb2.RevokeKeyRequest(id=made.key.id), metadata=metadata, timeout=10)
                    confirmed.revoked.add(made.key.id)
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
                return


def make_credentials(gateway: Gateway, token: str, confirmed: Confirmed) -> None:
    """Make temporary credentials until the gateway is gone."""
    with Caller(gateway.url) as caller:
        for _ in range(10_000):
            made = caller.issue(token)
            if made is None:
                return
            confirmed.credentials.append(made)


def kill_tree(gateway: Gateway) -> None:
    """Kill the supervisor, so that it restarts nobody, and everything below it."""
    pids = [gateway.process.pid]
    for pid in pids:
        pids += [child for task in Path(f"/proc/{pid}/task").iterdir() for child in children_of(task)]
    for pid in pids:
        with suppress(ProcessLookupError):  # Envoy dies with its supervisor
            os.kill(pid, signal.SIGKILL)
    gateway.process.wait()
    assert eventually(lambda: not any(is_alive(pid) for pid in pids))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def faults(data: Path) -> list[str]:
    """What SQLite finds wrong with the store."""
    with closing(sqlite3.connect(data / "isthmus.db")) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
        (told,) = connection.execute("SELECT value FROM generation").fetchone()
        (last,) = connection.execute("SELECT max(generation) FROM changes").fetchone()
    return [*found, *([f"generation {told} but change {last}"] if told != last else [])]


def killed_while_busy(gateway: Gateway, admin_token: str, token: str) -> Confirmed:
    """Keep the gateway busy with five clients and kill it."""
    confirmed = Confirmed()
    jobs: list[Callable[[], None]] = [
        lambda: make_keys(gateway, admin_token, confirmed),
        lambda: make_credentials(gateway, token, confirmed),
    ] * 2
    jobs.append(lambda: make_tenants(gateway, admin_token, confirmed))
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        assert eventually(confirmed.is_enough, 60), confirmed
    finally:
        kill_tree(gateway)
        for thread in threads:
            thread.join(30)
    return confirmed


def test_what_was_confirmed_survives_the_death_of_everything(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = {"data": str(data), "auth": {"anonymous": False}}
    with Office(data) as office:
        office.tenant(TENANT)
        admin = office.key(TENANT, role=Role.ADMIN).token
        token = office.key(TENANT).token

    with running_gateway(config, 2) as gateway:
        confirmed = killed_while_busy(gateway, admin, token)
    after_death = faults(data)

    with running_gateway(config, 2) as gateway, Caller(gateway.url) as caller:
        statuses = {name: caller.status(key) for name, key in confirmed.keys.items()}
        credentials = [caller.status(credential) for credential in confirmed.credentials]
        still_makes = caller.issue(token)
    with Office(data) as office:
        stored = {key.id for key in office.desk.keys(tenant=TENANT, after=None, limit=1000)}
        paying = {name: office.desk.tenant(name).provider_keys["openai"][0].secret for name in confirmed.tenants}

    assert after_death == []
    assert set(confirmed.keys) <= stored
    assert {name for name, status in statuses.items() if status == 401} <= confirmed.doubtful
    assert all(statuses[name] == 401 for name in confirmed.revoked)
    assert {status for name, status in statuses.items() if name not in confirmed.doubtful} == {200}
    assert set(credentials) == {200}
    assert paying == {name: f"sk-{name}" for name in confirmed.tenants}
    assert still_makes is not None
    assert faults(data) == []
