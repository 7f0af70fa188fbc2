"""`isthmus keys`: the token comes out once, alone, and nothing else of it ever."""

from __future__ import annotations

import re
import time
from datetime import datetime

import pytest

from tests.unit.cli.commands import Isthmus, has

TOKEN = re.compile(r"isk_[\w-]+\.[\w-]+\.[\w-]+\n")


@pytest.fixture
def with_tenant(isthmus: Isthmus) -> Isthmus:
    isthmus.does("tenants", "create", "acme")
    return isthmus


def seconds_until(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() - time.time()


def test_r16_token_is_alone_on_stdout_and_nowhere_again(with_tenant: Isthmus) -> None:
    result = with_tenant.does("keys", "create", "--tenant", "acme", "--name", "laptop")

    token = result.stdout
    assert TOKEN.fullmatch(token)
    assert token.strip() not in result.stderr
    assert "laptop" in result.stderr
    assert "not shown again" in result.stderr
    shown = with_tenant.does("keys", "list").stdout + with_tenant.does("keys", "list", "--json").stdout
    signature = token.strip().rpartition(".")[2]
    assert signature not in shown
    kept = [path.read_bytes() for path in with_tenant.data.rglob("*") if path.is_file()]
    assert not any(signature.encode() in content for content in kept)


def test_a_token_names_no_key(with_tenant: Isthmus) -> None:
    token = with_tenant.does("keys", "create", "--tenant", "acme").stdout.strip()

    said = with_tenant.refuses("keys", "revoke", token)

    assert "name the key by its id" in said
    assert token not in said


def test_models_that_the_tenant_may_not_use_are_told(with_tenant: Isthmus) -> None:
    with_tenant.does("tenants", "update", "acme", "--model", "fast")

    made = with_tenant.does("keys", "create", "--tenant", "acme", "--model", "fats", "--model", "fast")

    assert "tenant acme may not use fats, so neither may this key" in made.stderr
    assert made.stdout.startswith("isk_")


def test_programs_get_token_and_key_together(with_tenant: Isthmus) -> None:
    made = with_tenant.gives(
        *("keys", "create", "--tenant", "acme", "--name", "ci", "--model", "fast", "--project", "web"),
        *("--forward", "none", "--expires", "90d"),
    )

    assert TOKEN.fullmatch(made["token"] + "\n")
    key = made["key"]
    assert has(
        key,
        tenant="acme",
        name="ci",
        role="caller",
        grants={"models": ["fast"], "projects": ["web"], "forward": "none"},
        revoked_at=None,
    )
    assert seconds_until(key["expires_at"]) == pytest.approx(90 * 86_400, abs=60)
    assert with_tenant.gives("keys", "show", key["id"]) == key


def test_key_may_use_what_its_tenant_may_unless_told(with_tenant: Isthmus) -> None:
    key = with_tenant.gives("keys", "create", "--tenant", "acme")["key"]

    assert has(key, grants={"models": None, "projects": None, "forward": "shared"}, expires_at=None)


def test_keys_are_listed_of_one_tenant_or_all(with_tenant: Isthmus) -> None:
    with_tenant.does("tenants", "create", "beta")
    ids = {tenant: with_tenant.gives("keys", "create", "--tenant", tenant)["key"]["id"] for tenant in ("acme", "beta")}

    assert {each["id"] for each in with_tenant.gives("keys", "list")} == set(ids.values())
    assert [each["id"] for each in with_tenant.gives("keys", "list", "--tenant", "beta")] == [ids["beta"]]
    heading, row = with_tenant.does("keys", "list", "--tenant", "beta").stdout.splitlines()
    assert heading.split() == ["KEY", "TENANT", "NAME", "ROLE", "KID", "CREATED", "EXPIRES", "REVOKED"]
    assert row.split()[:4] == [ids["beta"], "beta", "-", "caller"]


def test_rotated_key_has_the_same_rights_and_the_old_one_ends(with_tenant: Isthmus) -> None:
    old = with_tenant.gives(
        "keys", "create", "--tenant", "acme", "--name", "ci", "--model", "fast", "--role", "caller"
    )["key"]

    result = with_tenant.does("keys", "rotate", old["id"], "--grace", "15m")
    usual = with_tenant.gives("keys", "rotate", with_tenant.gives("keys", "create", "--tenant", "acme")["key"]["id"])

    assert TOKEN.fullmatch(result.stdout)
    keys = {each["id"]: each for each in with_tenant.gives("keys", "list")}
    assert seconds_until(keys[old["id"]]["expires_at"]) == pytest.approx(900, abs=60)
    new = next(each for each in keys.values() if each["name"] == "ci" and each["id"] != old["id"])
    assert has(new, grants=old["grants"], tenant="acme", role="caller", expires_at=None)
    assert usual["token"].startswith("isk_")
    ends = [seconds_until(each["expires_at"]) for each in keys.values() if each["expires_at"]]
    assert max(ends) == pytest.approx(86_400, abs=60)


def test_revoked_key_is_shown(with_tenant: Isthmus) -> None:
    key = with_tenant.gives("keys", "create", "--tenant", "acme")["key"]

    shown = with_tenant.does("keys", "revoke", key["id"]).stdout

    assert re.search(rf"^id +{key['id']}$", shown, re.MULTILINE)
    assert seconds_until(with_tenant.gives("keys", "show", key["id"])["revoked_at"]) == pytest.approx(0, abs=60)


def test_administrators_have_keys_too(with_tenant: Isthmus) -> None:
    assert with_tenant.gives("keys", "create", "--tenant", "acme", "--role", "admin")["key"]["role"] == "admin"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create",), "--tenant"),
        (("create", "--tenant", "nobody"), "no tenant"),
        (("create", "--tenant", "acme", "--expires", "soon"), "write it like 90d"),
        (("create", "--tenant", "acme", "--expires", "0d"), "never opens"),
        (("create", "--tenant", "acme", "--role", "root"), "'caller', 'admin'"),
        (("rotate", "nokey"), "no key"),
        (("rotate", "nokey", "--grace", "1"), "write it like 90d"),
        (("revoke", "nokey"), "no key"),
        (("show", "x'; DROP TABLE keys; --"), "key"),
    ],
)
def test_wrong_input_says_what_to_do(with_tenant: Isthmus, arguments: tuple[str, ...], message: str) -> None:
    assert message in with_tenant.refuses("keys", *arguments)
