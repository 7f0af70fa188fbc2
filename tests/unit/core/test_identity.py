"""Whom a token of an identity provider names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.errors import CredentialExpired, PermissionDenied, Unauthenticated
from isthmusd.core.identity import Identity, UnpublishedKey, is_name, tenant_of, verify_identity
from isthmusd.core.issuers import ASYMMETRIC, IssuerRules
from isthmusd.core.jwks import KeySet, read_keys
from isthmusd.core.tokens import KEY_PREFIX, holds_jwt, read_unverified, unknown_key

from tests.fakes.jose import AUDIENCE, ISSUER, NOW, Key, claims, ec, key_set, okp, public, rsa, signed, token
from tests.fakes.token_attacks import ATTACKS

RULES = IssuerRules(issuer=ISSUER, audiences=frozenset({AUDIENCE, "second-app"}))
KEYS = read_keys(key_set(rsa(), ec()))


def verified(text: str, rules: IssuerRules = RULES, keys: KeySet = KEYS, now: float = NOW) -> Identity:
    said = read_unverified(text)
    assert said is not None
    return verify_identity(text, said, rules, keys, now)


SIGNERS: dict[str, Key] = {
    **{name: rsa() for name in ASYMMETRIC if name[0] in "RP"},
    "ES256": ec(),
    "ES384": ec("ec-3", "P-384"),
    "ES512": ec("ec-5", "P-521"),
    "EdDSA": okp(),
}


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_every_algorithm_that_can_be_configured_verifies_what_another_library_signed(algorithm: str) -> None:
    key = SIGNERS[algorithm]

    identity = verified(token(key, algorithm), replace(RULES, algorithms=(algorithm,)), read_keys(key_set(key)))

    assert (identity.issuer, identity.subject, identity.tenant) == (ISSUER, "alice", None)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_r24_an_algorithm_that_is_not_pinned_is_refused_with_a_good_signature(algorithm: str) -> None:
    others = tuple(name for name in ASYMMETRIC if name != algorithm)
    key = SIGNERS[algorithm]

    with pytest.raises(Unauthenticated):
        verified(token(key, algorithm), replace(RULES, algorithms=others), read_keys(key_set(key)))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS384", "HS512"])
def test_r24_a_symmetric_algorithm_opens_nothing_even_if_somebody_pinned_it(algorithm: str) -> None:
    with pytest.raises(Unauthenticated):
        verified(token(rsa(), header={"alg": algorithm}), replace(RULES, algorithms=(algorithm,)))


def test_a_key_that_its_publisher_keeps_for_one_algorithm_is_not_used_for_another() -> None:
    rules = replace(RULES, algorithms=("RS256", "PS256"))
    keys = read_keys(key_set(public(rsa(), alg="RS256")))

    assert verified(token(rsa()), rules, keys).subject == "alice"
    with pytest.raises(Unauthenticated):
        verified(token(rsa(), "PS256"), rules, keys)


@pytest.mark.parametrize(
    "said",
    [
        {"aud": "second-app"},
        {"aud": ["other-app", AUDIENCE]},
        {"nbf": NOW},
        {"nbf": NOW + 30},
        {"iat": NOW + 30},
        {"iat": NOW - 0.5},
        {"iat": 0},
        {"exp": NOW - 29},
        {"exp": NOW + 0.5},
        {"sub": "x" * 255},
        {"sub": "auth0|5f7c"},
        {"sub": "Zoë Müller"},
        {"nonce": {"deep": ["x"]}},
    ],
)
def test_what_a_good_token_may_say(said: dict[str, Any]) -> None:
    assert verified(token(rsa(), **said)).subject == said.get("sub", "alice")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
def test_types_of_id_and_access_tokens_are_taken(kind: str | None) -> None:
    assert verified(token(rsa(), header={"typ": kind})).subject == "alice"


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "tmp+jwt", "isk+jwt", 5, ["JWT"]])
def test_tokens_for_other_ends_are_refused(kind: object) -> None:
    with pytest.raises(Unauthenticated):
        verified(token(rsa(), header={"typ": kind}))


def test_an_identity_ends_when_its_token_is_refused() -> None:
    text = token(rsa(), exp=NOW + 60)

    end = verified(text).expires_at

    assert end == NOW + 90
    assert verified(text, now=NOW + 89.9).subject == "alice"
    with pytest.raises(CredentialExpired):
        verified(text, now=end)


@pytest.mark.parametrize("said", [{"aud": "other"}, {"sub": ""}, {"iss": "https://other.example"}])
def test_an_expired_token_that_is_wrong_otherwise_is_not_told_that_it_expired(said: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        verified(token(rsa(), exp=NOW - 3600, **said))

    assert caught.value.code == "invalid_api_key"


def test_a_key_that_is_not_published_is_told_apart_inside_and_not_outside() -> None:
    with pytest.raises(UnpublishedKey) as unseen:
        verified(token(rsa("rsa-2")))
    with pytest.raises(Unauthenticated) as wrong:
        verified(token(rsa("rsa-2"), header={"kid": "rsa-1"}))

    assert not isinstance(wrong.value, UnpublishedKey)
    assert (unseen.value.message, unseen.value.code) == (wrong.value.message, wrong.value.code)


@pytest.mark.parametrize(("auth_time", "good"), [(NOW, True), (NOW + 31, False), (None, False), ("x", False)])
def test_the_time_of_the_login_is_demanded_where_the_rules_say_so(auth_time: object, good: bool) -> None:
    rules = replace(RULES, demands_auth_time=True)
    text = token(rsa(), auth_time=auth_time)

    if good:
        assert verified(text, rules).subject == "alice"
    else:
        with pytest.raises(Unauthenticated):
            verified(text, rules)


@pytest.mark.parametrize(
    ("said", "tenant"),
    [
        ({"client_id": "acme"}, "acme"),
        ({"firebase": {"tenant": "acme"}}, "acme"),
        ({"client_id": "acme", "firebase": {"tenant": "other"}}, "acme"),
        ({"client_id": "", "firebase": {"tenant": "other"}}, "other"),
        ({"client_id": ["acme"], "firebase": {"tenant": "other"}}, "other"),
        ({"firebase.tenant": "acme"}, None),
        ({"firebase": "acme"}, None),
        ({"firebase": {"tenant": 5}}, None),
        ({"firebase": {"tenant": {"id": "acme"}}}, None),
        ({}, None),
    ],
)
def test_the_tenant_is_the_first_text_at_the_paths(said: dict[str, Any], tenant: str | None) -> None:
    assert verified(token(rsa(), **said)).tenant == tenant


def test_a_claim_that_is_named_by_a_url_is_one_name() -> None:
    said = {"https://acme.example/tenant": "acme", "https://acme": {"example/tenant": "other"}}

    assert tenant_of(said, ("https://acme.example/tenant",)) == "acme"


@pytest.mark.parametrize("tenant", ["other", "acme\x00", "x" * 256])
def test_a_tenant_that_the_issuer_may_not_name_is_refused(tenant: str) -> None:
    rules = replace(RULES, tenants=frozenset({"acme"}))

    assert verified(token(rsa(), client_id="acme"), rules).tenant == "acme"
    assert verified(token(rsa()), rules).tenant is None
    with pytest.raises(PermissionDenied) as caught:
        verified(token(rsa(), client_id=tenant), rules)
    assert caught.value.code == "tenant_not_found"


def test_a_tenant_that_can_be_none_is_refused_whatever_the_rules() -> None:
    with pytest.raises(PermissionDenied) as caught:
        verified(token(rsa(), client_id="acme\x00"))

    assert caught.value.code == "tenant_not_found"


@pytest.mark.parametrize("text", [None, 5, "", "x" * 256, "a\nb", "a\x7f", "\ud800", "\u202eevil"])
def test_names_are_short_and_can_be_read(text: object) -> None:
    assert not is_name(text)
    assert is_name("x" * 255)


@pytest.mark.parametrize("name", ATTACKS)
def test_r24_an_attack_names_nobody(name: str) -> None:
    text = ATTACKS[name]
    said = read_unverified(text)

    if said is None:
        assert holds_jwt(text) or text.startswith(KEY_PREFIX)
    else:
        with pytest.raises(Unauthenticated):
            verify_identity(text, said, RULES, KEYS, NOW)


def test_json_that_is_written_otherwise_is_read_the_same() -> None:
    header = json.dumps({"alg": "RS256", "kid": "rsa-1"}, indent=2)

    assert verified(signed(rsa(), "RS256", header, json.dumps(claims(), indent=2))) == verified(token(rsa()))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"aud": "another"}, "audience (aud)"),
        ({"iat": NOW + 300}, "compare the clocks"),
        ({"nbf": NOW + 300}, "nbf"),
        ({"sub": ""}, "subject (sub)"),
    ],
)
def test_the_operator_learns_what_the_caller_does_not(said: dict[str, Any], why: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        verified(token(rsa(), **said))

    assert why in (caught.value.why or "")
    assert caught.value.message == unknown_key().message


def test_the_operator_learns_of_a_key_that_is_not_published() -> None:
    with pytest.raises(UnpublishedKey) as caught:
        verified(token(ec("unpublished"), "ES256"), replace(RULES, algorithms=("ES256",)))

    assert "not published" in (caught.value.why or "")
    assert caught.value.message == unknown_key().message
