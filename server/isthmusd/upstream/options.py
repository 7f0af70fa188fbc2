"""The knobs of outgoing connections. Deadlines of calls are the pipeline's."""

from __future__ import annotations

from dataclasses import dataclass

from isthmusd.core.addresses import Network
from isthmusd.core.issuers import IssuerRules


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    connect_timeout_s: float = 10.0
    """Name lookup, TCP and TLS together."""
    keep_alive_s: float = 60.0
    """How long an idle connection stays in the pool."""
    dns_cache_s: int = 30
    demo_delay_s: float = 0.02
    """Between two words of the built-in provider's streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOptions:
    """What may be fetched for callers."""

    timeout_s: float = 10.0
    """For one URL: names, connections, redirects and content together."""
    ports: frozenset[int] = frozenset({80, 443})
    allow_private: tuple[Network, ...] = ()
    """Networks that may be dialled although they are not public."""
    connection_count: int = 64
    """Connections at once of one worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerOptions:
    """One identity provider: its rules, and where its keys are."""

    rules: IssuerRules
    jwks_url: str | None
    """None: the `jwks_uri` of the discovery document below the issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOptions:
    """The operator's own service that verifies tokens: `isthmus.v1.TokenVerifier`."""

    address: str
    """`HOST:PORT` or `unix:/path`; plaintext gRPC."""
    prefixes: tuple[str, ...] = ()
    """Tokens that begin so are asked about, beside JWTs of unknown issuers."""
    timeout_s: float = 2.0
    tenants: frozenset[str] | None = None
    """Tenants that it may name; None: all."""
