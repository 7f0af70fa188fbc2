"""`isthmus tenants`: each command on a real store."""

from __future__ import annotations

import re

import pytest

from tests.unit.cli.commands import Isthmus, has

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def test_tenant_is_created_shown_and_listed(isthmus: Isthmus) -> None:
    made = isthmus.gives(
        *("tenants", "create", "acme", "--name", "Acme Inc", "--model", "fast", "--model", "best"),
        *("--project", "web", "--forward", "shared", "--calls", "7"),
    )

    assert ISO.fullmatch(made.pop("created_at"))
    assert made == {
        "id": "acme",
        "name": "Acme Inc",
        "grants": {"models": ["best", "fast"], "projects": ["web"], "forward": "shared"},
        "calls": 7,
        "provider_keys": [],
        "projects": [],
        "revoked_at": None,
    }
    assert has(isthmus.gives("tenants", "show", "acme"), **made)
    assert [each["id"] for each in isthmus.gives("tenants", "list")] == ["acme"]


def test_tenant_may_use_everything_but_shared_keys_unless_told(isthmus: Isthmus) -> None:
    made = isthmus.gives("tenants", "create", "acme")

    assert made["grants"] == {"models": None, "projects": None, "forward": "own"}
    assert made["calls"] is None


def test_people_get_tables(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme", "--model", "fast")
    isthmus.does("tenants", "create", "beta")

    heading, acme, beta = isthmus.does("tenants", "list").stdout.splitlines()
    shown = isthmus.does("tenants", "show", "acme").stdout

    assert heading.split() == ["TENANT", "NAME", "MODELS", "FORWARD", "CREATED", "REVOKED"]
    assert acme.split()[:4] == ["acme", "-", "fast", "own"]
    assert beta.split()[:4] == ["beta", "-", "all", "own"]
    assert re.search(r"^may use models +fast$", shown, re.MULTILINE)
    assert re.search(r"^may use projects +all$", shown, re.MULTILINE)


def test_update_changes_what_is_given_only(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme", "--name", "Acme", "--model", "fast", "--project", "web", "--calls", "7")

    renamed = isthmus.gives("tenants", "update", "acme", "--name", "ACME")
    opened = isthmus.gives("tenants", "update", "acme", "--all-models", "--calls", "0")
    closed = isthmus.gives("tenants", "update", "acme", "--model", "best", "--all-projects", "--forward", "none")

    assert has(renamed, name="ACME", calls=7, grants={"models": ["fast"], "projects": ["web"], "forward": "own"})
    assert has(opened, name="ACME", calls=None, grants={"models": None, "projects": ["web"], "forward": "own"})
    assert has(closed, grants={"models": ["best"], "projects": None, "forward": "none"})


def test_revoked_tenant_can_be_restored(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme")

    revoked = isthmus.does("tenants", "revoke", "acme").stdout
    listed = isthmus.gives("tenants", "list")
    restored = isthmus.gives("tenants", "restore", "acme")

    assert re.search(r"^id +acme$", revoked, re.MULTILINE)
    assert ISO.fullmatch(listed[0]["revoked_at"])
    assert restored["revoked_at"] is None


def test_projects_are_set_listed_and_removed(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme")

    said = isthmus.does("tenants", "projects", "set", "acme", "web", "--record-bodies").stderr
    isthmus.does("tenants", "projects", "set", "acme", "batch")

    assert said == "calls of project web of tenant acme are recorded with what is asked and answered\n"
    listed = isthmus.gives("tenants", "projects", "list", "acme")
    assert sorted(listed, key=lambda each: each["name"]) == [
        {"name": "batch", "record_bodies": False},
        {"name": "web", "record_bodies": True},
    ]
    assert "web (record bodies)" in isthmus.does("tenants", "show", "acme").stdout
    isthmus.does("tenants", "projects", "set", "acme", "web", "--no-record-bodies")
    isthmus.does("tenants", "projects", "remove", "acme", "batch")
    assert isthmus.does("tenants", "projects", "list", "acme").stdout == "PROJECT  BODIES\nweb      no\n"


def test_subjects_are_set_listed_and_removed(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme")
    identity = ("--issuer", "https://id.example.com", "--subject", "user|1")

    done = isthmus.gives("tenants", "subjects", "set", "acme", *identity)

    assert done == {"tenant": "acme", "issuer": "https://id.example.com", "subject": "user|1"}
    assert isthmus.gives("tenants", "subjects", "list", "acme") == [
        {"issuer": "https://id.example.com", "subject": "user|1"}
    ]
    assert "user|1" in isthmus.does("tenants", "subjects", "list", "acme").stdout
    isthmus.does("tenants", "subjects", "remove", "acme", *identity)
    assert isthmus.gives("tenants", "subjects", "list", "acme") == []


def test_only_the_tenant_itself_loses_its_subject(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme")
    isthmus.does("tenants", "create", "beta")
    identity = ("--issuer", "https://id.example.com", "--subject", "u1")
    isthmus.does("tenants", "subjects", "set", "acme", *identity)

    assert "beta has no subject u1" in isthmus.refuses("tenants", "subjects", "remove", "beta", *identity)
    assert len(isthmus.gives("tenants", "subjects", "list", "acme")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nobody"), "no tenant"),
        (("update", "nobody", "--name", "x"), "no tenant"),
        (("revoke", "nobody"), "no tenant"),
        (("projects", "set", "nobody", "web"), "no tenant"),
        (("subjects", "list", "nobody"), "no tenant"),
        (("create", "acme"), "tenant"),
        (("create", "a b"), "letters, digits"),
        (("create", "default"), "default"),
        (("create", "new", "--calls", "0"), "--calls"),
        (("create", "new", "--forward", "all"), "'none', 'own', 'shared'"),
        (("update", "acme", "--model", "m", "--all-models"), "give one of them"),
        (("rotate",), "name a tenant, or say --all"),
        (("rotate", "acme", "--all"), "name a tenant, or say --all"),
        (("projects", "set", "acme", "a/b"), "letters, digits"),
        (("projects", "remove", "acme", "none"), "has none of this name"),
    ],
)
def test_wrong_input_says_what_to_do(isthmus: Isthmus, arguments: tuple[str, ...], message: str) -> None:
    isthmus.does("tenants", "create", "acme")

    assert message in isthmus.refuses("tenants", *arguments)


def test_settings_that_cannot_be_end_a_command(isthmus: Isthmus) -> None:
    result = isthmus.run("tenants", "list", environ={"ISTHMUS_SECRET": "changeme"})

    assert result.exit_code == 1
    assert result.stderr.startswith("isthmus: ")
    assert "openssl rand" in result.stderr
    assert "changeme" not in result.stderr


def test_store_that_cannot_be_used_ends_a_command(isthmus: Isthmus) -> None:
    result = isthmus.run("tenants", "list", environ={"ISTHMUS_STORE_URL": "mysql://someone:hidden@host/name"})

    assert result.exit_code == 1
    assert result.stderr.startswith("isthmus: ")
    assert "hidden" not in result.stderr


def test_an_issuer_that_the_settings_do_not_name_is_told(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "create", "acme")
    known = {"ISTHMUS_AUTH_FIREBASE_PROJECT": "my-app"}
    right = "https://securetoken.google.com/my-app"
    put = ("tenants", "subjects", "set", "acme", "--subject", "u1", "--issuer")

    wrong = isthmus.run(*put, f"{right}/", environ=known)

    assert f"did you mean {right}?" in wrong.stderr
    assert wrong.exit_code == 0
    assert "warning" not in isthmus.run(*put, right, environ=known).stderr
    assert "nor any" in isthmus.does(*put, right).stderr
