"""The knobs of outgoing connections. Deadlines of calls are the pipeline's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    connect_timeout_s: float = 10.0
    """Name lookup, TCP and TLS together."""
    keep_alive_s: float = 60.0
    """How long an idle connection stays in the pool."""
    dns_cache_s: int = 30
    demo_delay_s: float = 0.02
    """Between two words of the built-in provider's streams."""
