"""What administrators ask for and get, as values. Doing it is `stores/administration.py`'s, asking for it `cli/`'s and
`rpc/admin.py`'s."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from isthmusd.core.errors import InvalidRequest
from isthmusd.core.tenants import GatewayKey, Grants, Role

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:@-]{0,126}[A-Za-z0-9])?")
"""Ids of tenants, names of projects and credentials: what needs no quoting in a header, a URL or a shell."""
RESERVED = frozenset({"default"})
"""The tenant of calls that no tenant's credential makes."""
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantWish:
    """A tenant to be made, or what one shall be from now on."""

    id: str
    name: str = ""
    grants: Grants = Grants()
    calls: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """A key to be made."""

    tenant: str
    name: str = ""
    role: Role = Role.CALLER
    grants: Grants = Grants()
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key, with the token that is shown once."""

    key: GatewayKey
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An identity that was put to a tenant."""

    issuer: str
    subject: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Which records are wanted, the newest first. None: any."""

    tenant: str | None = None
    project: str | None = None
    key_id: str | None = None
    since: float | None = None
    until: float | None = None
    """Unix seconds of the call's end, exclusive."""
    before: tuple[float, str] | None = None
    """(end, id) of the last record of the page before."""
    limit: int = 100
    bodies: bool = False
    """With what was asked and answered, where that was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record as it was kept."""

    id: str
    ended_at: float
    data: bytes
    """The record as JSON, its bodies excepted."""
    asked: bytes | None = None
    answered: bytes | None = None


def checked_name(kind: str, name: str) -> str:
    """Give a name that may be used. Raises InvalidRequest."""
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"the {kind} must be 1 to 128 letters, digits and . _ : @ -, and begin and end with a letter or digit",
            param=kind,
        )
    return name
