"""Whose tokens are believed, as the operator says it. Checking them is `identity.py`'s and `tokens.py`'s; whoever only
reads settings does not load what that takes.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY_PREFIX = "isk_"
"""Of the gateway's own keys."""
VERIFIER = "verifier"
"""The issuer of those whom the operator's own service names; no identity provider can be called so."""
ASYMMETRIC = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Every algorithm that a signature is ever checked by. A verifier's key must not be able to sign."""


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
