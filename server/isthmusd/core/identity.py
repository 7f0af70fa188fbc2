"""Tokens of identity providers: what an issuer's must look like, and who one names. Fetching keys is `upstream/`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a verified token names."""

    issuer: str
    subject: str
    tenant: str | None = None
    """As the token claims it; None: it claims none, and the store may know one for the subject."""
    expires_at: float | None = None
    """Unix seconds; None: only the cache's own limit applies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerRules:
    """One identity provider whose tokens are believed."""

    issuer: str
    """`iss`, exactly."""
    audiences: frozenset[str]
    """`aud` must name one of them."""
    algorithms: tuple[str, ...] = ("RS256",)
    """Asymmetric ones only; a key of another kind is never tried."""
    tenant_claims: tuple[str, ...] = ("client_id", "firebase.tenant")
    """Paths of the claim that names the tenant; the first that holds a text counts."""
    tenants: frozenset[str] | None = None
    """Tenants that this issuer may name; None: all."""
    leeway_s: float = 30.0
    demands_auth_time: bool = False
    """`auth_time` must be there and not in the future, as Firebase has it."""


KeySet = Mapping[str, object]
"""`kid` to a JWK as it was published."""
