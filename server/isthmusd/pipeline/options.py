"""What the pipeline needs to be told. Not the settings tree: `isthmusd.settings` composes this into it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """Access and limits of one worker."""

    anonymous: bool = True
    """Serve calls without a credential, with the gateway's own provider credentials."""
    provider_keys: bool = True
    """Take a provider's own key as a credential."""
    loopback_hosts_only: bool = True
    """Under anonymous access refuse a `Host` that is not this machine: a name rebound by a web page."""
    cors_origins: tuple[str, ...] = ()
    """Origins that may call under anonymous access; `*` stands for any."""
    default_provider: str | None = "openai"
    """Gets the models that nothing names, and Forward without a model."""
    request_bytes: int = 50 * 1024 * 1024
    """Largest body of a JSON route."""
    upload_bytes: int = 512 * 1024 * 1024
    """Largest body that Forward streams."""
    reply_bytes: int = 64 * 1024 * 1024
    """Largest whole reply that is held."""
    request_s: float = 600.0
    """Deadline of a whole reply, or of a stream up to its first event, where the caller gives none."""
    first_event_s: float = 120.0
    """Longest wait for a stream's first event."""
    idle_s: float = 300.0
    """Longest silence of a provider within a stream."""
    keep_alive_s: float = 15.0
    """Silence after which a stream gets a comment."""
    calls: int = 10_000
    """Calls at once; the next one is refused with 503."""
    media_bytes: int = 20 * 1024 * 1024
    """Largest image or file that is fetched for a target."""
    media_per_request: int = 20
    """Most URLs of one call that are fetched."""
    tenant_forward_url: str = "https://api.openai.com"
    """Where the paths below `/api/openai` lead; without a trailing slash."""
    body_bytes: int = 256 * 1024
    """What is kept of a body for a record, where the call's project wants bodies."""
    cache_entry_bytes: int = 8 * 1024 * 1024
    """Largest answer that is kept in the cache."""
    cache_per_tenant: bool = False
    """Callers of one tenant share answers; else the callers with one credential."""
