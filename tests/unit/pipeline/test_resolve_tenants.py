"""Tenants with keys of their own: what those open, and that the gateway's never stand in for them."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import (
    GatewayError,
    InvalidRequest,
    Misconfigured,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    UnknownModel,
)
from isthmusd.core.profile import AuthScheme, Provider
from isthmusd.core.resting import Resting
from isthmusd.core.routing import Plan, Target
from isthmusd.core.signing import GoogleSigning
from isthmusd.core.tenants import Grants, ProviderKey, Tenant
from isthmusd.pipeline.resolve import ModelAlias, ModelTarget, Resolver

from tests.unit.pipeline.world import START

GREEN = Provider(name="openai", base_url="http://green/v1", api_key="sk-green", endpoint="green")
OPENAI = Provider(
    name="openai", base_url="http://o/v1", api_key="sk-blue", endpoint="blue", models=("gpt",), alternates=(GREEN,)
)
CLAUDE = Provider(
    name="claude",
    base_url="http://c/v1",
    auth=AuthScheme.X_API_KEY,
    models=("opus",),
    variants={"opus*": Provider(name="claude", base_url="http://opus/v1", auth=AuthScheme.X_API_KEY)},
)
SIGNED = Provider(name="signed", base_url="http://s/v1", signing=GoogleSigning(service_account=None), models=("gpt",))
CLOUD = Provider(name="cloud", base_url="http://{region}/v1", missing=("params.region",), models=("cumulus",))
PROVIDERS = {each.name: each for each in (OPENAI, CLAUDE, SIGNED, CLOUD)}
ALIASES = {
    "pinned": ModelAlias(provider="openai", model="gpt-mini", endpoint="green"),
    "both": ModelAlias(
        targets=(
            ModelTarget(provider="openai", model="gpt-mini", endpoint="green"),
            ModelTarget(provider="openai", model="gpt-mini"),
            ModelTarget(provider="claude", model="haiku"),
        )
    ),
}


def tenant(name: str = "t", **keys: tuple[str, ...]) -> Tenant:
    """A tenant with keys by provider: the secret `sk-a` has the name `a`, `sk` has none."""
    owned = {
        provider: tuple(ProviderKey(provider=provider, name=s.partition("-")[2] or None, secret=s) for s in secrets)
        for provider, secrets in keys.items()
    }
    return Tenant(id=name, provider_keys=owned)


def call_of(owner: Tenant | None, models: frozenset[str] | None = None, **wishes: Any) -> Call:
    method = AuthMethod.ANONYMOUS if owner is None else AuthMethod.GATEWAY_KEY
    principal = Principal(tenant="t", key_id="k", method=method, grants=Grants(models=models), owner=owner)
    return Call(request_id="r", principal=principal, started_at=START, deadline_at=None, **wishes)


def resolver(default: str | None = "openai", *, anonymous: bool = False) -> Resolver:
    return Resolver(PROVIDERS, ALIASES, default, anonymous=anonymous)


def shown(targets: tuple[Target, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(target.provider.base_url, target.secret, target.endpoint) for target in targets]


def planned(owner: Tenant | None, model: str, **wishes: Any) -> list[tuple[str, str | None, str | None]]:
    return shown(resolver().resolve(call_of(owner, **wishes), model).targets)


def refusal(owner: Tenant, model: str, **wishes: Any) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        planned(owner, model, **wishes)
    return refused.value


def test_a_tenants_own_keys_are_all_that_it_uses_of_a_provider() -> None:
    owner = tenant(openai=("sk-a", "sk-b"))

    assert planned(owner, "gpt") == [("http://o/v1", "sk-a", "a"), ("http://o/v1", "sk-b", "b")]
    assert planned(tenant(), "gpt") == [("http://o/v1", "sk-blue", "blue"), ("http://green/v1", "sk-green", "green")]


def test_nothing_of_the_gateways_goes_along_with_a_tenants_key() -> None:
    (target,) = resolver().resolve(call_of(tenant(signed=("sk",))), "signed/gpt").targets

    assert target.provider.signing is None
    assert (target.provider.api_key, target.provider.alternates, target.secret) == ("sk", (), "sk")
    assert (target.owner, target.private, target.callers_own_key) == ("t", True, False)
    (plain,) = resolver().resolve(call_of(tenant()), "signed/gpt").targets
    assert (plain.owner, plain.private) == (None, False)


def test_a_providers_own_host_for_a_model_holds_for_tenants_too() -> None:
    assert planned(tenant(claude=("sk",)), "claude/opus-4") == [("http://opus/v1", "sk", None)]


def test_an_alias_mixes_a_tenants_keys_with_the_gateways_by_provider() -> None:
    assert planned(tenant(openai=("sk-a",)), "pinned") == [("http://o/v1", "sk-a", "a")]
    assert planned(tenant(claude=("sk",)), "both") == [
        ("http://green/v1", "sk-green", "green"),
        ("http://o/v1", "sk-blue", "blue"),
        ("http://green/v1", "sk-green", "green"),
        ("http://c/v1", "sk", None),
    ]
    both = tenant(openai=("sk-a",), claude=("sk",))
    assert planned(both, "both") == [("http://o/v1", "sk-a", "a"), ("http://c/v1", "sk", None)]


def test_the_caller_picks_among_the_tenants_names_only() -> None:
    owner = tenant(openai=("sk-a", "sk-b"))

    assert planned(owner, "gpt", endpoint="b") == [("http://o/v1", "sk-b", "b")]
    refused = refusal(owner, "gpt", endpoint="blue")
    assert isinstance(refused, InvalidRequest)
    assert "known: a, b" in refused.message


def test_a_tenants_key_opens_a_provider_that_the_gateway_has_no_key_of() -> None:
    assert planned(tenant(claude=("sk",)), "opus") == [("http://opus/v1", "sk", None)]
    assert isinstance(refusal(tenant(openai=("sk-a",)), "claude/haiku"), Unauthenticated)
    assert shown(resolver("claude").resolve(call_of(tenant(claude=("sk",))), "new").targets)[0][1] == "sk"
    with pytest.raises(UnknownModel):
        resolver("claude").resolve(call_of(tenant()), "new")


def test_a_bare_name_means_a_host_that_the_tenant_has_a_key_of() -> None:
    assert planned(tenant(signed=("sk",)), "gpt") == [("http://s/v1", "sk", None)]
    assert planned(tenant(claude=("sk",)), "gpt")[0][1] == "sk-blue"


def test_a_host_without_an_address_is_not_opened_by_a_key() -> None:
    owner = tenant(cloud=("sk",))

    assert "operator must set params.region" in refusal(owner, "cloud/cumulus").message
    assert "cloud/cumulus" not in [listed.id for listed in resolver().models(call_of(owner).principal)]


def test_r25_the_list_shows_what_a_tenants_keys_open() -> None:
    def ids(owner: Tenant | None, models: frozenset[str] | None = None) -> list[str]:
        return [listed.id for listed in resolver().models(call_of(owner, models).principal)]

    assert ids(None) == ids(tenant()) == ["both", "gpt", "pinned", "signed/gpt"]
    assert ids(tenant(claude=("sk",))) == ["both", "claude/opus", "gpt", "pinned", "signed/gpt"]
    assert ids(tenant(claude=("sk",)), frozenset({"gpt", "claude/opus"})) == ["claude/opus", "gpt"]


def test_r25_what_is_unknown_and_what_is_forbidden_are_refused_alike() -> None:
    owner = tenant(claude=("sk",))
    told = {
        refusal(owner, name, models=frozenset({"gpt"})).message.replace(name, "X") for name in ("opus", "no/such", "x")
    }

    assert len(told) == 1


@pytest.mark.parametrize("anonymous", [True, False])
def test_tenants_never_get_each_others_targets_nor_anonymous_callers_any_of_theirs(anonymous: bool) -> None:
    given = resolver(anonymous=anonymous)
    one, other = tenant("one", openai=("sk-1",)), tenant("other", openai=("sk-2",))
    renewed = tenant("one", openai=("sk-3",))

    asked = [one, other, renewed, tenant("poor"), one]
    secrets = [given.resolve(call_of(owner), "gpt").targets[0].secret for owner in asked]

    assert secrets == ["sk-1", "sk-2", "sk-3", "sk-blue", "sk-1"]
    if anonymous:
        assert given.resolve(call_of(None), "gpt").targets[0].secret == "sk-blue"
    else:
        with pytest.raises(Unauthenticated):
            given.resolve(call_of(None), "gpt")


def test_long_names_are_resolved_for_tenants_too() -> None:
    assert planned(tenant(openai=("sk-a",)), "m" * 500)[0][1] == "sk-a"


def test_one_provider_with_the_tenants_own_key() -> None:
    owner = tenant(openai=("sk-a", "sk-b"))

    assert resolver().resolve_own(call_of(owner), "openai").secret == "sk-a"
    assert resolver().resolve_own(call_of(owner, endpoint="b"), "openai").secret == "sk-b"
    with pytest.raises(InvalidRequest):
        resolver().resolve_own(call_of(owner, endpoint="blue"), "openai")


@pytest.mark.parametrize(("owner", "provider"), [(None, "openai"), (tenant(claude=("sk",)), "openai"), (tenant(), "x")])
def test_no_other_key_stands_in_where_the_tenants_own_is_meant(owner: Tenant | None, provider: str) -> None:
    with pytest.raises(NotFound) as refused:
        resolver(anonymous=True).resolve_own(call_of(owner), provider)

    assert refused.value.code == "provider_key_not_found"


def test_what_one_tenants_account_is_told_does_not_move_anothers_targets() -> None:
    resting, given = Resting(), resolver()
    both = [given.resolve(call_of(tenant(name, openai=("sk-a", "sk-b"))), "gpt") for name in ("one", "other")]

    resting.note(both[0].targets[0], Misconfigured("no"), 0.0)

    def order(plan: Plan) -> list[str | None]:
        return [target.secret for target in resting.order(plan, 1.0).targets]

    assert [order(plan) for plan in both] == [["sk-b", "sk-a"], ["sk-a", "sk-b"]]


def test_a_bound_caller_is_refused_before_anything_is_known_of_the_model() -> None:
    with pytest.raises(PermissionDenied):
        resolver().resolve_default(call_of(tenant(openai=("sk-a",)), frozenset({"gpt"})))
