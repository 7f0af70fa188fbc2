"""The catalogue of hosts, and what an operator's options make of it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from isthmusd.core.profile import AuthScheme, Flavour, Profile, Provider
from isthmusd.dialects.registry import CALLABLE
from isthmusd.providers.auth import auth_headers
from isthmusd.providers.catalog import (
    CAPABILITIES,
    CATALOG,
    DIALECTS,
    KEY_PREFIXES,
    ConfigurationError,
    ProviderOptions,
    build,
    configured,
    fault,
    setups,
)
from isthmusd.providers.catalog_file import parse

RAW: dict[str, Any] = tomllib.loads((files("isthmusd.providers") / "catalog.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RAW["providers"])
def test_every_host_is_well_formed(name: str) -> None:
    host = RAW["providers"][name]
    provider = CATALOG[name]

    assert provider.name == name
    assert provider.dialect in DIALECTS
    assert provider.api_key is None
    assert not provider.base_url.endswith("/")
    assert urlsplit(provider.base_url).scheme in {"https", "http", "demo"}
    assert host["docs"].startswith("https://")
    local = urlsplit(provider.base_url).hostname == "127.0.0.1"
    assert provider.needs_key is not (local or name == "demo")
    assert local or urlsplit(provider.base_url).scheme != "http"


@pytest.mark.parametrize("name", [name for name, host in RAW["providers"].items() if "quirks" in host])
def test_every_quirk_says_where_it_is_shown(name: str) -> None:
    for quirk in RAW["providers"][name]["quirks"]:
        assert quirk["link"].startswith("https://")
        assert getattr(CATALOG[name].profile, quirk["field"]) != getattr(Profile(), quirk["field"])


def test_every_dialect_that_a_provider_may_speak_can_be_called() -> None:
    assert set(DIALECTS) == set(CALLABLE)


def test_a_variant_is_the_host_with_other_capabilities() -> None:
    text = """
        [providers.x]
        base_url = "https://x"
        docs = ""
        paths = { chat = "/all" }
        quirks = [{ field = "refuses", value = ["seed"], link = "" }]
        [[providers.x.variants]]
        models = ["old-*", "older"]
        dialect = "cohere"
        profiles = ["strict"]
        quirks = [{ field = "renames", value = { max_completion_tokens = "max_tokens" }, link = "" }]
        paths = { "chat.stream" = "/{model}:stream" }
    """
    profiles = '[[strict]]\nfield = "refuses"\nvalue = ["user"]\nlink = ""'

    host = parse(text, profiles).providers["x"]

    assert host.serving("new") is host
    old = host.serving("old-1")
    assert host.serving("older") == old
    assert (old.name, old.dialect, host.dialect) == ("x", "cohere", "openai")
    assert old.profile.refuses == {"seed", "user"}
    assert old.profile.renames == {"max_completion_tokens": "max_tokens"}
    assert old.path_of("chat", False, "old-1") == "/all"
    assert old.path_of("chat", True, "old/1") == "/old%2F1:stream"
    assert old.path_of("embedding", False, "old-1") is None


def test_options_reach_the_variants_too() -> None:
    host = '[providers.x]\nbase_url = "https://x"\ndocs = ""\n'
    known = parse(f'{host}[[providers.x.variants]]\nmodels = ["a*"]\ndialect = "cohere"').providers

    ours = configured(known, {"x": ProviderOptions(api_key="k")})["x"]
    other = configured(known, {"x": ProviderOptions(dialect="gemini")})["x"]

    assert (ours.serving("a1").api_key, ours.serving("a1").dialect) == ("k", "cohere")
    assert other.serving("a1").dialect == "gemini"


def test_no_bare_model_belongs_to_two_hosts() -> None:
    models = [model for provider in CATALOG.values() for model in provider.models]

    assert len(models) == len(set(models))


def test_no_key_prefix_belongs_to_two_hosts() -> None:
    prefixes = [prefix for provider in CATALOG.values() for prefix in provider.key_prefixes] + list(KEY_PREFIXES)

    assert len(prefixes) == len(set(prefixes))
    assert "sk-" not in prefixes
    assert KEY_PREFIXES["jina_"] == "jina"
    assert "sk-ant-" in CATALOG["anthropic"].key_prefixes
    assert not set(KEY_PREFIXES.values()) & set(CATALOG)


@pytest.mark.parametrize(
    ("provider", "model", "flavour"),
    [
        ("openai", "gpt-4o-mini", Flavour.CHAT),
        ("openai", "o3-mini", Flavour.CHAT),
        ("openai", "gpt-3.5-turbo", Flavour.CHAT),
        ("openai", "gpt-3.5-turbo-instruct", Flavour.COMPLETION),
        ("openai", "gpt-3.5-turbo-instruct-0914", Flavour.COMPLETION),
        ("openai", "davinci-002", Flavour.COMPLETION),
        ("openai", "babbage-002", Flavour.COMPLETION),
        ("openai", "text-embedding-3-small", Flavour.EMBEDDING),
        ("openai", "whisper-1", Flavour.UNKNOWN),
        ("mistral", "mistral-embed", Flavour.EMBEDDING),
        ("mistral", "mistral-large-latest", Flavour.CHAT),
        ("demo", "echo", Flavour.UNKNOWN),
        ("demo", "embed", Flavour.EMBEDDING),
    ],
)
def test_flavours(provider: str, model: str, flavour: Flavour) -> None:
    assert CATALOG[provider].flavour_of(model) is flavour


def test_known_quirks() -> None:
    assert not CATALOG["mistral"].profile.accepts_stream_options
    assert not CATALOG["perplexity"].profile.stream_ends_with_done


def test_variables_are_named_after_the_provider() -> None:
    known = setups()

    assert set(known) == set(CATALOG)
    assert known["openai"].env == "OPENAI"
    assert parse('[providers.x]\nbase_url = "https://x"\ndocs = ""\nenv = "Y"').setups["x"].env == "Y"


def test_catalogue_with_an_unknown_word_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        parse('[providers.x]\nbase_url = "https://x"\ndocs = ""\nbase_uri = "Y"')


def test_options_go_over_the_catalogue() -> None:
    options = ProviderOptions(
        base_url="http://127.0.0.1:9/v1/",
        api_key=" sk-x\n",
        endpoint="main",
        models=("m",),
        accepts={"stream_options": False, "stream_ends_with_done": False},
        flavours={"m": Flavour.COMPLETION},
    )

    merged = build({"openai": options})
    openai = merged["openai"]

    assert openai.base_url == "http://127.0.0.1:9/v1"
    assert openai.api_key == "sk-x"
    assert openai.usable
    assert openai.endpoint == "main"
    assert openai.models == ("m",)
    known = CATALOG["openai"].profile
    assert openai.profile == replace(known, accepts_stream_options=False, stream_ends_with_done=False)
    assert openai.flavour_of("m") is Flavour.COMPLETION
    assert openai.flavour_of("gpt-4o") is Flavour.CHAT
    assert openai.key_prefixes == CATALOG["openai"].key_prefixes
    assert "sk-x" not in repr(openai) + repr(options)
    assert {name: p for name, p in merged.items() if name != "openai"} == {
        name: p for name, p in CATALOG.items() if name != "openai"
    }


def test_no_options_change_nothing() -> None:
    assert build({}) == CATALOG
    assert build({"openai": ProviderOptions()}) == CATALOG


def test_unknown_name_defines_a_host() -> None:
    merged = configured({}, {"mybox": ProviderOptions(base_url="http://127.0.0.1:9/v1", models=("tiny",))})

    assert merged["mybox"] == Provider(
        name="mybox", base_url="http://127.0.0.1:9/v1", needs_key=False, models=("tiny",)
    )
    assert merged["mybox"].usable


def test_host_of_ones_own_with_a_key_needs_it() -> None:
    [provider] = configured({}, {"mybox": ProviderOptions(base_url="https://box/v1", api_key="x")}).values()

    assert provider.needs_key
    assert provider.api_key == "x"


def test_host_without_authentication_needs_no_key() -> None:
    assert not build({"openai": ProviderOptions(auth=AuthScheme.NONE)})["openai"].needs_key


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("opnai", ProviderOptions(api_key="x"), "providers.opnai: no such provider; did you mean 'openai'?"),
        ("zzzz", ProviderOptions(), "needs a base_url"),
        ("openai", ProviderOptions(dialect="openia"), "did you mean 'openai'?"),
        ("openai", ProviderOptions(accepts={"stream_option": True}), "did you mean 'stream_options'?"),
        ("openai", ProviderOptions(accepts={"telepathy": True}), "known: "),
        ("openai", ProviderOptions(base_url="api.openai.com/v1"), "providers.openai.base_url: not a URL"),
        ("openai", ProviderOptions(base_url="ftp://x/v1"), "not a URL"),
        ("openai", ProviderOptions(base_url="https:///v1"), "not a URL"),
        ("openai", ProviderOptions(base_url="https://x:port/v1"), "not a URL"),
        ("openai", ProviderOptions(base_url="https://[x/v1"), "not a URL"),
        ("openai", ProviderOptions(base_url="https://x/a b"), "not a URL"),
        ("openai", ProviderOptions(base_url="https://x/v1?key=hidden"), "no query"),
        ("openai", ProviderOptions(base_url="https://me:hidden@x/v1"), "password"),
        ("openai", ProviderOptions(api_key="hid\nden"), "providers.openai.api_key"),
        ("openai", ProviderOptions(api_key="hiddenü"), "providers.openai.api_key"),
    ],
)
def test_impossible_options_are_refused(name: str, options: ProviderOptions, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build({name: options})

    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert fault({name: options}) == str(caught.value)


def test_possible_options_have_no_fault() -> None:
    assert fault({"openai": ProviderOptions(api_key="x")}) is None


def test_every_capability_can_be_set() -> None:
    assert {"stream_options", "developer_role", "stream_ends_with_done"} <= set(CAPABILITIES)
    for capability, field in CAPABILITIES.items():
        profile = build({"vllm": ProviderOptions(accepts={capability: False})})["vllm"].profile
        assert getattr(profile, field) is False


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        (AuthScheme.BEARER, (("authorization", "Bearer s"),)),
        (AuthScheme.X_API_KEY, (("x-api-key", "s"),)),
        (AuthScheme.API_KEY, (("api-key", "s"),)),
        (AuthScheme.X_GOOG_API_KEY, (("x-goog-api-key", "s"),)),
        (AuthScheme.NONE, ()),
    ],
)
def test_secret_goes_into_the_header_of_the_scheme(scheme: AuthScheme, headers: tuple[tuple[str, str], ...]) -> None:
    provider = Provider(name="x", base_url="https://x", auth=scheme)

    assert auth_headers(provider, "s") == headers
    assert auth_headers(provider, None) == ()
