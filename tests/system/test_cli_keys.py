"""The operator's commands beside a running gateway: what they change holds at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.edge.gateway import Gateway, running_gateway

pytestmark = pytest.mark.edge

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hello"}]}
REVOKED_S = 1.0
"""How long a revoked key may still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A data directory, and what is done with it."""

    data: Path

    def commands(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as an operator does."""
        argv = [sys.executable, "-m", "isthmusd.cli", *arguments]
        environ = {**os.environ, "ISTHMUS_DATA": str(self.data)}
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=True)

    def gives(self, *arguments: str) -> Any:
        """Run a command and read its JSON."""
        return msgspec.json.decode(self.commands(*arguments, "--json").stdout)

    def running(self) -> Any:
        """Run a gateway on it that serves nobody without a key."""
        auth = {"anonymous": False, "provider_keys": False}
        return running_gateway({"auth": auth, "data": str(self.data)})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(data=tmp_path / "data")


def status(gateway: Gateway, token: str) -> int:
    """Call with a key and tell how it was answered."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    with closing(HTTPConnection(gateway.grpc_target, timeout=10)) as connection:
        connection.request("POST", "/v1/chat/completions", msgspec.json.encode(CALL), headers)
        return connection.getresponse().status


def until(gateway: Gateway, token: str, wanted: int, limit_s: float) -> Iterator[int]:
    """Call again and again, and give each status until the wanted one comes or the time is over."""
    ends_at = time.monotonic() + limit_s
    while time.monotonic() < ends_at:
        answered = status(gateway, token)
        yield answered
        if answered == wanted:
            return


def test_r28_key_opens_when_made_and_is_refused_within_a_second_of_its_revocation(site: Site) -> None:
    with site.running() as gateway:
        site.commands("tenants", "create", "acme")
        made = site.gives("keys", "create", "--tenant", "acme")
        opened = status(gateway, made["token"])
        kept = site.gives("keys", "create", "--tenant", "acme")

        site.commands("keys", "revoke", made["key"]["id"])
        answers = list(until(gateway, made["token"], 401, REVOKED_S))

        assert opened == 200
        assert answers[-1] == 401
        assert set(answers) <= {200, 401}
        assert status(gateway, kept["token"]) == 200

        site.commands("tenants", "revoke", "acme")
        assert list(until(gateway, kept["token"], 401, REVOKED_S))[-1] == 401
        site.commands("tenants", "restore", "acme")
        assert list(until(gateway, kept["token"], 200, REVOKED_S))[-1] == 200


def test_key_of_the_old_secret_opens_after_a_rotation(site: Site) -> None:
    site.commands("tenants", "create", "acme")
    old = site.gives("keys", "create", "--tenant", "acme")["token"]

    site.commands("secret", "rotate")
    new = site.gives("keys", "create", "--tenant", "acme")["token"]

    with site.running() as gateway:
        assert status(gateway, old) == 200
        assert status(gateway, new) == 200
    secret = site.data / "secret"
    secret.write_text(secret.read_text().splitlines()[0])
    with site.running() as gateway:
        assert status(gateway, old) == 401
        assert status(gateway, new) == 200
