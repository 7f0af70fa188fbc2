"""Tokens of identity providers: what an issuer's must look like, and who one names. Fetching keys is `upstream/`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard, cast

from isthmusd.core.errors import CredentialExpired, PermissionDenied, Unauthenticated
from isthmusd.core.issuers import IssuerRules
from isthmusd.core.jwks import KeySet
from isthmusd.core.tokens import Claims, Unverified, unknown_key, verified_claims

MAX_NAME_LENGTH = 255
"""Characters of a subject (OpenID Connect, section 2) and of a tenant."""
MAX_TIME = 1e11
"""Seconds; more is a time in milliseconds, or a trick."""
TYPES = frozenset({"JWT", "AT+JWT", "APPLICATION/AT+JWT"})
"""`typ` of ID and access tokens. The same keys sign tokens for other ends: to log somebody out, to tell of an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a verified token names."""

    issuer: str
    subject: str
    tenant: str | None = None
    """As the token claims it; None: it claims none, and the store may know one for the subject."""
    expires_at: float | None = None
    """Unix seconds; None: only the cache's own limit applies."""


class UnpublishedKey(Unauthenticated):
    """The token names a key that is not in the set, which may be older than the key."""


def verify_identity(token: str, said: Unverified, rules: IssuerRules, keys: KeySet, now: float) -> Identity:
    """Tell whom a token names.

    Raises Unauthenticated, UnpublishedKey, CredentialExpired, PermissionDenied. What the header offers as a key, or as
    its address (`jwk`, `jku`, `x5c`, `x5u`), is never looked at.
    """
    algorithm, kid = _demanded(said.header, rules)
    key = keys.get(kid)
    if key is None:
        # As `unknown_key` says it: what was wrong is nobody's business but ours.
        error = UnpublishedKey(unknown_key().message)
        error.why = "the identity token is signed by a key (kid) that its issuer has not published"
        raise error
    if algorithm not in key.algorithms:
        raise unknown_key()
    claims = verified_claims(token, key.public, algorithm)
    subject = claims.get("sub")
    if not _is_for(claims.get("aud"), rules):
        raise unknown_key("the identity token is for another audience (aud)")
    if claims.get("iss") != rules.issuer or not is_name(subject):
        raise unknown_key("the identity token names no subject (sub)")
    expires_at = _valid_until(claims, rules, now)
    if expires_at <= now:
        raise CredentialExpired("this token has expired; get another from your identity provider")
    tenant = tenant_of(claims, rules.tenant_claims)
    refuse_foreign(tenant, rules.tenants)
    return Identity(issuer=rules.issuer, subject=subject, tenant=tenant, expires_at=expires_at)


def tenant_of(claims: Claims, paths: tuple[str, ...]) -> str | None:
    """Give the tenant that the claims name, by the first path at which there is a text."""
    for path in paths:
        found: Any = claims
        for step in _steps(path):
            found = cast("Claims", found).get(step) if isinstance(found, dict) else None
        if isinstance(found, str) and found:
            return found
    return None


def refuse_foreign(tenant: str | None, tenants: frozenset[str] | None) -> None:
    """Raise PermissionDenied for a tenant that is not to be named, or cannot be one."""
    if tenant is not None and (not is_name(tenant) or (tenants is not None and tenant not in tenants)):
        raise unknown_tenant()


def unknown_tenant() -> PermissionDenied:
    """One answer whether there is such a tenant or not."""
    return PermissionDenied("this identity belongs to no tenant of this gateway", code="tenant_not_found")


def is_name(text: object) -> TypeGuard[str]:
    """Whether something may name somebody. Stores and logs refuse control characters and halves of surrogate pairs."""
    return isinstance(text, str) and 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()


def _steps(path: str) -> list[str]:
    # Claims of one's own are named by a URL, whose dots are no steps: `https://acme.example/tenant`.
    return [path] if "://" in path else path.split(".")


def _demanded(header: Claims, rules: IssuerRules) -> tuple[str, str]:
    match header:
        case {"crit": _} | {"b64": _}:
            raise unknown_key()
        case {"alg": str(algorithm), "kid": str(kid)} if algorithm in rules.algorithms and kid:
            if str(header.get("typ", "JWT")).upper() in TYPES:
                return algorithm, kid
        case _:
            pass
    raise unknown_key()


def _is_for(audience: object, rules: IssuerRules) -> bool:
    match audience:
        case str():
            return audience in rules.audiences
        case list():
            return any(isinstance(name, str) and name in rules.audiences for name in cast("list[object]", audience))
        case _:
            return False


def _valid_until(claims: Claims, rules: IssuerRules, now: float) -> float:
    """Give when the token ends, our patience included; refuse one that has not begun."""
    latest = now + rules.leeway_s
    if not _is_time(claims.get("iat")) or claims["iat"] > latest:
        raise unknown_key("the identity token is of the future, or its iat is missing: compare the clocks")
    for name, demanded in (("nbf", False), ("auth_time", rules.demands_auth_time)):
        if name in claims or demanded:
            at: Any = claims.get(name)
            if not _is_time(at) or at > latest:
                raise unknown_key(f"the identity token's {name} is missing or in the future")
    if not _is_time(claims.get("exp")):
        raise unknown_key()
    return float(claims["exp"] + rules.leeway_s)


def _is_time(value: Any) -> bool:
    # Neither True nor NaN nor a number without end.
    return type(value) in {int, float} and 0 <= value <= MAX_TIME
