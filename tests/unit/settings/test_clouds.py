"""What variables and files say of clouds: which provider they enable, what is secret, what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from isthmusd.core.profile import Provider
from isthmusd.core.signing import AwsSigning, EntraSigning, GoogleSigning
from isthmusd.providers.catalog import build
from isthmusd.settings import Settings, SettingsError, load

ACCOUNT = '{"type": "service_account", "private_key": "very-secret"}'
ENTRA = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "very-secret"}


def loaded(tmp_path: Path, environ: Mapping[str, str], text: str | None = None) -> Settings:
    config = tmp_path / "isthmus.yaml"
    config.write_text(text or "")
    config.chmod(0o600)
    return load(config if text else None, environ, {})


def provider(settings: Settings, name: str) -> Provider:
    return build(settings.providers)[name]


@pytest.mark.parametrize(
    ("name", "environ"),
    [
        ("anthropic", {"ANTHROPIC_API_KEY": "k"}),
        ("google", {"GEMINI_API_KEY": "k"}),
        ("google", {"GOOGLE_API_KEY": "k"}),
        ("google", {"GOOGLE_API_KEY": "other", "GEMINI_API_KEY": "k"}),
        ("cohere", {"COHERE_API_KEY": "k"}),
        ("cohere", {"CO_API_KEY": "k"}),
        ("huggingface", {"HF_TOKEN": "k"}),
        ("bedrock", {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "r", "AWS_PROFILE": "p"}),
        ("azure", {"AZURE_API_KEY": "k", "AZURE_RESOURCE": "r"} | ENTRA),
        ("azure", {"AZURE_OPENAI_API_KEY": "k", "AZURE_BASE_URL": "https://r.openai.azure.com/openai/v1"}),
        ("databricks", {"DATABRICKS_TOKEN": "k", "DATABRICKS_HOST": "https://dbc.cloud.databricks.com/"}),
    ],
)
def test_keys_of_the_environment_enable(tmp_path: Path, name: str, environ: dict[str, str]) -> None:
    settings = loaded(tmp_path, environ)

    found = provider(settings, name)
    assert (found.api_key, found.signing, found.missing) == ("k", None, ())
    assert found.usable
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("name", "environ", "signing"),
    [
        (
            "bedrock",
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "r1", "AWS_DEFAULT_REGION": "r2"},
            AwsSigning(region="r1"),
        ),
        ("bedrock", {"AWS_PROFILE": "p", "AWS_DEFAULT_REGION": "r2"}, AwsSigning(region="r2")),
        (
            "bedrock",
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/", "AWS_REGION": "r"},
            AwsSigning(region="r"),
        ),
        ("vertex", {"VERTEX_PROJECT": "p"}, GoogleSigning()),
        (
            "vertex",
            {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/account.json", "GOOGLE_CLOUD_PROJECT": "p"},
            GoogleSigning(),
        ),
        (
            "azure",
            ENTRA | {"AZURE_RESOURCE": "r"},
            EntraSigning(tenant_id="t", client_id="c", client_secret="very-secret"),
        ),
    ],
)
def test_variables_of_clouds_enable(tmp_path: Path, name: str, environ: dict[str, str], signing: object) -> None:
    settings = loaded(tmp_path, environ)

    found = provider(settings, name)
    assert (found.signing, found.missing, found.usable) == (signing, (), True)
    assert Settings.read(settings.dump()) == settings
    assert "very-secret" not in f"{settings} {settings.masked()}"


def test_variables_set_params(tmp_path: Path) -> None:
    environ = {"VERTEX_PROJECT": "p", "VERTEX_LOCATION": "europe-west4", "BEDROCK_BASE_URL": "http://127.0.0.1:9"}

    settings = loaded(tmp_path, environ)

    assert provider(settings, "vertex").base_url.startswith("https://europe-west4-aiplatform.googleapis.com/")
    assert provider(settings, "bedrock").base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("environ", [{"AWS_REGION": "r"}, {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}])
def test_half_a_credential_enables_nothing(tmp_path: Path, environ: dict[str, str]) -> None:
    known = build(loaded(tmp_path, environ).providers)

    assert not known["bedrock"].usable
    assert not known["azure"].usable


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"AWS_PROFILE": "p"},
            "providers.bedrock: has a credential but cannot be called: set providers.bedrock.params.region (or "
            "AWS_REGION, AWS_DEFAULT_REGION)",
        ),
        (
            {"AZURE_API_KEY": "k"},
            "providers.azure: has a credential but cannot be called: set providers.azure.params.resource (or "
            "AZURE_RESOURCE, AZURE_RESOURCE_NAME)",
        ),
    ],
)
def test_operator_is_told_what_is_missing(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    assert said in loaded(tmp_path, environ).warnings


def test_file_says_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text(ACCOUNT)
    (tmp_path / "secret").write_text("very-secret\n")
    text = """
        providers:
          bedrock:
            params: {region: eu-west-1}
            aws: {access_key_id: AKID, secret_access_key: "${AWS_SECRET}", role_arn: "arn:aws:iam::1:role/x"}
          vertex:
            params: {project: p, location: us-east5}
            google: {service_account: file:account.json}
          azure:
            params: {resource: r}
            entra: {tenant_id: t, client_id: c, client_secret: file:secret}
    """

    settings = loaded(tmp_path, {"AWS_SECRET": "very-secret"}, text)

    assert provider(settings, "bedrock").signing == AwsSigning(
        region="eu-west-1", access_key_id="AKID", secret_access_key="very-secret", role_arn="arn:aws:iam::1:role/x"
    )
    assert provider(settings, "vertex").signing == GoogleSigning(service_account=ACCOUNT)
    assert provider(settings, "azure").signing == EntraSigning(
        tenant_id="t", client_id="c", client_secret="very-secret"
    )
    assert "very-secret" not in f"{settings} {settings.masked()}"
    assert settings.masked()["providers"]["bedrock"]["aws"] == {
        "access_key_id": "AKID",
        "secret_access_key": "***",
        "role_arn": "arn:aws:iam::1:role/x",
    }


def test_shown_settings_are_settings_again(tmp_path: Path) -> None:
    first = loaded(tmp_path, {"AWS_PROFILE": "p", "AWS_REGION": "r"}).masked()

    again = loaded(tmp_path, {}, yaml.safe_dump(first))

    assert again.masked() == first
    assert first["providers"]["bedrock"] == {"params": {"region": "r"}, "aws": {}}
    assert provider(again, "bedrock").signing == AwsSigning(region="r")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{aws: {profile: work}}", (None, AwsSigning(region="r", profile="work"))),
        ("{aws: {}}", (None, AwsSigning(region="r"))),
        ("{api_key: mine}", ("mine", None)),
        ("{models: [m]}", ("environments", None)),
        ("{}", ("environments", None)),
        ("", ("environments", None)),
    ],
)
def test_written_credential_keeps_those_of_the_environment_out(
    tmp_path: Path, written: str, expected: tuple[object, object]
) -> None:
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "environments", "AWS_PROFILE": "p", "AWS_REGION": "r"}

    found = provider(loaded(tmp_path, environ, f"providers: {{bedrock: {written}}}"), "bedrock")

    assert (found.api_key, found.signing) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "providers: {bedrock: {aws: {acces_key_id: a}}}",
            "providers.bedrock.aws.acces_key_id: unknown key; did you mean providers.bedrock.aws.access_key_id?",
        ),
        ("providers: {bedrock: {aws: yes}}", "providers.bedrock.aws: expected a map, got bool"),
        ("providers: {bedrock: {params: {region: 3}}}", "providers.bedrock.params.region: expected text, got int"),
        ("providers: {azure: {entra: {tenant_id: t}}}", "providers.azure.entra: needs tenant_id, client_id and"),
        ("providers: {vertex: {google: {service_account: file:none.json}}}", "cannot be read"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, {}, text)

    assert said in str(caught.value)


@pytest.mark.parametrize("field", ["aws: {access_key_id: a, secret_access_key: %s}", "api_key: %s"])
@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o600, False)])
def test_secrets_in_a_file_that_others_read_are_warned_of(tmp_path: Path, field: str, mode: int, warned: bool) -> None:
    config = tmp_path / "isthmus.yaml"
    config.write_text(f"providers: {{bedrock: {{params: {{region: r}}, {field % 'very-secret'}}}}}")
    config.chmod(mode)

    warnings: Any = load(config, {}, {}).warnings

    assert any("holds secrets" in warning for warning in warnings) is warned
