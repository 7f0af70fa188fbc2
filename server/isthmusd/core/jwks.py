"""Public keys as identity providers publish them (RFC 7517): which of them are fit for which algorithm. Fetching them
is `upstream/jwks.py`'s, our own are `keyring.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT = 2**32
"""A larger one only makes each check slow."""
MAX_COUNT = 256

Jwk = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """The keys of one kind."""

    members: tuple[str, ...]
    """What makes up its public half. A private half that stands beside it is never read."""
    load: Callable[[dict[str, Any]], Any]
    algorithms: Mapping[str | None, frozenset[str]]
    """Curve to what such a key may verify; None where there are no curves."""


KINDS: Mapping[str, Kind] = {
    "RSA": Kind(
        ("n", "e"),
        RSAAlgorithm.from_jwk,
        {None: frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})},
    ),
    "EC": Kind(
        ("x", "y"),
        ECAlgorithm.from_jwk,
        {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"}), "P-521": frozenset({"ES512"})},
    ),
    "OKP": Kind(("x",), OKPAlgorithm.from_jwk, {"Ed25519": frozenset({"EdDSA"}), "Ed448": frozenset({"EdDSA"})}),
}
SAME_ALGORITHM = {"Ed25519": "EdDSA", "Ed448": "EdDSA"}
"""Names of RFC 9864, and what tokens say."""


class NoKeySet(ValueError):
    """What was published is no set of keys. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """One key that signatures may be checked by. Equal if what was published is equal."""

    jwk: Jwk
    """Its public members, and what it says of itself."""
    algorithms: frozenset[str]
    """What it may verify."""
    public: Any = field(compare=False, repr=False)


KeySet = Mapping[str, PublishedKey]
"""By `kid`."""


def read_keys(document: bytes) -> KeySet:
    """Read a JWK set. What is not fit to check signatures, or has no name, is passed over. Raises NoKeySet."""
    try:
        said: Any = msgspec.json.decode(document)
    except (ValueError, RecursionError) as error:
        raise NoKeySet("it is no JSON") from error
    entries: Any = cast("Jwk", said).get("keys") if isinstance(said, dict) else None
    if not isinstance(entries, list):
        raise NoKeySet("it has no list of keys")
    keys: dict[str, PublishedKey] = {}
    for entry in cast("list[object]", entries)[:MAX_COUNT]:
        match entry:
            case {"kid": str(kid)} if kid and kid not in keys:
                key = _read(cast("Jwk", entry))
                if key is not None:
                    keys[kid] = key
            case _:
                continue
    if not keys:
        raise NoKeySet("none of its keys can check a signature")
    return keys


def _read(jwk: Jwk) -> PublishedKey | None:
    match jwk:
        case {"kty": "RSA" | "EC" | "OKP" as name}:
            kind = KINDS[name]
        case _:
            return None
    curve = jwk.get("crv") if name != "RSA" else None
    algorithms = kind.algorithms.get(curve) if curve is None or isinstance(curve, str) else None
    if algorithms is None or not _is_for_signatures(jwk):
        return None
    if "alg" in jwk:
        algorithms &= {SAME_ALGORITHM.get(str(jwk["alg"]), str(jwk["alg"]))}
    told = {member: jwk[member] for member in ("kty", "crv", *kind.members) if isinstance(jwk.get(member), str)}
    try:
        public = kind.load(told)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None
    return PublishedKey(told, algorithms, public) if algorithms and _is_safe(public) else None


def _is_for_signatures(jwk: Jwk) -> bool:
    operations: Any = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _is_safe(public: Any) -> bool:
    match public:
        case RSAPublicKey():
            numbers = public.public_numbers()
            return MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS and numbers.e <= MAX_RSA_EXPONENT
        case _:
            return True
