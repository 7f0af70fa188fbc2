"""The forms of tokens, told apart before anything is believed; and the gateway's own ones, made and verified.

Tokens of others are verified by `identity.py`. What a verified token may do is `pipeline/callers.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode

from isthmusd.core.errors import CredentialExpired, Unauthenticated
from isthmusd.core.keyring import SigningKey

KEY_PREFIX = "isk_"
KEY_TYPE = "isk+jwt"
CREDENTIAL_TYPE = "tmp+jwt"
ALGORITHM = "EdDSA"
MAX_BYTES = 16 * 1024
LEEWAY_S = 30.0
"""How far the clocks of two machines may be apart."""
JWT = re.compile(r"e[wy][\w-]*(?:\.[\w-]*){2,4}")
"""Signed (three parts) or encrypted (five); begins with `{` and a quote or a space, as base64 writes them."""
SIGNED = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself. Nothing of it is true until its signature is checked."""

    header: Claims
    claims: Claims


def read_unverified(token: str) -> Unverified | None:
    """Read a signed JWT without believing it; None if it is none, or too large."""
    if len(token) > MAX_BYTES or not SIGNED.fullmatch(token):
        return None
    head, body, _ = token.split(".")
    try:
        header = msgspec.json.decode(base64url_decode(head))
        claims = msgspec.json.decode(base64url_decode(body))
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None
    match header, claims:
        case dict(), dict():
            return Unverified(header, claims)
        case _:
            return None


def mint(signer: SigningKey, kind: str, claims: Claims) -> str:
    """Sign claims as a compact JWT of one kind."""
    header = {"typ": kind, "kid": signer.kid}
    return jwt.encode(dict(claims), signer.private, algorithm=ALGORITHM, headers=header)


def verify(token: str, keys: Mapping[str, Ed25519PublicKey], *, kind: str, issuer: str, now: float) -> Claims:
    """Give the claims of a token that this gateway made. Raises Unauthenticated, CredentialExpired."""
    said = read_unverified(token)
    if said is None:
        raise Unauthenticated("this key is damaged; copy it whole, or create another")
    header = said.header
    public = keys.get(str(header.get("kid")))
    # One algorithm, one kind: a key never passes for a credential, and the header never chooses how it is checked.
    if public is None or header.get("alg") != ALGORITHM or header.get("typ") != kind or "crit" in header:
        raise unknown_key()
    claims = verified_claims(token, public, ALGORITHM)
    match claims:
        case {"iss": str(by), "aud": str(to), "jti": str(), "tenant": str(), "iat": int(at)} if (
            by == to == issuer and at <= now + LEEWAY_S
        ):
            pass
        case _:
            raise unknown_key()
    expires_at = claims.get("exp")
    if expires_at is not None and (not isinstance(expires_at, int) or expires_at <= now):
        raise CredentialExpired("this key has expired; create another")
    return claims


def verified_claims(token: str, public: Any, algorithm: str) -> Claims:
    """Check a signature by the one algorithm that is expected. Raises Unauthenticated."""
    try:
        payload = jwt.PyJWS().decode_complete(token, public, algorithms=[algorithm])["payload"]
        claims = msgspec.json.decode(payload)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, msgspec.DecodeError):
        raise unknown_key() from None
    match claims:
        case dict():
            return claims
        case _:
            raise unknown_key()


def unknown_key() -> Unauthenticated:
    """One answer for every key that is not accepted: why not would help to guess."""
    return Unauthenticated("this key is not known here; check it, or create one on this gateway")
