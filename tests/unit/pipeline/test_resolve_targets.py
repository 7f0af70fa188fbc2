"""From a model's name to several targets: order, credentials by name, and whose key opens which of them."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import InvalidRequest, PermissionDenied, Unauthenticated
from isthmusd.core.profile import AuthScheme, Provider
from isthmusd.core.routing import Target
from isthmusd.core.tenants import ForwardGrant, Grants, Tenant
from isthmusd.pipeline.resolve import ModelAlias, ModelTarget, Resolver

from tests.unit.pipeline.world import START

GREEN = Provider(name="openai", base_url="http://green/v1", api_key="sk-green", endpoint="green", key_prefixes=("sk-",))
OPENAI = Provider(
    name="openai",
    base_url="http://o/v1",
    api_key="sk-blue",
    endpoint="blue",
    models=("gpt",),
    key_prefixes=("sk-",),
    alternates=(GREEN,),
)
CLAUDE = Provider(name="claude", base_url="http://c/v1", api_key="sk-ant-1", endpoint="blue", key_prefixes=("sk-ant-",))
CLOSED = Provider(name="closed", base_url="http://x/v1", key_prefixes=("xk-",))
CLOUD = Provider(name="cloud", base_url="http://{region}/v1", api_key="k", missing=("params.region",))
BOX = Provider(name="box", base_url="http://b/v1", needs_key=False, auth=AuthScheme.NONE)


def one(provider: str, model: str, endpoint: str | None = None) -> ModelTarget:
    return ModelTarget(provider=provider, model=model, endpoint=endpoint)


ALIASES = {
    "fast": ModelAlias(targets=(one("openai", "gpt-mini"), one("claude", "haiku"))),
    "pinned": ModelAlias(targets=(one("openai", "gpt-mini", "green"), one("openai", "gpt-maxi"))),
    "short": ModelAlias(provider="openai", model="gpt-mini", endpoint="green"),
    "closed-first": ModelAlias(targets=(one("closed", "x"), one("claude", "haiku"))),
    "box-first": ModelAlias(targets=(one("box", "x"), one("openai", "gpt"))),
    "cloudy": ModelAlias(targets=(one("cloud", "x"), one("claude", "haiku"))),
}
ANONYMOUS = Principal(
    tenant="t", key_id="anonymous", method=AuthMethod.ANONYMOUS, grants=Grants(forward=ForwardGrant.SHARED)
)


def planned(model: str, key: str | None = None, anonymous: bool = True, **wishes: Any) -> tuple[Target, ...]:
    principal = ANONYMOUS
    if key is not None:
        principal = Principal(tenant="t", key_id="k", method=AuthMethod.PROVIDER_KEY, provider_key=key)
    call = Call(request_id="r", principal=principal, started_at=START, deadline_at=None, **wishes)
    providers = {each.name: each for each in (OPENAI, CLAUDE, CLOSED, CLOUD, BOX)}
    return Resolver(providers, ALIASES, "openai", anonymous=anonymous).resolve(call, model).targets


def shown(targets: tuple[Target, ...]) -> list[tuple[str, str, str | None]]:
    return [(target.provider.name, target.model, target.secret) for target in targets]


def test_targets_come_in_their_order_each_with_every_credential() -> None:
    assert shown(planned("fast")) == [
        ("openai", "gpt-mini", "sk-blue"),
        ("openai", "gpt-mini", "sk-green"),
        ("claude", "haiku", "sk-ant-1"),
    ]
    assert [target.provider.base_url for target in planned("gpt")] == ["http://o/v1", "http://green/v1"]


def test_a_target_may_be_bound_to_one_credential() -> None:
    assert [secret for _, _, secret in shown(planned("pinned"))] == ["sk-green", "sk-blue", "sk-green"]
    assert shown(planned("short")) == [("openai", "gpt-mini", "sk-green")]


def test_the_caller_picks_a_credential_by_name() -> None:
    assert shown(planned("fast", endpoint="green")) == [("openai", "gpt-mini", "sk-green")]
    assert [target.provider.name for target in planned("fast", endpoint="blue")] == ["openai", "claude"]
    assert [target.endpoint for target in planned("gpt", endpoint="green")] == ["green"]


@pytest.mark.parametrize(
    ("model", "endpoint", "hint"),
    [("fast", "red", "known: blue, green"), ("short", "blue", "known: green"), ("box/x", "blue", "none has a name")],
)
def test_a_name_that_is_not_the_models_is_refused_with_those_that_are(model: str, endpoint: str, hint: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        planned(model, endpoint=endpoint)

    assert refusal.value.param == "x-isthmus-endpoint"
    assert f"'{endpoint}'" in refusal.value.message
    assert hint in refusal.value.message


def test_a_restricted_caller_learns_no_names() -> None:
    principal = Principal(
        tenant="t",
        key_id="k",
        method=AuthMethod.GATEWAY_KEY,
        grants=Grants(models=frozenset({"short"})),
        owner=Tenant(id="t"),
    )
    call = Call(request_id="r", principal=principal, started_at=START, deadline_at=None, endpoint="red")
    resolver = Resolver({"openai": OPENAI}, ALIASES, "openai", anonymous=False)

    with pytest.raises(PermissionDenied) as refusal:
        resolver.resolve(call, "gpt")
    assert "blue" not in refusal.value.message
    with pytest.raises(InvalidRequest, match="known: green"):
        resolver.resolve(call, "short")


def test_a_callers_key_goes_to_the_first_targets_host_and_nowhere_else() -> None:
    (target,) = planned("fast", "sk-mine", anonymous=False)

    assert (target.provider.base_url, target.secret, target.callers_own_key) == ("http://o/v1", "sk-mine", True)


def test_a_callers_key_opens_every_model_of_that_host_once_in_order() -> None:
    targets = planned("pinned", "sk-mine", anonymous=False)

    # The second model's first credential is at another host than the first target's.
    assert [(target.model, target.provider.base_url) for target in targets] == [
        ("gpt-mini", "http://green/v1"),
        ("gpt-maxi", "http://green/v1"),
    ]
    assert {target.secret for target in targets} == {"sk-mine"}


def test_a_callers_key_does_not_pick_among_ours() -> None:
    with pytest.raises(InvalidRequest, match="your own key pays") as refusal:
        planned("fast", "sk-mine", anonymous=False, endpoint="blue")

    assert "green" not in refusal.value.message


def test_a_callers_key_of_another_host_is_refused_though_a_later_target_is_that_host() -> None:
    with pytest.raises(Unauthenticated):
        planned("fast", "sk-ant-9", anonymous=False)


def test_under_anonymous_access_our_keys_win_where_the_first_host_has_one() -> None:
    assert [secret for _, _, secret in shown(planned("fast", "sk-mine"))] == ["sk-blue", "sk-green", "sk-ant-1"]


def test_under_anonymous_access_a_key_opens_the_first_host_that_has_none_without_fallback_elsewhere() -> None:
    assert shown(planned("closed-first", "xk-1")) == [("closed", "x", "xk-1")]


def test_targets_without_a_credential_are_passed_over() -> None:
    assert shown(planned("closed-first")) == [("claude", "haiku", "sk-ant-1")]
    assert shown(planned("cloudy")) == [("claude", "haiku", "sk-ant-1")]
    assert [name for name, _, _ in shown(planned("box-first"))] == ["box", "openai", "openai"]


def test_a_caller_with_a_providers_key_may_use_no_target_of_ours() -> None:
    with pytest.raises(Unauthenticated):
        planned("box-first", "sk-mine", anonymous=False)


def test_what_an_operator_must_still_say_is_named() -> None:
    for key in (None, "anything"):
        with pytest.raises(Unauthenticated, match=r"the gateway's operator must set params\.region"):
            planned("cloud/x", key)


def test_calls_that_name_no_model_use_the_default_providers_credentials() -> None:
    call = Call(request_id="r", principal=ANONYMOUS, started_at=START, deadline_at=None, endpoint="green")
    resolver = Resolver({"openai": OPENAI}, {}, "openai", anonymous=True)

    assert shown(resolver.resolve_default(call).targets) == [("openai", "", "sk-green")]


def test_a_model_of_several_targets_is_listed_under_the_first_ones_provider() -> None:
    resolver = Resolver({"openai": OPENAI, "claude": CLAUDE}, {"fast": ALIASES["fast"]}, "openai", anonymous=True)

    assert {listed.id: listed.provider for listed in resolver.models(ANONYMOUS)}["fast"] == "openai"
