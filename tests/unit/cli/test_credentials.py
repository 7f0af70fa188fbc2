"""`isthmus credentials`: what callers issued, as the operator sees it."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import closing

import pytest
from isthmusd.core.tenants import Issuer, TemporaryCredential
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.database import Database
from isthmusd.stores.options import StoreOptions

from tests.unit.cli.commands import Isthmus, has


def issue(isthmus: Isthmus, name: str, tenant: str, **more: str | None) -> None:
    """Keep a credential as a worker does."""
    now = time.time()
    options = StoreOptions(url=f"sqlite:///{isthmus.data}/isthmus.db")
    credential = TemporaryCredential(
        id=name,
        tenant=tenant,
        issuer=Issuer(method="gateway_key", id="key-1"),
        created_at=now,
        expires_at=now + 600,
        model=more.get("model"),
        project=more.get("project"),
        custody=b"sealed-half",
    )
    with closing(Database(options)) as database:
        asyncio.run(StoredCredentials(database, options).add(credential))


@pytest.fixture
def with_credentials(isthmus: Isthmus) -> Isthmus:
    isthmus.does("tenants", "create", "acme")
    issue(isthmus, "first", "acme", model="fast", project="web")
    issue(isthmus, "second", "default")
    return isthmus


def test_credentials_are_listed_the_newest_first(with_credentials: Isthmus) -> None:
    assert [each["id"] for each in with_credentials.gives("credentials", "list")] == ["second", "first"]
    assert [each["id"] for each in with_credentials.gives("credentials", "list", "--tenant", "acme")] == ["first"]
    heading, row = with_credentials.does("credentials", "list", "--tenant", "acme").stdout.splitlines()
    assert heading.split() == ["CREDENTIAL", "TENANT", "MODEL", "PROJECT", "CREATED", "EXPIRES", "REVOKED"]
    assert row.split()[:4] == ["first", "acme", "fast", "web"]


def test_credential_is_shown_without_its_half_of_a_secret(with_credentials: Isthmus) -> None:
    shown = with_credentials.gives("credentials", "show", "first")

    assert has(shown, tenant="acme", issuer={"method": "gateway_key", "id": "key-1"}, model="fast", revoked_at=None)
    assert not {"custody", "token"} & set(shown)
    assert re.search(r"^issuer +gateway_key key-1$", with_credentials.does("credentials", "show", "first").stdout, re.M)


def test_revoked_credential_is_shown(with_credentials: Isthmus) -> None:
    revoked = with_credentials.gives("credentials", "revoke", "second")

    assert revoked["id"] == "second"
    assert revoked["revoked_at"] is not None


@pytest.mark.parametrize("command", ["show", "revoke"])
def test_unknown_credential_is_told(with_credentials: Isthmus, command: str) -> None:
    assert "isthmus: " in with_credentials.refuses("credentials", command, "' OR 1=1 --")
