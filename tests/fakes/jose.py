"""Tokens of identity providers, good and bad, made with a JOSE library that the gateway does not use: it must not
verify only what its own code signed.

`signed` puts a good signature below any header and payload, however wrong they are.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

from joserfc import jwk
from joserfc.jws import JWSRegistry

Key = jwk.RSAKey | jwk.ECKey | jwk.OKPKey
ISSUER = "https://id.example"
AUDIENCE = "my-app"
NOW = 1_800_000_000


@cache
def rsa(kid: str = "rsa-1", bits: int = 2048) -> jwk.RSAKey:
    """Make a key once; the same name gives the same key."""
    with warnings.catch_warnings():
        # It warns of keys that are too small, which is what they are made for.
        warnings.simplefilter("ignore")
        return jwk.RSAKey.generate_key(bits, parameters={"kid": kid})


@cache
def ec(kid: str = "ec-1", curve: str = "P-256") -> jwk.ECKey:
    return jwk.ECKey.generate_key(curve, parameters={"kid": kid})


@cache
def okp(kid: str = "okp-1", curve: str = "Ed25519") -> jwk.OKPKey:
    return jwk.OKPKey.generate_key(curve, parameters={"kid": kid})


def public(key: Key, **said: object) -> dict[str, Any]:
    """Give a key as a provider publishes it; what is said replaces members, None leaves them out."""
    members = {**key.as_dict(private=False), **said}
    return {name: value for name, value in members.items() if value is not None}


def key_set(*keys: Key | Mapping[str, Any]) -> bytes:
    """Write a JWK set."""
    entries = [dict(key) if isinstance(key, Mapping) else public(key) for key in keys]
    return json.dumps({"keys": entries}).encode()


def claims(**said: object) -> dict[str, Any]:
    """Give the claims of a good token; what is said replaces some, None leaves them out."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 10, "exp": NOW + 3600}
    return {name: value for name, value in {**usual, **said}.items() if value is not None}


def token(key: Key, algorithm: str = "RS256", header: Mapping[str, object] | None = None, **said: object) -> str:
    """Mint a good token, but for what is said of its claims and its header."""
    told = {"alg": algorithm, "kid": key.kid, "typ": "JWT", **(header or {})}
    kept = {name: value for name, value in told.items() if value is not None}
    return signed(key, algorithm, json.dumps(kept), json.dumps(claims(**said)))


def signed(key: jwk.Key, algorithm: str, header: str | bytes, payload: str | bytes) -> str:
    """Sign anything."""
    signing_input = f"{segment(header)}.{segment(payload)}"
    with warnings.catch_warnings():
        # RFC 9864 has other names for EdDSA; providers write this one.
        warnings.simplefilter("ignore")
        signature = JWSRegistry.algorithms[algorithm].sign(signing_input.encode(), key)
    return f"{signing_input}.{segment(signature)}"


def segment(content: str | bytes) -> str:
    """Write base64url without padding."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
