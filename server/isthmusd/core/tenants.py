"""Who may do what, as the store keeps it: tenants with their grants, keys and projects. Who is asking is `call.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from isthmusd.core.errors import PermissionDenied, shown


class ForwardGrant(StrEnum):
    """Whose provider credentials Forward may use."""

    NONE = "none"
    OWN = "own"
    """The tenant's own only."""
    SHARED = "shared"
    """The gateway's too: files, batches and threads there are everybody's."""


class Role(StrEnum):
    CALLER = "caller"
    """Calls models."""
    ADMIN = "admin"
    """Administers the gateway, and calls no model."""


FORWARD_ORDER = tuple(ForwardGrant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What a principal may use. None: no restriction."""

    models: frozenset[str] | None = None
    """Names as callers write them."""
    projects: frozenset[str] | None = None
    """Projects that calls may be recorded under."""
    forward: ForwardGrant = ForwardGrant.OWN

    def within(self, outer: Grants) -> Grants:
        """Give what both allow."""
        return Grants(
            models=_both(self.models, outer.models),
            projects=_both(self.projects, outer.projects),
            forward=min(self.forward, outer.forward, key=FORWARD_ORDER.index),
        )

    def refuse_model(self, name: str, param: str | None = None) -> None:
        """Raise PermissionDenied for a model that is not granted, whether or not there is one of that name."""
        if self.models is not None and name not in self.models:
            raise PermissionDenied(
                f"your key does not allow the model '{shown(name)}'", code="model_not_allowed", param=param
            )

    def refuse_project(self, name: str, param: str | None = None) -> None:
        """Raise PermissionDenied for a project that is not granted."""
        if self.projects is not None and name not in self.projects:
            raise PermissionDenied(
                f"your key does not allow the project '{shown(name)}'", code="project_not_allowed", param=param
            )


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """A tenant's own credential at a provider."""

    provider: str
    name: str | None = None
    """For `x-isthmus-endpoint`."""
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A name that calls are recorded under."""

    name: str
    record_bodies: bool = False
    """Keep what was asked and answered."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tenant:
    """One client of the gateway. Compared by identity: each change in the store makes another one."""

    id: str
    name: str = ""
    grants: Grants = Grants()
    calls: int | None = None
    """Calls at once per worker; None: only the worker's own limit."""
    provider_keys: Mapping[str, tuple[ProviderKey, ...]] = field(default_factory=dict[str, tuple[ProviderKey, ...]])
    """Provider to credentials, in order of preference."""
    projects: Mapping[str, Project] = field(default_factory=dict[str, Project])
    created_at: float = 0.0
    """Unix seconds, as all times here."""
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKey:
    """A key of this gateway, without its secret, which nobody keeps."""

    id: str
    tenant: str
    name: str = ""
    role: Role = Role.CALLER
    grants: Grants = Grants()
    kid: str = ""
    """Which signing key made it."""
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who issued a temporary credential."""

    method: str
    """An `AuthMethod`."""
    id: str
    """The principal's `key_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryCredential:
    """A short-lived credential, without its secret."""

    id: str
    tenant: str
    issuer: Issuer
    model: str | None = None
    """The only model that may be named; None: all that its issuer may use."""
    project: str | None = None
    """What calls are recorded under."""
    compress_audio: bool | None = None
    created_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float | None = None
    custody: bytes | None = field(default=None, repr=False)
    """The caller's provider key, sealed under a secret that only the token carries."""
