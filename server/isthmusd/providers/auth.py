"""Which header carries which secret. Who may use a secret is decided in `pipeline/resolve.py`."""

from __future__ import annotations

from isthmusd.core.profile import AuthScheme, Provider

_HEADER: dict[AuthScheme, tuple[str, str]] = {
    AuthScheme.BEARER: ("authorization", "Bearer "),
    AuthScheme.X_API_KEY: ("x-api-key", ""),
    AuthScheme.API_KEY: ("api-key", ""),
    AuthScheme.X_GOOG_API_KEY: ("x-goog-api-key", ""),
}
"""Header's name, and what stands before the secret."""


def auth_headers(provider: Provider, secret: str | None) -> tuple[tuple[str, str], ...]:
    """Build the headers that authenticate at a provider; none without a secret, or where the host wants none."""
    if secret is None or provider.auth not in _HEADER:
        return ()
    name, before = _HEADER[provider.auth]
    return ((name, before + secret),)
