"""`isthmus secret`: a new master secret comes first, the old one opens as long as it is there; none is ever shown."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

import pytest
from isthmusd.core.keyring import Keyring

from tests.unit.cli.commands import Isthmus

OTHER = "another-secret-0123456789-abcdefghijklmnop"


@pytest.fixture
def with_tenant(isthmus: Isthmus) -> Isthmus:
    isthmus.does("tenants", "create", "acme")
    isthmus.does("tenants", "provider-keys", "set", "acme", "openai", stdin="sk-own")
    return isthmus


def lines(isthmus: Isthmus) -> list[str]:
    return (isthmus.data / "secret").read_text().splitlines()


def counted(isthmus: Isthmus) -> Iterator[tuple[bool, int, int]]:
    for row in isthmus.gives("secret", "status"):
        yield row["signs"], row["keys"], row["provider_keys"]


def test_status_counts_what_each_secret_still_carries(with_tenant: Isthmus) -> None:
    key = with_tenant.gives("keys", "create", "--tenant", "acme")["key"]
    revoked = with_tenant.gives("keys", "create", "--tenant", "acme")["key"]
    with_tenant.does("keys", "revoke", revoked["id"])

    status = with_tenant.gives("secret", "status")
    table = with_tenant.does("secret", "status").stdout.splitlines()

    assert status == [{"kid": key["kid"], "signs": True, "keys": 1, "provider_keys": 1}]
    assert re.split(r"\s{2,}", table[0]) == ["KID", "SIGNS", "KEYS", "PROVIDER KEYS"]
    assert table[1].split() == [key["kid"], "yes", "1", "1"]


def test_rotation_goes_from_the_old_secret_to_the_new_one(with_tenant: Isthmus) -> None:
    old = with_tenant.gives("keys", "create", "--tenant", "acme")["key"]
    before = lines(with_tenant)

    said = with_tenant.does("secret", "rotate")

    after = lines(with_tenant)
    assert after[1:] == before
    assert stat.S_IMODE((with_tenant.data / "secret").stat().st_mode) == 0o600
    assert list(counted(with_tenant)) == [(True, 0, 0), (False, 1, 1)]
    assert not any(secret in said.stdout + said.stderr for secret in after)
    steps = ["Restart", "isthmus tenants rotate --all", "isthmus keys rotate", "delete its line"]
    assert [step for step in steps if step in said.stderr] == steps

    assert with_tenant.gives("tenants", "rotate", "--all") == [{"tenant": "acme", "sealed": 1}]
    assert list(counted(with_tenant)) == [(True, 0, 1), (False, 1, 0)]
    new = with_tenant.gives("keys", "rotate", old["id"], "--grace", "0s")["key"]
    assert new["kid"] != old["kid"]
    assert list(counted(with_tenant)) == [(True, 1, 1), (False, 0, 0)]

    (with_tenant.data / "secret").write_text(after[0])
    assert list(counted(with_tenant)) == [(True, 1, 1)]


def test_rotated_secrets_are_as_strong_as_the_first(with_tenant: Isthmus) -> None:
    done = with_tenant.gives("secret", "rotate")

    assert done["file"] == str(with_tenant.data / "secret")
    assert done["kids"] == list(Keyring.parse("\n".join(lines(with_tenant))).public)
    assert len(lines(with_tenant)[0]) >= 64


def test_one_tenant_may_be_sealed_anew_alone(with_tenant: Isthmus) -> None:
    with_tenant.does("tenants", "create", "beta")
    with_tenant.does("secret", "rotate")

    assert with_tenant.does("tenants", "rotate", "beta").stdout.splitlines()[1].split() == ["beta", "0"]
    assert list(counted(with_tenant)) == [(True, 0, 0), (False, 0, 1)]


def test_what_a_lost_secret_carried_is_counted_apart(with_tenant: Isthmus) -> None:
    with_tenant.does("keys", "create", "--tenant", "acme")
    (with_tenant.data / "secret").write_text(OTHER)

    ours, lost = with_tenant.gives("secret", "status")

    assert (ours["signs"], ours["keys"], ours["provider_keys"]) == (True, 0, 0)
    assert lost == {"kid": None, "signs": False, "keys": 1, "provider_keys": 1}


def test_secret_of_the_settings_is_not_ours_to_change(isthmus: Isthmus) -> None:
    result = isthmus.run("secret", "rotate", environ={"ISTHMUS_SECRET": OTHER})

    assert result.exit_code == 1
    assert "separated by a space" in result.stderr
    assert OTHER not in result.stdout + result.stderr
    assert not (isthmus.data / "secret").exists()


def test_settings_that_cannot_be_are_told(isthmus: Isthmus) -> None:
    result = isthmus.run("secret", "rotate", environ={"ISTHMUS_LISTEN": "nowhere"})

    assert result.exit_code == 1
    assert result.stderr.startswith("isthmus: ")


def test_what_a_broken_rotation_left_behind_is_no_hindrance(with_tenant: Isthmus) -> None:
    (with_tenant.data / "secret.new").write_text("half")

    with_tenant.does("secret", "rotate")

    assert len(lines(with_tenant)) == 2
    assert not (with_tenant.data / "secret.new").exists()
