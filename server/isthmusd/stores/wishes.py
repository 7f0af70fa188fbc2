"""What administrators may ask for: names, texts and numbers that a row, a header and a page can hold. Whether it exists
already is for the rows to say."""

from __future__ import annotations

import math
from collections.abc import Iterable

from isthmusd.core.administration import MAX_LISTED, RESERVED, checked_name
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.tenants import Grants
from isthmusd.core.tokens import KEY_PREFIX

TEXT_BYTES = 1024
"""Of a text that is part of an index; databases take not much more."""
SECRET_BYTES = 64 * 1024
"""Providers' tokens are a few thousand at most."""
MAX_NAMES = 10_000
MAX_INTEGER = 2**31 - 1
LATEST = 253_402_300_800.0
"""The year 10000: what no calendar here can write."""


def is_storable(*texts: str) -> bool:
    """Whether databases can hold the texts: neither NUL nor half a character is in any row."""
    try:
        return b"\0" not in "".join(texts).encode()
    except UnicodeEncodeError:
        return False


def checked_tenant(tenant_id: str) -> str:
    """Give an id for a new tenant. Raises InvalidRequest."""
    if tenant_id in RESERVED:
        raise InvalidRequest(f"the tenant {tenant_id} is the gateway's own; choose another id", param="tenant")
    return checked_name("tenant", tenant_id)


def checked_text(kind: str, text: str, *, most: int = TEXT_BYTES, least: int = 0) -> str:
    """Give a text that may be stored. Raises InvalidRequest, which does not repeat it."""
    if not is_storable(text) or not least <= len(text.encode()) <= most:
        raise InvalidRequest(f"the {kind} must be text of {least} to {most} bytes, without NUL", param=kind)
    return text


def checked_secret(secret: str) -> str:
    """Give a provider's key that may be stored. Raises InvalidRequest, which does not repeat it."""
    if secret.startswith(KEY_PREFIX):
        # It would be sent to the provider.
        raise InvalidRequest("this is a key of the gateway itself; give one that the provider issued", param="secret")
    if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        # It is sent in a header: every call would fail, and be told that its own headers are to blame.
        raise InvalidRequest("the secret must be one line of printable ASCII, without spaces around it", param="secret")
    return checked_text("secret", secret, least=1, most=SECRET_BYTES)


def checked_grants(grants: Grants) -> Grants:
    """Give grants that may be stored. Raises InvalidRequest."""
    for model in _few("models", grants.models or ()):
        checked_text("model", model, least=1)
    for project in _few("projects", grants.projects or ()):
        checked_name("project", project)
    return grants


def checked_calls(calls: int | None) -> int | None:
    """Give a limit of calls at once. Raises InvalidRequest."""
    if calls is not None and not 1 <= calls <= MAX_INTEGER:
        raise InvalidRequest("the number of calls at once must be 1 or more", param="calls")
    return calls


def checked_expiry(expires_at: float | None, now: float) -> float | None:
    """Give an expiry in whole seconds, as tokens tell it. Raises InvalidRequest."""
    if expires_at is None:
        return None
    if not now < expires_at < LATEST:
        raise InvalidRequest("the expiry must be in the future", param="expires_at")
    return float(math.ceil(expires_at))


def checked_grace(grace_s: float) -> float:
    """Give how long an old key goes on. Raises InvalidRequest."""
    if not 0 <= grace_s < LATEST:
        raise InvalidRequest("the grace must be 0 seconds or more", param="grace_s")
    return grace_s


def checked_limit(limit: int) -> int:
    """Give the size of a page: at least one, and not too many."""
    return max(1, min(limit, MAX_LISTED))


def checked_place(after: str | None) -> str | None:
    """Give where a page begins. Raises InvalidRequest."""
    if after is not None and not is_storable(after):
        raise InvalidRequest("the page must begin after an id that a page ended with", param="after")
    return after


def _few(kind: str, names: Iterable[str]) -> tuple[str, ...]:
    few = tuple(names)
    if len(few) > MAX_NAMES:
        raise InvalidRequest(f"there are too many {kind}; at most {MAX_NAMES} can be named", param=kind)
    return few
