"""Several named credentials of one provider."""

from __future__ import annotations

import pytest
from isthmusd.core.profile import Provider
from isthmusd.providers.catalog import ConfigurationError, EndpointOptions, ProviderOptions, build

BLUE, GREEN = EndpointOptions(api_key="b"), EndpointOptions(api_key="g", base_url="http://green/v1/")
BOTH = {"blue": BLUE, "green": GREEN}


def built(options: ProviderOptions, name: str = "openai") -> list[tuple[str | None, str | None, str]]:
    provider: Provider = build({name: options})[name]
    return [(host.endpoint, host.api_key, host.base_url) for host in (provider, *provider.alternates)]


OPENAI = "https://api.openai.com/v1"


def test_the_providers_own_key_comes_first_and_the_others_in_order() -> None:
    assert built(ProviderOptions(api_key="k", endpoint="main", endpoints=BOTH)) == [
        ("main", "k", OPENAI),
        ("blue", "b", OPENAI),
        ("green", "g", "http://green/v1"),
    ]


def test_without_an_own_key_the_first_named_one_is_the_providers() -> None:
    assert built(ProviderOptions(endpoints=BOTH)) == [("blue", "b", OPENAI), ("green", "g", "http://green/v1")]
    assert built(ProviderOptions(endpoint="main")) == [("main", None, OPENAI)]


def test_a_credential_may_be_another_place_with_the_same_key() -> None:
    options = ProviderOptions(api_key="k", endpoints={"west": EndpointOptions(base_url="http://west/v1")})

    assert built(options)[1] == ("west", "k", "http://west/v1")


def test_a_host_of_ones_own_needs_a_key_if_a_credential_has_one() -> None:
    options = ProviderOptions(base_url="http://box/v1", endpoints={"blue": BLUE})
    keyless = ProviderOptions(base_url="http://box/v1", endpoints={"two": EndpointOptions(base_url="http://two/v1")})

    assert built(options, "box") == [("blue", "b", "http://box/v1")]
    assert built(keyless, "box") == [(None, None, "http://box/v1"), ("two", None, "http://two/v1")]


def test_every_credential_knows_what_the_provider_knows_of_its_models() -> None:
    provider = build({"openai": ProviderOptions(endpoints=BOTH, models=("mine",))})["openai"]

    assert [host.models for host in (provider, *provider.alternates)] == [("mine",), ("mine",)]
    assert "sk" not in repr(EndpointOptions(api_key="sk"))


def test_a_credential_without_a_key_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.openai\.endpoints\.blue: api_key must be set"):
        build({"openai": ProviderOptions(endpoints={"blue": EndpointOptions()})})
