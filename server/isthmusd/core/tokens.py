"""The forms of tokens, told apart before anything is believed; and the gateway's own ones, made and verified.

Tokens of others are verified by `identity.py`. What a verified token may do is `pipeline/callers.py`'s.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from isthmusd.core import issuers
from isthmusd.core.errors import CredentialExpired, Unauthenticated
from isthmusd.core.keyring import SigningKey

KEY_PREFIX = issuers.KEY_PREFIX
KEY_TYPE = "isk+jwt"
CREDENTIAL_TYPE = "tmp+jwt"
ALGORITHM = "EdDSA"
SALT_BYTES = 16
"""Of chance in each of our own tokens: signatures of Ed25519 are always the same, and all other claims are stored."""
MAX_BYTES = 16 * 1024
LEEWAY_S = 30.0
"""How far the clocks of two machines may be apart."""
SIGNED = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
FORM = re.compile(r"e[wy][\w-]*(?:\.[\w-]*){2,4}", re.ASCII)
"""Signed (three parts) or encrypted (five), whatever is in them: begins with `{` and a quote or a space in base64."""
MAX_PARTS = 16
"""More dots than any JWT has, with room for what stands around it."""
OPENS_OBJECT = re.compile(rb"\s*\{\s*(?:\"[ -~]{2}|\})")
"""A JSON object, as no random text begins."""
SIGNATURES = jwt.PyJWS(algorithms=issuers.ASYMMETRIC)

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself. Nothing of it is true until its signature is checked."""

    header: Claims = field(repr=False)
    claims: Claims = field(repr=False)


def holds_jwt(token: str) -> bool:
    """Tell whether a token is a JWT or has one in it: signed or encrypted, whole, damaged or in quotes.

    Such a one names somebody, so it is never taken for a provider's key. It costs little, however many dots there are.
    """
    parts = token.split(".", MAX_PARTS)
    return FORM.fullmatch(token) is not None or (len(parts) > 1 and any(_opens_object(part) for part in parts))


def read_unverified(token: str) -> Unverified | None:
    """Read a signed JWT without believing it; None if it is none, or too large."""
    if len(token) > MAX_BYTES or not SIGNED.fullmatch(token):
        return None
    head, body, _ = token.split(".")
    try:
        header = msgspec.json.decode(from_base64url(head))
        claims = msgspec.json.decode(from_base64url(body))
    except (ValueError, RecursionError):
        return None
    match header, claims:
        case dict(), dict():
            return Unverified(cast("Claims", header), cast("Claims", claims))
        case _:
            return None


def mint(signer: SigningKey, kind: str, claims: Claims) -> str:
    """Sign claims as a compact JWT of one kind."""
    header = {"typ": kind, "kid": signer.kid}
    return jwt.encode(dict(claims), signer.private, algorithm=ALGORITHM, headers=header)


def verify(token: str, keys: Mapping[str, Ed25519PublicKey], *, kind: str, issuer: str, now: float) -> Claims:
    """Give the claims of a token that this gateway made; whether it has ended is `refuse_expired`'s to say.

    Raises Unauthenticated.
    """
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
        case {"iss": str(by), "aud": str(to), "jti": str(name), "tenant": str(), "iat": int(at)} if (
            by == to == issuer and name and at <= now + LEEWAY_S
        ):
            pass
        case _:
            raise unknown_key()
    if kind == CREDENTIAL_TYPE and "exp" not in claims:
        raise unknown_key()
    return claims


def refuse_expired(claims: Claims, now: float) -> None:
    """Raise CredentialExpired for claims of a token of ours whose time is over."""
    expires_at = claims.get("exp")
    if expires_at is not None and (not isinstance(expires_at, int) or expires_at <= now):
        raise CredentialExpired("this key has expired; create another")


def verified_claims(token: str, public: Any, algorithm: str) -> Claims:
    """Check a signature by the one algorithm that is expected. Raises Unauthenticated."""
    try:
        payload = SIGNATURES.decode_complete(token, public, algorithms=[algorithm])["payload"]
        claims = msgspec.json.decode(payload)
        # Of a claim that is there twice, readers take different ones.
        json.loads(payload, object_pairs_hook=_refuse_doubled)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise unknown_key() from None
    match claims:
        case dict():
            return cast("Claims", claims)
        case _:
            raise unknown_key()


def from_base64url(text: str) -> bytes:
    """Read base64url without padding, as tokens have it. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_base64url(data: bytes) -> str:
    """Write base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unknown_key(why: str | None = None) -> Unauthenticated:
    """One answer for every key that is not accepted: why not would help to guess, and is for the log only."""
    error = Unauthenticated("this key is not known here; check it, or create one on this gateway")
    error.why = why
    return error


def _opens_object(segment: str) -> bool:
    text = segment.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return OPENS_OBJECT.match(from_base64url(text + "A" * (-len(text) % 4))) is not None
    except ValueError:
        return False


def _refuse_doubled(members: list[tuple[str, object]]) -> None:
    if len(dict(members)) < len(members):
        raise ValueError("a member is there twice")
