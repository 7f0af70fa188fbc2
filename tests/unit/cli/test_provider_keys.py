"""`isthmus tenants provider-keys`: secrets come in by ways that leave no trace, and never come out."""

from __future__ import annotations

from pathlib import Path

import pytest
from isthmusd.cli.store import opened

from tests.unit.cli.commands import Isthmus

SECRET = "sk-canary-4711"
SET = ("tenants", "provider-keys", "set")


@pytest.fixture
def with_tenant(isthmus: Isthmus) -> Isthmus:
    isthmus.does("tenants", "create", "acme")
    return isthmus


def test_secret_is_read_from_standard_input(with_tenant: Isthmus) -> None:
    result = with_tenant.does(*SET, "acme", "openai", stdin=f"{SECRET}\n")

    assert result.stdout == ""
    assert result.stderr == "tenant acme has its own key at openai now\n"
    assert with_tenant.gives("tenants", "provider-keys", "list", "acme") == [{"provider": "openai", "name": None}]


def test_secret_is_read_from_a_variable(with_tenant: Isthmus) -> None:
    result = with_tenant.run(*SET, "acme", "mistral", "--from-env", "KEY", "--json", environ={"KEY": SECRET})

    assert result.exit_code == 0
    assert SECRET not in result.stdout + result.stderr
    assert with_tenant.gives("tenants", "show", "acme")["provider_keys"] == [{"provider": "mistral", "name": None}]


def test_secret_is_read_from_a_file(with_tenant: Isthmus, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")

    done = with_tenant.gives(*SET, "acme", "openai", "--name", "eu", "--from-file", str(tmp_path / "key"))

    assert done == {"tenant": "acme", "provider": "openai", "name": "eu"}


def test_several_of_one_provider_are_told_apart_by_name(with_tenant: Isthmus) -> None:
    with_tenant.does(*SET, "acme", "openai", stdin=SECRET)
    with_tenant.does(*SET, "acme", "openai", "--name", "eu", stdin=SECRET)
    with_tenant.does(*SET, "acme", "openai", "--name", "eu", stdin=f"{SECRET}-again")

    table = with_tenant.does("tenants", "provider-keys", "list", "acme").stdout
    assert table == "PROVIDER  NAME\nopenai    -\nopenai    eu\n"
    assert "openai, openai eu" in with_tenant.does("tenants", "show", "acme").stdout

    with_tenant.does("tenants", "provider-keys", "remove", "acme", "openai", "--name", "eu")
    assert with_tenant.gives("tenants", "provider-keys", "list", "acme") == [{"provider": "openai", "name": None}]


def test_providers_of_the_configuration_are_known_too(with_tenant: Isthmus, tmp_path: Path) -> None:
    (tmp_path / "isthmus.yaml").write_text('providers: {mybox: {base_url: "http://127.0.0.1:9/v1"}}')

    done = with_tenant.gives(*SET, "acme", "mybox", "--config", str(tmp_path / "isthmus.yaml"), stdin=SECRET)

    assert done["provider"] == "mybox"


def test_r11_secret_is_in_no_output_and_in_no_file(with_tenant: Isthmus) -> None:
    with_tenant.does(*SET, "acme", "openai", stdin=SECRET)

    shown = [
        with_tenant.does("tenants", *arguments).stdout
        for arguments in (("show", "acme"), ("list", "--json"), ("provider-keys", "list", "acme"))
    ]
    kept = [path for path in with_tenant.data.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    assert SECRET not in "".join(shown)
    assert kept == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("acme", "opnai"), SECRET, "opnai is no provider; did you mean 'openai'?"),
        (("nobody", "openai"), SECRET, "no tenant"),
        (("acme", "openai"), "", "standard input holds no secret; pipe it in"),
        (("acme", "openai"), "two words", "holds more than a secret"),
        (("acme", "openai"), f'"{SECRET}"\n', "holds quotation marks"),
        (("acme", "openai"), "isk_abc", "a key of the gateway itself"),
        (("acme", "openai", "--from-env", "UNSET"), SECRET, "variable UNSET holds no secret"),
        (
            ("acme", "openai", "--from-file", "/no/such/file"),
            SECRET,
            "/no/such/file cannot be read: No such file or directory",
        ),
        (("acme", "openai", "--from-env", "A", "--from-file", "b"), SECRET, "give one of them"),
    ],
)
def test_wrong_input_says_what_to_do(
    with_tenant: Isthmus, arguments: tuple[str, ...], stdin: str, message: str
) -> None:
    said = with_tenant.refuses(*SET, *arguments, stdin=stdin)

    assert message in said
    assert SECRET not in said


def test_secret_is_no_argument(with_tenant: Isthmus) -> None:
    result = with_tenant.run(*SET, "acme", "openai", "--secret", SECRET)

    assert result.exit_code == 2


def test_removing_what_is_not_there_is_told(with_tenant: Isthmus) -> None:
    assert "has none of this name" in with_tenant.refuses("tenants", "provider-keys", "remove", "acme", "openai")


def test_r9_references_of_tenants_stay_text(with_tenant: Isthmus) -> None:
    with_tenant.does(*SET, "acme", "openai", stdin="${OPENAI_API_KEY}")
    with_tenant.does(*SET, "acme", "mistral", stdin="file:/etc/hostname")

    with opened(None, with_tenant.data) as store:
        kept = store.administration.tenant("acme").provider_keys

    assert kept["openai"][0].secret == "${OPENAI_API_KEY}"
    assert kept["mistral"][0].secret == "file:/etc/hostname"
