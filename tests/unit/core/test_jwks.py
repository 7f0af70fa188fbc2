"""Which published keys are fit to check signatures, and by which algorithm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from isthmusd.core.jwks import MAX_COUNT, NoKeySet, read_keys

from tests.fakes.jose import ec, key_set, okp, public, rsa

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (public(rsa()), RSA_ALGORITHMS),
        (public(rsa(), use="sig"), RSA_ALGORITHMS),
        (public(rsa(), key_ops=["verify"]), RSA_ALGORITHMS),
        (public(rsa(), alg="PS384"), {"PS384"}),
        (public(ec()), {"ES256"}),
        (public(ec("ec-3", "P-384")), {"ES384"}),
        (public(ec("ec-5", "P-521")), {"ES512"}),
        (public(okp()), {"EdDSA"}),
        (public(okp(), alg="EdDSA"), {"EdDSA"}),
        (public(okp(), alg="Ed25519"), {"EdDSA"}),
        (public(okp("okp-4", "Ed448")), {"EdDSA"}),
    ],
)
def test_a_key_verifies_what_its_kind_and_its_own_word_allow(key: dict[str, Any], algorithms: set[str]) -> None:
    (found,) = read_keys(key_set(key)).values()

    assert found.algorithms == algorithms


UNFIT: dict[str, object] = {
    "symmetric": {"kty": "oct", "kid": "k", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"},
    "no kind": public(rsa(), kty=None),
    "kind is a list": public(rsa(), kty=["RSA"]),
    "no name": public(rsa(), kid=None),
    "empty name": public(rsa(), kid=""),
    "name is a number": public(rsa(), kid=1),
    "for encryption": public(rsa(), use="enc"),
    "use is a list": public(rsa(), use=["sig"]),
    "to sign only": public(rsa(), key_ops=["sign"]),
    "operations are text": public(rsa(), key_ops="verify"),
    "algorithm of another kind": public(rsa(), alg="ES256"),
    "symmetric algorithm": public(rsa(), alg="HS256"),
    "algorithm for encryption": public(rsa(), alg="RSA-OAEP"),
    "RSA of 1024 bits": public(rsa("small", 1024)),
    "RSA of 16384 bits": public(rsa(), n=public(rsa())["n"] * 8),
    "RSA with a huge exponent": public(rsa(), e="AQAAAAAB"),
    "RSA with an even exponent": public(rsa(), e="Ag"),
    "RSA without modulus": public(rsa(), n=None),
    "RSA whose modulus is a number": public(rsa(), n=5),
    "EC point that is not on its curve": public(ec(), x=public(ec())["y"]),
    "EC of another curve": public(ec(), crv="P-384"),
    "EC curve of coins": public(ec(), crv="secp256k1"),
    "EC without curve": public(ec(), crv=None),
    "EC whose curve is a list": public(ec(), crv=["P-256"]),
    "key for agreement": public(okp(), crv="X25519"),
    "EdDSA key too short": public(okp(), x="AAAA"),
    "no map": "rsa",
}


@pytest.mark.parametrize("name", UNFIT)
def test_r24_a_key_that_is_not_fit_is_passed_over(name: str) -> None:
    entries = [UNFIT[name], public(ec("good"))]

    assert list(read_keys(json.dumps({"keys": entries}).encode())) == ["good"]


def test_a_private_half_that_was_published_is_not_kept() -> None:
    leaked: dict[str, Any] = dict(rsa().as_dict(private=True))

    key = read_keys(key_set(leaked))["rsa-1"]

    assert key.jwk.keys() == {"kty", "n", "e"}
    assert isinstance(key.public, RSAPublicKey)


def test_of_two_keys_of_one_name_the_first_counts() -> None:
    (key,) = read_keys(key_set(public(ec(), kid="k"), public(rsa(), kid="k"))).values()

    assert key.algorithms == {"ES256"}


def test_sets_are_equal_if_what_was_published_is_equal() -> None:
    assert read_keys(key_set(rsa())) == read_keys(key_set(public(rsa(), x5t="AAAA")))
    assert read_keys(key_set(rsa())) != read_keys(key_set(public(rsa("rsa-2"), kid="rsa-1")))


def test_only_so_many_keys_are_read() -> None:
    keys = [public(ec(), kid=str(number)) for number in range(MAX_COUNT + 5)]

    assert len(read_keys(key_set(*keys))) == MAX_COUNT


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [{}]}', b"[" * 100_000, b"\xff"],
)
def test_what_is_no_set_of_keys_is_refused(document: bytes) -> None:
    with pytest.raises(NoKeySet):
        read_keys(document)
