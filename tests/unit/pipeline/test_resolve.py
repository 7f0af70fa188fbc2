"""From a model's name to a target: who serves it, with whose key, and what a restricted caller may learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.call import AuthMethod, Call, Principal
from isthmusd.core.errors import InvalidRequest, PermissionDenied, Unauthenticated, UnknownModel
from isthmusd.core.profile import AuthScheme, Flavour, Provider
from isthmusd.core.routing import Target
from isthmusd.core.tenants import ForwardGrant, Grants, Tenant
from isthmusd.pipeline.resolve import ModelAlias, Resolver

from tests.unit.pipeline.world import START

OPENAI = Provider(
    name="openai", base_url="http://o/v1", api_key="sk-o", endpoint="main", models=("gpt",), key_prefixes=("sk-",)
)
CLAUDE = Provider(name="claude", base_url="http://c/v1", models=("opus",), key_prefixes=("sk-ant-",))
BOX = Provider(
    name="box",
    base_url="http://b/v1",
    needs_key=False,
    auth=AuthScheme.NONE,
    models=("tiny", "gpt"),
    flavours={"tiny": Flavour.COMPLETION},
)
ALIASES = {
    "fast": ModelAlias(provider="openai", model="gpt-mini"),
    "opus-alias": ModelAlias(provider="claude", model="opus"),
}
ANONYMOUS = Principal(
    tenant="t", key_id="anonymous", method=AuthMethod.ANONYMOUS, grants=Grants(forward=ForwardGrant.SHARED)
)


def resolver(*providers: Provider, anonymous: bool = True, default: str | None = "openai") -> Resolver:
    return Resolver(
        {provider.name: provider for provider in providers or (OPENAI, CLAUDE, BOX)},
        ALIASES if not providers else {},
        default,
        anonymous=anonymous,
        foreign_prefixes={"AIza": "gemini"},
    )


MOVING = ("..", ".", "../x", "a/../b", "a/..", "a/./b", "a\\..\\b", "..;x/b", "%2e%2e", "a%2F..%2fb", "%252e%252e/x")
CONTROLLING = ("a\x00b", "a\r\nb: c", "\t", "a\x7f", "a%00b", "a%0d%0ab", "a%250ab")


def holder_of(key: str, models: frozenset[str] | None = None) -> Principal:
    grants = Grants(models=models, forward=ForwardGrant.SHARED)
    return Principal(tenant="t", key_id="k", method=AuthMethod.PROVIDER_KEY, grants=grants, provider_key=key)


def call_by(principal: Principal = ANONYMOUS, **wishes: Any) -> Call:
    return Call(request_id="r", principal=principal, started_at=START, deadline_at=None, **wishes)


def target_of(given: Resolver, model: str, principal: Principal = ANONYMOUS, **wishes: Any) -> Target:
    (target,) = given.resolve(call_by(principal, **wishes), model).targets
    return target


@pytest.mark.parametrize(
    ("model", "provider", "upstream_model"),
    [
        ("fast", "openai", "gpt-mini"),
        ("gpt", "openai", "gpt"),
        ("tiny", "box", "tiny"),
        ("box/anything/at-all", "box", "anything/at-all"),
        ("openai/gpt", "openai", "gpt"),
        ("as-new-as-today", "openai", "as-new-as-today"),
    ],
)
def test_aliases_then_known_models_then_prefixes_then_the_default(
    model: str, provider: str, upstream_model: str
) -> None:
    target = target_of(resolver(), model)

    assert (target.provider.name, target.model) == (provider, upstream_model)
    assert not target.callers_own_key


@pytest.mark.parametrize("model", ["nobody/gpt", "openai/", "/gpt", "box/"])
def test_an_unknown_prefix_is_an_unknown_model(model: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        resolver().resolve(call_by(), model)

    assert refused.value.param == "model"


def test_a_bare_name_without_a_usable_default_is_unknown() -> None:
    for given in (resolver(default=None), resolver(CLAUDE, default="claude"), resolver(BOX, default="openai")):
        with pytest.raises(UnknownModel):
            given.resolve(call_by(), "as-new-as-today")


def test_a_model_to_try_is_suggested_where_there_is_one() -> None:
    trying = Resolver({"box": BOX}, {}, None, anonymous=True, trial_model="box/tiny")

    with pytest.raises(UnknownModel, match="use the model box/tiny"):
        trying.resolve(call_by(), "gpt-0")
    with pytest.raises(UnknownModel) as refused:
        resolver(BOX, default=None).resolve(call_by(), "x" * 5000)
    assert "without any key" not in refused.value.message
    assert len(refused.value.message) < 400


def test_under_anonymous_access_the_gateways_key_wins_over_the_callers() -> None:
    target = target_of(resolver(), "gpt", holder_of("sk-mine"))

    assert (target.secret, target.callers_own_key) == ("sk-o", False)


def test_elsewhere_a_providers_key_pays_for_itself() -> None:
    target = target_of(resolver(anonymous=False), "gpt", holder_of("sk-mine"))

    assert (target.secret, target.callers_own_key) == ("sk-mine", True)


def test_a_providers_key_opens_a_provider_that_the_gateway_has_no_key_for() -> None:
    target = target_of(resolver(), "claude/opus", holder_of("sk-ant-1"))

    assert (target.secret, target.callers_own_key) == ("sk-ant-1", True)


def test_without_any_key_the_message_says_what_to_configure() -> None:
    with pytest.raises(Unauthenticated) as refused:
        resolver().resolve(call_by(), "claude/opus")

    assert refused.value.code == "no_provider_credential"
    assert "CLAUDE_API_KEY" in refused.value.message


@pytest.mark.parametrize(
    ("model", "key"), [("gpt", "sk-ant-1"), ("claude/opus", "sk-1"), ("gpt", "AIza-1"), ("claude/opus", "AIza-1")]
)
def test_a_key_of_another_provider_is_refused(model: str, key: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        resolver(anonymous=False).resolve(call_by(holder_of(key)), model)

    assert refused.value.code == "invalid_api_key"
    assert key not in refused.value.message


def test_a_key_of_an_unknown_form_is_tried_where_it_is_sent() -> None:
    assert target_of(resolver(anonymous=False), "gpt", holder_of("custom")).secret == "custom"


def test_a_caller_with_a_providers_key_may_not_use_hosts_that_need_none() -> None:
    with pytest.raises(Unauthenticated):
        resolver(anonymous=False).resolve(call_by(holder_of("custom")), "tiny")


@pytest.mark.parametrize("method", [AuthMethod.GATEWAY_KEY, AuthMethod.TEMPORARY_CREDENTIAL, AuthMethod.IDENTITY_TOKEN])
def test_callers_of_this_gateway_use_its_keys(method: AuthMethod) -> None:
    principal = Principal(tenant="t", key_id="k", method=method, owner=Tenant(id="t"))

    assert target_of(resolver(anonymous=False), "gpt", principal).secret == "sk-o"


def test_a_credential_that_stands_for_a_providers_key_opens_nothing_of_the_gateways() -> None:
    issued = replace(holder_of("sk-mine"), method=AuthMethod.TEMPORARY_CREDENTIAL)

    target = target_of(resolver(anonymous=False), "gpt", issued)

    assert (target.secret, target.callers_own_key) == ("sk-mine", True)
    with pytest.raises(Unauthenticated):
        resolver(anonymous=False).resolve(call_by(issued), "tiny")


def test_an_endpoint_picks_a_named_credential() -> None:
    assert target_of(resolver(), "gpt", endpoint="main").provider.endpoint == "main"

    for model, endpoint in (("gpt", "other"), ("tiny", "main"), ("gpt", "")):
        with pytest.raises(InvalidRequest) as refused:
            resolver().resolve(call_by(endpoint=endpoint), model)
        assert refused.value.param == "x-isthmus-endpoint"


@pytest.mark.parametrize("model", ["gpt", "nobody/gpt", "claude/opus", "as-new-as-today", "openai/granted"])
def test_a_restricted_caller_learns_nothing_about_other_models(model: str) -> None:
    principal = holder_of("sk-1", frozenset({"granted"}))

    with pytest.raises(PermissionDenied) as refused:
        resolver().resolve(call_by(principal), model)

    assert refused.value.code == "model_not_allowed"
    assert refused.value.message == f"your key does not allow the model '{model}'"


def test_a_grant_is_for_the_name_as_it_is_asked_for() -> None:
    principal = holder_of("sk-1", frozenset({"fast"}))

    assert target_of(resolver(), "fast", principal).model == "gpt-mini"


def test_calls_that_name_no_model_go_to_the_default_provider() -> None:
    (target,) = resolver().resolve_default(call_by()).targets

    assert (target.provider.name, target.model) == ("openai", "")


def test_calls_that_name_no_model_are_refused_without_a_default_or_with_a_bound_key() -> None:
    with pytest.raises(UnknownModel):
        resolver(default=None).resolve_default(call_by())
    with pytest.raises(PermissionDenied):
        resolver().resolve_default(call_by(holder_of("sk-1", frozenset({"gpt"}))))


def test_a_list_shows_what_the_caller_may_use_once_each() -> None:
    def ids(principal: Principal) -> list[str]:
        return [listed.id for listed in resolver().models(principal)]

    assert ids(ANONYMOUS) == ["box/gpt", "box/tiny", "fast", "gpt", "opus-alias"]
    assert ids(holder_of("sk-ant-1")) == ["box/gpt", "box/tiny", "claude/opus", "fast", "gpt", "opus-alias"]
    assert ids(holder_of("sk-1", frozenset({"gpt", "nothing"}))) == ["gpt"]


def test_listed_models_name_their_provider() -> None:
    assert {listed.id: listed.provider for listed in resolver().models(ANONYMOUS)}["box/tiny"] == "box"


@pytest.mark.parametrize("prefix", ["", "openai/", "claude/", "box/"])
@pytest.mark.parametrize("model", [*MOVING, *CONTROLLING, "m" * 2049, "%" * 2049])
def test_a_name_that_would_move_a_path_is_no_model(prefix: str, model: str) -> None:
    with pytest.raises(UnknownModel):
        target_of(resolver(), prefix + model)


@pytest.mark.parametrize(
    "model", ["...", "a..b", ".a", "a.", "..a/b..", "a%b", "arn:aws:x:1:y/z", "\u2026", "a;..", "m" * 2000]
)
def test_dots_elsewhere_are_only_dots(model: str) -> None:
    assert target_of(resolver(), "openai/" + model).model == model


def test_what_the_configuration_names_may_be_called_anything() -> None:
    given = Resolver({"openai": OPENAI}, {"..": ModelAlias(provider="openai", model="gpt")}, "openai", anonymous=True)

    assert target_of(given, "..").model == "gpt"
