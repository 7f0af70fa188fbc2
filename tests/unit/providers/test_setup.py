"""Addresses that an operator completes, and credentials of clouds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.profile import Provider
from isthmusd.core.signing import AwsSigning, EntraSigning, GoogleSigning
from isthmusd.providers.catalog import CATALOG, ConfigurationError, ProviderOptions, build, configured, setups
from isthmusd.providers.catalog_file import parse
from isthmusd.providers.setup import PLACEHOLDER, AwsOptions, EntraOptions, GoogleOptions

ENTRA = EntraOptions(tenant_id="t", client_id="c", client_secret="hidden")


def built(name: str, **options: Any) -> Provider:
    return build({name: ProviderOptions(**options)})[name]


@pytest.mark.parametrize(
    ("name", "params", "base_url"),
    [
        ("bedrock", {"region": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ("bedrock", {"region": "cn-north-1"}, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("vertex", {"project": "p-1"}, "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global"),
        (
            "vertex",
            {"project": "p-1", "location": "us-east5"},
            "https://us-east5-aiplatform.googleapis.com/v1/projects/p-1/locations/us-east5",
        ),
        (
            "vertex",
            {"project": "p-1", "location": "eu"},
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p-1/locations/eu",
        ),
        ("azure", {"resource": "mine"}, "https://mine.openai.azure.com/openai/v1"),
        ("azure", {"resource": "https://mine.openai.azure.com/"}, "https://mine.openai.azure.com/openai/v1"),
        ("azure", {"resource": "mine", "api_version": "2024-10-21"}, "https://mine.openai.azure.com/openai"),
        ("databricks", {"workspace": "dbc-1.cloud.databricks.com"}, "https://dbc-1.cloud.databricks.com/serving-endpoints"),
        ("databricks", {"workspace": " https://adb-1.2.azuredatabricks.net/\n"}, "https://adb-1.2.azuredatabricks.net/serving-endpoints"),
    ],
)  # fmt: skip
def test_params_complete_the_address(name: str, params: dict[str, str], base_url: str) -> None:
    provider = built(name, params=params, api_key="k")

    assert provider.base_url == base_url
    assert provider.missing == ()
    assert provider.usable


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("bedrock", ("providers.bedrock.params.region (or AWS_REGION, AWS_DEFAULT_REGION)",)),
        ("vertex", ("providers.vertex.params.project (or VERTEX_PROJECT, GOOGLE_CLOUD_PROJECT)",)),
        ("azure", ("providers.azure.params.resource (or AZURE_RESOURCE, AZURE_RESOURCE_NAME)",)),
        ("databricks", ("providers.databricks.params.workspace (or DATABRICKS_WORKSPACE, DATABRICKS_HOST)",)),
        ("openai", ()),
    ],
)
def test_what_is_missing_is_named(name: str, missing: tuple[str, ...]) -> None:
    assert CATALOG[name].missing == missing
    assert built(name, api_key="k").missing == missing
    assert built(name, api_key="k").usable is not bool(missing)


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_placeholder_of_the_catalogue_is_a_param(name: str) -> None:
    setup, provider = setups()[name], CATALOG[name]
    hosts = [provider, *provider.variants.values()]
    texts = [setup.base_url, *(case.base_url or "" for case in setup.cases)]
    paths = [path for host in hosts for path in host.paths.values()]
    paths += [path for case in setup.cases for path in case.paths.values()]

    assert {found for text in texts for found in PLACEHOLDER.findall(text)} <= set(setup.params)
    assert {found for text in paths for found in PLACEHOLDER.findall(text)} <= {"model", *setup.params}
    assert {case.param for case in setup.cases} <= set(setup.params)


def test_own_address_needs_no_params_but_those_of_signatures() -> None:
    url = "https://proxy.example.com/bedrock"

    assert built("bedrock", base_url=url, api_key="k").missing == ()
    signed = built("bedrock", base_url=url, aws=AwsOptions())
    assert (signed.base_url, signed.missing != ()) == (url, True)
    assert built("bedrock", base_url=url, aws=AwsOptions(), params={"region": "r"}).usable


def test_azure_has_two_kinds_of_paths() -> None:
    newer = built("azure", api_key="k", params={"resource": "r"})
    older = built("azure", api_key="k", params={"resource": "r", "api_version": "2024-10-21"})
    behind = built("azure", api_key="k", base_url="https://apim/openai", params={"api_version": "v"})

    assert newer.path_of("chat", True, "my gpt") is None
    assert older.path_of("chat", True, "my gpt") == "/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
    assert older.path_of("embedding", False, "e") == "/deployments/e/embeddings?api-version=2024-10-21"
    assert (behind.base_url, behind.path_of("completion", False, "m")) == (
        "https://apim/openai",
        "/deployments/m/completions?api-version=v",
    )


def test_vertex_serves_three_families() -> None:
    vertex = built("vertex", google=GoogleOptions(), params={"project": "p"})

    gemini = vertex.serving("gemini-3.5-flash")
    claude = vertex.serving("claude-opus-4-5@20251101")
    llama = vertex.serving("meta/llama-4-maverick")

    assert gemini.path_of("chat", True, "g") == "/publishers/google/models/g:streamGenerateContent?alt=sse"
    assert gemini.path_of("chat", False, "g") == "/publishers/google/models/g:generateContent"
    assert gemini.path_of("embedding", False, "e") == "/publishers/google/models/e:predict"
    assert claude.path_of("chat", False, "claude-opus-4-5@20251101") == (
        "/publishers/anthropic/models/claude-opus-4-5@20251101:rawPredict"
    )
    assert claude.path_of("chat", True, "c") == "/publishers/anthropic/models/c:streamRawPredict"
    assert (claude.profile.model_in_body, claude.profile.anthropic_version) == (False, "vertex-2023-10-16")
    assert (gemini.dialect, claude.dialect, llama.dialect) == ("gemini", "anthropic", "openai")
    assert {host.signing for host in (gemini, claude, llama)} == {GoogleSigning()}
    assert llama.path_of("chat", True, "meta/llama-4-maverick") == "/endpoints/openapi/chat/completions"


def test_every_claude_of_vertex_is_asked_as_vertex_wants_it() -> None:
    variants = {name: host for name, host in CATALOG["vertex"].variants.items() if name.startswith("claude-")}

    assert len(variants) > 1
    for host in variants.values():
        assert (host.dialect, host.profile.model_in_body) == ("anthropic", False)
        assert host.profile.anthropic_version == "vertex-2023-10-16"
        assert (host.path_of("chat", True, "c") or "").endswith("/publishers/anthropic/models/c:streamRawPredict")


def test_credentials_become_signatures() -> None:
    aws = AwsOptions(access_key_id="a", secret_access_key="hidden", session_token="hidden", role_arn="arn")
    account = '{"private_key": "hidden"}'

    bedrock = built("bedrock", aws=aws, params={"region": "r"})
    vertex = built("vertex", google=GoogleOptions(service_account=account), params={"project": "p"})
    azure = built("azure", entra=ENTRA, params={"resource": "r"})

    assert bedrock.signing == AwsSigning(
        region="r", access_key_id="a", secret_access_key="hidden", session_token="hidden", role_arn="arn"
    )
    assert vertex.signing == GoogleSigning(service_account=account)
    assert azure.signing == EntraSigning(tenant_id="t", client_id="c", client_secret="hidden")
    assert all(provider.usable for provider in (bedrock, vertex, azure))
    assert "hidden" not in f"{bedrock} {vertex} {azure} {aws} {ENTRA}"


def test_host_of_ones_own_may_be_signed_for() -> None:
    options = ProviderOptions(
        base_url="http://127.0.0.1:9", dialect="bedrock", aws=AwsOptions(profile="work"), params={"region": "r"}
    )

    mine = configured({}, {"mine": options})["mine"]

    assert mine.signing == AwsSigning(region="r", profile="work")
    assert mine.usable


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bedrock", {"params": {"regoin": "r"}}, "params.regoin: unknown param; did you mean 'region'?"),
        ("openai", {"params": {"region": "r"}}, "params.region: unknown param; this provider has none."),
        ("bedrock", {"params": {"region": "a/b"}}, "providers.bedrock.params.region: holds a character"),
        ("bedrock", {"params": {"region": "a@b"}}, "providers.bedrock.params.region: holds a character"),
        ("bedrock", {"params": {"region": ""}}, "providers.bedrock.params.region: holds a character"),
        ("bedrock", {"aws": AwsOptions(access_key_id="a")}, "providers.bedrock.aws: access_key_id and secret"),
        ("bedrock", {"aws": AwsOptions(), "api_key": "hidden"}, "providers.bedrock: api_key and aws are two"),
        ("vertex", {"google": GoogleOptions(), "entra": ENTRA}, "providers.vertex: google and entra are two"),
        (
            "azure",
            {"entra": replace(ENTRA, authority="login.example.com")},
            "azure.entra.authority: not a URL",
        ),
        ("azure", {"entra": EntraOptions(tenant_id="t")}, "providers.azure.entra: needs tenant_id, client_id and"),
        ("vertex", {"google": GoogleOptions(service_account="hidden.json")}, "to name the file, write file:PATH"),
        ("vertex", {"google": GoogleOptions(service_account="[]")}, "providers.vertex.google.service_account: not the"),
    ],
)
def test_impossible_words_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        built(name, **options)

    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_first_case_that_holds_counts() -> None:
    text = """
        [providers.x]
        base_url = "https://x"
        docs = ""
        params = { a = { default = "one" }, b = {} }
        [[providers.x.cases]]
        param = "b"
        paths = { chat = "/{b}/{model}" }
        [[providers.x.cases]]
        param = "a"
        value = "o*"
        base_url = "https://{a}"
    """

    catalog = parse(text)

    assert (catalog.providers["x"].base_url, dict(catalog.providers["x"].paths)) == ("https://one", {})
    assert [case.holds({"a": "one"}) for case in catalog.setups["x"].cases] == [False, True]
    assert [case.holds({"a": "none", "b": ""}) for case in catalog.setups["x"].cases] == [True, False]
