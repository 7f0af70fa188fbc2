"""Who is asking, when, until when. How a caller is identified is `pipeline/identify.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from isthmusd.core.tenants import Grants, Role, Tenant


class AuthMethod(StrEnum):
    ANONYMOUS = "anonymous"
    PROVIDER_KEY = "provider_key"
    GATEWAY_KEY = "gateway_key"
    TEMPORARY_CREDENTIAL = "temporary_credential"
    IDENTITY_TOKEN = "identity_token"  # noqa: S105 a kind of credential, not one


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    tenant: str
    key_id: str
    """Names the credential in records; never the secret."""
    method: AuthMethod
    grants: Grants = Grants()
    role: Role = Role.CALLER
    provider_key: str | None = field(default=None, repr=False)
    """The caller's own provider key, to be sent to the first target's provider only."""
    owner: Tenant | None = None
    """The tenant as the store knows it; None: nobody's, as under anonymous access."""
    project: str | None = None
    """Given by the credential itself; no header of the call replaces it."""
    expires_at: float | None = None
    """Unix seconds after which it starts no call; None: no limit."""
    stored: bool = False
    """An identity that the store put to its tenant, and may take from it: its token named none."""


class CacheMode(StrEnum):
    """When an answer may come from the cache."""

    AUTO = "auto"
    """Where the same request is meant to get the same answer: temperature 0, a seed, embeddings, moderations."""
    ALWAYS = "always"
    NEVER = "never"


MAX_TTL_S = 604_800
"""A week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheWish:
    """What a caller wants of the cache."""

    mode: CacheMode = CacheMode.AUTO
    ttl_s: int = MAX_TTL_S
    reads: bool = True
    """Unless `Cache-Control` wants a fresh answer."""
    writes: bool = True
    """Unless it forbids to keep the answer."""
    max_age_s: int | None = None


DEFAULT_CACHE = CacheWish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    request_id: str
    principal: Principal
    started_at: float
    """Wall clock, Unix seconds."""
    deadline_at: float | None
    """Monotonic seconds; the caller's own deadline, bounds everything. None: only the defaults apply."""
    strict: bool = False
    """A loss is an error."""
    endpoint: str | None = None
    """Named credential asked for."""
    project: str | None = None
    """Records go under this project."""
    record_bodies: bool = False
    """The project wants what was asked and answered in its records."""
    cache: CacheWish = DEFAULT_CACHE
    token: str | None = field(default=None, repr=False)
    """What the caller showed; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Identity and time for answers that we make ourselves; pure code receives it instead of making it."""

    id: str
    """Random part of ids, `[0-9a-z]+`."""
    created_at: int
    """Unix seconds."""
