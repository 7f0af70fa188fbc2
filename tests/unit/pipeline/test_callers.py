"""Whom keys and temporary credentials stand for, and what of that is asked again for every call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.call import AuthMethod
from isthmusd.core.errors import CredentialExpired, GatewayError, Unauthenticated
from isthmusd.core.identity import Identity
from isthmusd.core.keyring import seal_apart
from isthmusd.core.tenants import ForwardGrant, GatewayKey, Grants, Issuer, Role, Tenant
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, mint
from isthmusd.pipeline.callers import ANONYMOUS, NOTHING

from tests.fakes.callers import ISSUER, KEYRING
from tests.fakes.jose import segment
from tests.unit.pipeline.calling import ACME, IDP, Scene, jwt
from tests.unit.pipeline.world import START


def test_a_gateway_key_stands_for_its_tenant_within_both_grants() -> None:
    scene = Scene()
    scene.known.keys["k-1"] = GatewayKey(
        id="k-1", tenant="acme", grants=Grants(models=frozenset({"b", "c"})), expires_at=START + 60
    )

    principal = scene.principal(scene.key)

    assert (principal.tenant, principal.key_id, principal.method) == ("acme", "k-1", AuthMethod.GATEWAY_KEY)
    assert principal.grants == Grants(models=frozenset({"b"}), projects=frozenset({"p"}))
    assert (principal.owner, principal.provider_key, principal.expires_at) == (ACME, None, START + 60)


@pytest.mark.parametrize(
    ("change", "code", "kind"),
    [
        ({"revoked_at": START}, "invalid_api_key", Unauthenticated),
        ({"expires_at": START}, "credential_expired", CredentialExpired),
        ({"tenant": "other"}, "invalid_api_key", Unauthenticated),
    ],
)
def test_a_key_is_looked_up_for_every_call_though_its_signature_is_remembered(
    change: dict[str, Any], code: str, kind: type[GatewayError]
) -> None:
    scene = Scene()
    scene.known.tenants["other"] = Tenant(id="other")
    assert scene.principal(scene.key).key_id == "k-1"

    scene.known.keys["k-1"] = replace(scene.known.keys["k-1"], **change)

    refused = scene.refused(scene.key)
    assert (type(refused), refused.code) == (kind, code)


def test_what_a_key_may_is_worked_out_again_only_when_it_or_its_tenant_changes() -> None:
    scene = Scene()
    first = scene.principal(scene.key)
    assert scene.principal(scene.key) is first

    scene.known.keys["k-1"] = replace(scene.known.keys["k-1"], grants=Grants(models=frozenset({"b"})))
    narrowed = scene.principal(scene.key)
    scene.known.tenants["acme"] = replace(ACME, grants=Grants(models=frozenset({"a"})))

    assert (first.grants.models, narrowed.grants.models) == ({"a", "b"}, {"b"})
    assert scene.principal(scene.key).grants.models == set()


def test_a_key_that_is_remembered_ends_in_time() -> None:
    scene = Scene()
    scene.known.keys["k-1"] = replace(scene.known.keys["k-1"], expires_at=START + 60)
    assert scene.principal(scene.key).expires_at == START + 60

    scene.clock.still_at = 60

    assert scene.refused(scene.key).code == "credential_expired"


@pytest.mark.parametrize("change", [{"revoked_at": START}, {"expires_at": START}])
def test_a_record_can_name_the_key_or_credential_of_ours_that_was_refused(change: dict[str, Any]) -> None:
    scene = Scene()
    token = scene.credential(**change)
    scene.known.keys["k-1"] = replace(scene.known.keys["k-1"], **change)

    scene.refused(scene.key)
    scene.refused(token)
    scene.refused(scene.key[:-3] + "AAA")

    assert [(each.tenant, each.key_id, each.method) for each in scene.met] == [
        ("acme", "k-1", AuthMethod.GATEWAY_KEY),
        ("acme", "t-1", AuthMethod.TEMPORARY_CREDENTIAL),
    ]
    assert all(each.grants == NOTHING and each.owner is None for each in scene.met)


def test_a_key_that_nobody_knows_any_more_is_refused() -> None:
    scene = Scene()
    scene.principal(scene.key)

    del scene.known.keys["k-1"]

    assert scene.refused(scene.key).code == "invalid_api_key"


@pytest.mark.parametrize("tenant", [None, replace(ACME, revoked_at=START)])
def test_without_its_tenant_no_key_credential_or_identity_opens(tenant: Tenant | None) -> None:
    scene = Scene()
    token = jwt(iss=IDP, sub="alice")
    scene.identities.identities["alice"] = Identity(issuer=IDP, subject="alice", tenant="acme")
    tokens = [scene.key, scene.credential(), token]
    for each in tokens:
        assert scene.principal(each).tenant == "acme"

    scene.known.tenants.clear()
    if tenant is not None:
        scene.known.tenants["acme"] = tenant

    codes = [scene.refused(each).code for each in tokens]
    assert codes == ["invalid_api_key", "invalid_api_key", "tenant_not_found"]


def test_the_end_that_a_key_itself_says_counts_also_when_it_is_remembered() -> None:
    scene = Scene()
    claims = {"iss": ISSUER, "aud": ISSUER, "jti": "k-1", "tenant": "acme", "iat": int(START), "exp": int(START) + 60}
    key = KEY_PREFIX + mint(KEYRING.signer, KEY_TYPE, claims)
    assert scene.principal(key).key_id == "k-1"

    scene.clock.still_at = 60

    assert scene.refused(key).code == "credential_expired"


def test_r2_tokens_that_differ_in_their_last_character_share_nothing() -> None:
    scene = Scene()
    scene.principal(scene.key)

    for token in (scene.key[:-1], scene.key + "A", scene.key[:-1] + ("A" if scene.key[-1] != "A" else "Q")):
        assert scene.refused(token).code == "invalid_api_key"
    one, other = scene.principal("sk-" + "a" * 100 + "1"), scene.principal("sk-" + "a" * 100 + "2")
    assert one.key_id != other.key_id


def test_a_credential_may_what_its_issuer_may_but_for_what_it_was_restricted_to() -> None:
    scene = Scene()

    wide = scene.principal(scene.credential(id="t-1"))
    narrow = scene.principal(scene.credential(id="t-2", model="b", project="p"))
    beyond = scene.principal(scene.credential(id="t-3", model="z"))

    assert (wide.tenant, wide.key_id, wide.method) == ("acme", "t-1", AuthMethod.TEMPORARY_CREDENTIAL)
    assert (wide.grants, wide.project, wide.owner) == (ACME.grants, None, ACME)
    assert (narrow.grants.models, narrow.grants.forward, narrow.project) == ({"b"}, ForwardGrant.OWN, "p")
    assert beyond.grants.models == set()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"revoked_at": START}, "invalid_api_key"),
        ({"expires_at": START}, "credential_expired"),
        (None, "invalid_api_key"),
    ],
)
def test_a_credential_is_looked_up_for_every_call(change: dict[str, Any] | None, code: str) -> None:
    scene = Scene()
    token = scene.credential()
    scene.principal(token)

    known = scene.known.credentials.pop("t-1")
    if change is not None:
        scene.known.credentials["t-1"] = replace(known, **change)

    assert scene.refused(token).code == code


def test_a_credential_of_another_tenant_than_its_token_says_is_refused() -> None:
    scene = Scene()
    token = scene.credential()
    scene.known.credentials["t-1"] = replace(scene.known.credentials["t-1"], tenant="other")

    assert scene.refused(token).code == "invalid_api_key"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"revoked_at": START}, "invalid_api_key"),
        ({"expires_at": START}, "credential_expired"),
        ({"role": Role.ADMIN}, "invalid_api_key"),
        ({"grants": Grants(projects=frozenset({"q"}))}, "project_not_allowed"),
    ],
)
def test_a_credential_neither_outlives_nor_exceeds_its_key(change: dict[str, Any], code: str) -> None:
    scene = Scene()
    token = scene.credential(project="p")
    scene.principal(token)

    scene.known.keys["k-1"] = replace(scene.known.keys["k-1"], **change)

    assert scene.refused(token).code == code


def test_a_credential_ends_with_its_key_if_that_ends_first() -> None:
    scene = Scene()
    token = scene.credential()
    assert scene.principal(token).expires_at == START + 600

    scene.known.keys["k-1"] = replace(scene.known.keys["k-1"], expires_at=START + 60)

    assert scene.principal(token).expires_at == START + 60


def test_a_credential_of_nobody_is_good_as_long_as_nobody_may_call() -> None:
    issuer = {"issuer": Issuer(method="anonymous", id="anonymous"), "tenant": "default"}

    scene = Scene(anonymous=True)
    principal = scene.principal(scene.credential(**issuer))
    assert (principal.method, principal.tenant) == (AuthMethod.TEMPORARY_CREDENTIAL, "default")
    assert principal.grants == ANONYMOUS.grants

    closed = Scene(anonymous=False)
    assert closed.refused(closed.credential(**issuer)).code == "invalid_api_key"


def test_a_credential_of_an_identity_ends_when_its_issuer_is_believed_no_more() -> None:
    scene = Scene()
    token = scene.credential(issuer=Issuer(method="identity_token", id=f"{IDP}|alice"))
    principal = scene.principal(token)
    assert (principal.tenant, principal.grants, principal.owner) == ("acme", ACME.grants, ACME)

    scene.identities.issuers.clear()

    assert scene.refused(token).code == "invalid_api_key"


def test_a_credential_of_an_identity_ends_when_that_is_taken_from_its_tenant() -> None:
    scene = Scene()
    issuer = Issuer(method="identity_token", id=f"{IDP}|ali|ce")
    scene.known.subjects[IDP, "ali|ce"] = "acme"
    token = scene.credential(issuer=issuer, stored=True)
    assert scene.principal(token).tenant == "acme"

    scene.known.subjects[IDP, "ali|ce"] = "other"
    assert scene.refused(token).code == "invalid_api_key"
    scene.known.subjects.clear()
    assert scene.refused(token).code == "invalid_api_key"
    # Of whom the provider itself says whose he is, the store knows nothing.
    assert scene.principal(scene.credential(issuer=issuer)).tenant == "acme"


def test_a_credential_of_whom_the_hook_named_needs_the_hook() -> None:
    issuer = Issuer(method="identity_token", id="verifier|alice")
    with_hook, without = Scene(with_hook=True), Scene()

    assert with_hook.principal(with_hook.credential(issuer=issuer)).tenant == "acme"
    assert without.refused(without.credential(issuer=issuer)).code == "invalid_api_key"


def test_a_credential_of_a_kind_that_nobody_knows_is_refused() -> None:
    scene = Scene()

    assert scene.refused(scene.credential(issuer=Issuer(method="magic", id="k-1"))).code == "invalid_api_key"


SECRET = b"the-half-that-only-the-token-has"
CUSTODY = seal_apart(b"sk-canary", secret=SECRET, nonce=bytes(12), owner="t-1")
OF_A_KEY: dict[str, Any] = {"issuer": Issuer(method="provider_key", id="x"), "tenant": "default", "custody": CUSTODY}


def test_a_credential_gives_back_the_providers_key_that_it_stands_for() -> None:
    scene = Scene()

    principal = scene.principal(scene.credential(secret=segment(SECRET), **OF_A_KEY))

    assert (principal.provider_key, principal.key_id) == ("sk-canary", "t-1")
    assert "sk-canary" not in repr(principal)


@pytest.mark.parametrize(
    ("secret", "change"),
    [
        (None, {}),
        (segment(b"another half"), {}),
        ("", {}),
        ("\u00e9", {}),
        ("A", {}),
        (segment(SECRET), {"custody": None}),
        (segment(SECRET), {"custody": CUSTODY[:-1]}),
        (segment(SECRET), {"id": "t-2"}),
    ],
)
def test_without_both_halves_there_is_no_key(secret: str | None, change: dict[str, Any]) -> None:
    scene = Scene()

    assert scene.refused(scene.credential(secret=secret, **{**OF_A_KEY, **change})).code == "invalid_api_key"


def test_a_credential_of_a_providers_key_ends_when_those_are_taken_no_more() -> None:
    scene = Scene(provider_keys=False)

    assert scene.refused(scene.credential(secret=segment(SECRET), **OF_A_KEY)).http_status == 401


def test_anything_else_is_a_providers_key_where_those_are_taken() -> None:
    scene = Scene(with_hook=True)

    principal = scene.principal("sk-canary")

    assert (principal.method, principal.provider_key) == (AuthMethod.PROVIDER_KEY, "sk-canary")
    assert "sk-canary" not in repr(principal) + principal.key_id
    assert Scene(provider_keys=False).refused("sk-canary").http_status == 401


def test_r17_a_token_that_is_too_long_is_not_even_looked_at() -> None:
    scene = Scene()

    assert scene.principal("k" * 16_384).method is AuthMethod.PROVIDER_KEY
    assert scene.refused("k" * 16_385).http_status == 401


def test_nobody_calls_where_that_is_not_allowed() -> None:
    assert Scene(anonymous=True).callers.anonymous() is ANONYMOUS
    with pytest.raises(Unauthenticated):
        Scene(anonymous=False).callers.anonymous()
