"""The forms of tokens, and the gateway's own ones, judged by a JOSE library that the gateway does not use."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from isthmusd.core.errors import CredentialExpired, Unauthenticated
from isthmusd.core.keyring import Keyring
from isthmusd.core.tokens import (
    CREDENTIAL_TYPE,
    KEY_TYPE,
    LEEWAY_S,
    MAX_BYTES,
    from_base64url,
    holds_jwt,
    mint,
    read_unverified,
    refuse_expired,
    verified_claims,
    verify,
)
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from tests.fakes.jose import segment

OLD = "old-0123456789-abcdefghijklmnopqrstuvwxyz"
NEW = "new-0123456789-abcdefghijklmnopqrstuvwxyz"
KEYRING = Keyring.parse(NEW)
ISSUER = "isthmus:test"
NOW = 1_800_000_000
HEAD = segment('{"alg":"none"}')
BODY = segment('{"iss":"x"}')
PLUS = base64.b64encode(b'{"a":"???>>>"}').decode()
SPACED = (segment(' {"alg":"none"}'), segment("\n\t{ }"))
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": ISSUER, "jti": "k-1", "tenant": "acme", "iat": NOW, "exp": NOW + 60}


def checked(token: str, keyring: Keyring = KEYRING, kind: str = KEY_TYPE, now: float = NOW) -> Any:
    return verify(token, keyring.public, kind=kind, issuer=ISSUER, now=now)


def minted(kind: str = KEY_TYPE, **said: object) -> str:
    claims = {name: value for name, value in {**CLAIMS, **said}.items() if value is not None}
    return mint(KEYRING.signer, kind, claims)


@pytest.mark.parametrize("kind", [KEY_TYPE, CREDENTIAL_TYPE])
def test_our_tokens_are_verified_by_others_with_the_published_keys(kind: str) -> None:
    token = minted(kind)
    published = jwk.KeySet.import_key_set(json.loads(json.dumps(Keyring.parse(f"{OLD} {NEW}").jwks())))

    with pytest.warns(match="EdDSA is deprecated"):
        decoded = jwt.decode(token, published, algorithms=["EdDSA"])

    assert decoded.claims == CLAIMS
    assert decoded.header == {"alg": "EdDSA", "typ": kind, "kid": KEYRING.signer.kid}


def test_our_tokens_are_refused_by_others_with_the_keys_of_another_gateway() -> None:
    other = jwk.KeySet.import_key_set(json.loads(json.dumps(Keyring.parse(OLD).jwks())))

    with pytest.raises(JoseError), pytest.warns(match="EdDSA is deprecated"):
        jwt.decode(minted(), other, algorithms=["EdDSA"])


@pytest.mark.parametrize("kind", [KEY_TYPE, CREDENTIAL_TYPE])
def test_a_token_of_ours_gives_its_claims(kind: str) -> None:
    assert checked(minted(kind), kind=kind) == CLAIMS


def test_a_key_without_end_is_good_and_a_credential_without_end_is_not() -> None:
    assert "exp" not in checked(minted(exp=None))
    with pytest.raises(Unauthenticated):
        checked(minted(CREDENTIAL_TYPE, exp=None), kind=CREDENTIAL_TYPE)


def test_after_a_rotation_tokens_of_the_old_secret_are_good_until_it_is_taken_out() -> None:
    token = minted()

    assert checked(token, Keyring.parse(f"{OLD} {NEW}")) == CLAIMS
    with pytest.raises(Unauthenticated):
        checked(token, Keyring.parse(OLD))


@pytest.mark.parametrize(
    "said",
    [
        {"iss": "isthmus:other"},
        {"aud": "isthmus:other"},
        {"iss": "isthmus:other", "aud": "isthmus:other"},
        {"iss": None},
        {"aud": None},
        {"jti": None},
        {"jti": ""},
        {"jti": 5},
        {"tenant": None},
        {"tenant": ["acme"]},
        {"iat": None},
        {"iat": "now"},
        {"iat": NOW + LEEWAY_S + 1},
    ],
)
def test_a_token_that_says_anything_else_is_refused(said: dict[str, Any]) -> None:
    # PyJWT itself refuses to mint a wrong `iss`.
    token = mint_anything({name: value for name, value in {**CLAIMS, **said}.items() if value is not None})

    with pytest.raises(Unauthenticated):
        checked(token)


def mint_anything(payload: object, **header: object) -> str:
    """Sign by hand what `mint` would not."""
    told = {"alg": "EdDSA", "typ": KEY_TYPE, "kid": KEYRING.signer.kid, **header}
    text = f"{segment(json.dumps(told))}.{segment(json.dumps(payload))}"
    return f"{text}.{segment(KEYRING.signer.private.sign(text.encode()))}"


@pytest.mark.parametrize(
    "header",
    [{"alg": "none"}, {"alg": "HS256"}, {"typ": CREDENTIAL_TYPE}, {"typ": None}, {"kid": "x"}, {"crit": ["exp"]}],
)
def test_the_header_never_chooses_how_it_is_checked(header: dict[str, Any]) -> None:
    assert checked(mint_anything(CLAIMS)) == CLAIMS

    with pytest.raises(Unauthenticated):
        checked(mint_anything(CLAIMS, **header))


@pytest.mark.parametrize("payload", [[CLAIMS], "text", 5, None])
def test_a_payload_that_is_no_map_is_refused(payload: object) -> None:
    with pytest.raises(Unauthenticated):
        checked(mint_anything(payload))
    with pytest.raises(Unauthenticated):
        verified_claims(mint_anything(payload), KEYRING.signer.private.public_key(), "EdDSA")


@pytest.mark.parametrize("now", [NOW + 60, NOW + 61, NOW + 1e9])
def test_an_expired_token_is_told_so(now: float) -> None:
    with pytest.raises(CredentialExpired):
        refuse_expired(checked(minted(), now=now), now)


@pytest.mark.parametrize("end", [NOW, "later", NOW + 60.5, [NOW + 60]])
def test_an_end_that_is_over_or_no_whole_number_is_an_end(end: object) -> None:
    with pytest.raises(CredentialExpired):
        refuse_expired({"exp": end}, NOW)


def test_claims_are_in_no_repr() -> None:
    said = read_unverified(minted(secret="canary"))

    assert said is not None
    assert said.claims["secret"] == "canary"
    assert "canary" not in repr(said)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sk-1",
        "a.b",
        "a.b.c",
        "..",
        f"{segment('{}')}.{segment('{}')}.",
        f"{segment('[]')}.{segment('{}')}.AA",
        f"{segment('{}')}.{segment('[]')}.AA",
        f"{segment('{}')}.{segment('{}')}.AA.AA",
        f"{segment('{}')}.{segment('{}')}=.AA",
        f"{segment('{}')}.{segment('[' * 5000)}.AA",
        f"{segment(chr(0xFEFF) + '{}')}.{segment('{}')}.AA",
        f"{segment('{}')}.{segment('{}')}.\u0661\u0662",
        f"{segment('{}')}.{segment('{}')}.{'A' * MAX_BYTES}",
        "e30.e30\n.AA",
    ],
)
def test_what_is_no_signed_jwt_is_not_read(token: str) -> None:
    assert read_unverified(token) is None


def test_what_a_jwt_says_is_read_without_belief() -> None:
    said = read_unverified(f"{HEAD}.{BODY}.AA")

    assert said is not None
    assert (said.header, said.claims) == ({"alg": "none"}, {"iss": "x"})


@pytest.mark.parametrize(
    "token",
    [
        f"{HEAD}.{BODY}.AA",
        f"{HEAD}.{BODY}.",
        f"{HEAD}.{BODY}",
        f"{HEAD}.AA.AA.AA.AA",
        f"{HEAD}.",
        "eyJ..",
        "eyJ.a.b",
        f'"{HEAD}.{BODY}.AA"',
        f"isk_{HEAD}.{BODY}.AA",
        f"ISK_{HEAD}.{BODY}.AA",
        f"key={HEAD}.{BODY}.AA",
        f"{HEAD}=.{BODY}=.AA",
        f"{PLUS}.AA.AA",
        f"{SPACED[0]}.AA.AA",
        f"{SPACED[1]}.AA.AA",
        f"{HEAD[:-1]}.{BODY}",
    ],
)
def test_what_is_or_holds_a_jwt_is_known_as_such(token: str) -> None:
    assert holds_jwt(token)


@pytest.mark.parametrize(
    "token",
    ["", "sk-1", "ya29.a0AfH6SMBx", "key.secret", "eyes.only", "\u00e9.\u00e9", ".", "..", "a" * 100, "AIza.ey"],
)
def test_other_keys_are_not_taken_for_one(token: str) -> None:
    assert not holds_jwt(token)


def test_r17_a_long_token_does_not_hold_up_the_others() -> None:
    began = time.monotonic()

    for _ in range(20):
        for token in ("ey" * 8000, "ey." * 5000, "." * 16_000, "ey-" * 5000 + ".x", "{" * 16_000 + ".", "f30x." * 3000):
            assert not holds_jwt(token)

    assert time.monotonic() - began < 2


def test_base64url_is_read_with_any_length() -> None:
    for length in range(8):
        assert from_base64url(segment(b"x" * length)) == b"x" * length
