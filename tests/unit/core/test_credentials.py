"""What may be wished for, who may give it, and what the token says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.credentials import (
    MAX_TTL_S,
    MODEL_LENGTH,
    PROJECT_LENGTH,
    SECRET_BYTES,
    CredentialWish,
    Issued,
    checked_model,
    checked_project,
    checked_ttl,
    claims_of,
    credential_of,
    issuer_of,
    refuse_beyond,
)
from isthmusd.core.errors import CredentialExpired, InvalidRequest, PermissionDenied
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import Grants, Issuer
from isthmusd.core.tokens import CREDENTIAL_TYPE, MAX_BYTES, SALT_BYTES, mint
from jwt.utils import base64url_decode

KEYRING = Keyring.parse("a-secret-of-tests-0123456789-abcdefghijk")
SALT = bytes(SALT_BYTES)
NOW = 1_700_000_000.75


def principal(**facts: Any) -> Principal:
    return Principal(**{"tenant": "acme", "key_id": "key_1", "method": AuthMethod.GATEWAY_KEY} | facts)


@pytest.mark.parametrize("seconds", [1, 600, 600.0, 6e2, MAX_TTL_S, 86_400.0])
def test_whole_seconds_are_a_lifetime(seconds: float) -> None:
    ttl_s = checked_ttl(seconds, "ttl_seconds")

    assert ttl_s == seconds
    assert type(ttl_s) is int


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 1.5, 86_400.5, 86_401, 10**30, math.inf, -math.inf, math.nan])
def test_any_other_lifetime_is_refused_by_the_fields_name(seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="1 to 86400") as refused:
        checked_ttl(seconds, "ttl_seconds")

    assert (refused.value.http_status, refused.value.param) == (400, "ttl_seconds")


@pytest.mark.parametrize("name", ["a", "Team A / night shift", "Größe", "p" * PROJECT_LENGTH])
def test_projects_have_names_as_people_write_them(name: str) -> None:
    assert checked_project(name) == name


@pytest.mark.parametrize("name", ["", " ", "a\0b", "a\nb", "\ud800", "p" * (PROJECT_LENGTH + 1)])
def test_no_project_is_called_so(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_project(name)

    assert refused.value.param == "logging.project_name"


@pytest.mark.parametrize("name", ["", "  ", "gpt\t4", "m" * (MODEL_LENGTH + 1)])
def test_no_model_is_called_so(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_model(name)

    assert refused.value.param == "model"
    assert checked_model("ft:gpt-4o:acme::abc") == "ft:gpt-4o:acme::abc"


@pytest.mark.parametrize(
    ("wish", "grants"),
    [
        (CredentialWish(), Grants()),
        (CredentialWish(), Grants(models=frozenset(), projects=frozenset())),
        (CredentialWish(model="gpt", project="p"), Grants()),
        (CredentialWish(model="gpt", project="p"), Grants(models=frozenset({"gpt"}), projects=frozenset({"p"}))),
    ],
)
def test_an_issuer_gives_what_it_has(wish: CredentialWish, grants: Grants) -> None:
    refuse_beyond(wish, grants)

    assert grants.models is None or wish.model is None or wish.model in grants.models


@pytest.mark.parametrize(
    ("wish", "code", "param"),
    [
        (CredentialWish(model="gpt-4", project="p"), "model_not_allowed", "model"),
        (CredentialWish(model="GPT"), "model_not_allowed", "model"),
        (CredentialWish(model="openai/gpt"), "model_not_allowed", "model"),
        (CredentialWish(model="gpt", project="q"), "project_not_allowed", "logging.project_name"),
    ],
)
def test_an_issuer_gives_no_more_than_it_has(wish: CredentialWish, code: str, param: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        refuse_beyond(wish, Grants(models=frozenset({"gpt"}), projects=frozenset({"p"})))

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (403, code, param)


def test_a_credential_is_its_issuers() -> None:
    wish = CredentialWish(model="gpt", ttl_s=60, project="p", compress_audio=False)

    made = credential_of(wish, principal(), name="abc", now=NOW)

    assert (made.id, made.tenant, made.issuer) == ("tmp_abc", "acme", Issuer(method="gateway_key", id="key_1"))
    assert (made.model, made.project, made.compress_audio) == ("gpt", "p", False)
    assert (made.created_at, made.expires_at) == (NOW, 1_700_000_060.0)
    assert (made.revoked_at, made.custody) == (None, None)
    assert type(issuer_of(principal()).method) is str


@pytest.mark.parametrize(
    ("issuers_end", "expires_at"),
    [(None, 1_700_000_600.0), (NOW + 7200, 1_700_000_600.0), (NOW + 5.5, 1_700_000_006.0)],
)
def test_a_credential_does_not_outlive_its_issuer(issuers_end: float | None, expires_at: float) -> None:
    made = credential_of(CredentialWish(), principal(expires_at=issuers_end), name="abc", now=NOW)

    assert made.expires_at == expires_at


@pytest.mark.parametrize("left_s", [0.0, 0.2])
def test_an_issuer_that_ends_this_second_issues_nothing(left_s: float) -> None:
    with pytest.raises(CredentialExpired) as refused:
        credential_of(CredentialWish(), principal(expires_at=NOW + left_s), name="abc", now=NOW)

    assert refused.value.http_status == 401


def test_the_token_says_what_the_credential_is() -> None:
    made = credential_of(CredentialWish(model="gpt", project="p"), principal(), name="abc", now=NOW)

    assert claims_of(made, gateway="isthmus:x", salt=SALT, secret=None) == {
        "iss": "isthmus:x",
        "aud": "isthmus:x",
        "jti": "tmp_abc",
        "tenant": "acme",
        "iat": 1_700_000_000,
        "exp": 1_700_000_600,
        "model": "gpt",
        "project": "p",
        "salt": "AAAAAAAAAAAAAAAAAAAAAA",
    }


def test_what_is_not_wished_for_is_not_in_the_token() -> None:
    made = credential_of(CredentialWish(), principal(), name="abc", now=NOW)

    claims = claims_of(made, gateway="isthmus:x", salt=SALT, secret=b"\xff\xfe" * 16)

    assert set(claims) == {"iss", "aud", "jti", "tenant", "iat", "exp", "salt", "secret"}
    assert base64url_decode(claims["secret"]) == b"\xff\xfe" * 16


def test_the_longest_token_is_one_that_we_read() -> None:
    wish = CredentialWish(model="\U0001d504" * MODEL_LENGTH, project="\U0001d504" * PROJECT_LENGTH)
    made = credential_of(wish, principal(tenant="t" * 128), name="abc", now=NOW)

    claims = claims_of(made, gateway="isthmus:x", salt=SALT, secret=b"s" * SECRET_BYTES)
    token = mint(KEYRING.signer, CREDENTIAL_TYPE, claims)

    assert len(token) <= MAX_BYTES


def test_the_token_is_not_shown_by_accident() -> None:
    made = credential_of(CredentialWish(), principal(), name="abc", now=NOW)

    assert "very-secret" not in repr(Issued(credential=made, token="very-secret"))
