"""What the operator says of identity providers, as the layers want it. Checking tokens is not done here."""

from __future__ import annotations

from collections.abc import Iterator

from isthmusd.core.issuers import IssuerRules
from isthmusd.settings.tree import Auth, IdentityIssuer
from isthmusd.upstream.options import HookOptions, IssuerOptions

FIREBASE_ISSUER = "https://securetoken.google.com/"
FIREBASE_KEYS = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"


def issuers(auth: Auth) -> tuple[IssuerOptions, ...]:
    """Give every identity provider that is configured."""
    return tuple(options_of(each) for _, each in named(auth))


def named(auth: Auth) -> Iterator[tuple[str, IdentityIssuer]]:
    """Give what is written, the short form for Firebase too, each with its path."""
    if auth.firebase_project is not None:
        yield "auth.firebase_project", IdentityIssuer(firebase_project=auth.firebase_project)
    for name, issuer in auth.issuers.items():
        yield f"auth.issuers.{name}", issuer


def hook(auth: Auth) -> HookOptions | None:
    """Give the service that is asked about other tokens."""
    verifier = auth.verifier
    if verifier is None:
        return None
    return HookOptions(
        address=verifier.address,
        prefixes=verifier.prefixes,
        timeout_s=verifier.timeout_s,
        tenants=None if verifier.tenants is None else frozenset(verifier.tenants),
    )


def options_of(written: IdentityIssuer) -> IssuerOptions:
    """Give one as it is to be asked and believed."""
    project = written.firebase_project
    issuer = written.issuer or (f"{FIREBASE_ISSUER}{project}" if project else "")
    audience = written.audience or project or ""
    audiences = frozenset((audience,) if isinstance(audience, str) else audience)
    rules = IssuerRules(
        issuer=issuer,
        audiences=audiences,
        algorithms=written.algorithms,
        tenant_claims=written.tenant_claims,
        tenants=None if written.tenants is None else frozenset(written.tenants),
        leeway_s=written.leeway_s,
        demands_auth_time=project is not None,
    )
    return IssuerOptions(rules=rules, jwks_url=written.jwks_url or (FIREBASE_KEYS if project else None))
