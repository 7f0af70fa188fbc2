"""Rows of the store to values and back. It decides nothing: what may be written is checked by who calls it."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, tuple_

from isthmusd.core.keyring import NONCE_BYTES, Keyring, Unsealable
from isthmusd.core.tenants import (
    ForwardGrant,
    GatewayKey,
    Grants,
    Issuer,
    Project,
    ProviderKey,
    Role,
    TemporaryCredential,
    Tenant,
)
from isthmusd.stores.tables import credentials, keys, projects, provider_keys, subjects, tenants
from isthmusd.stores.wishes import is_storable

LOG = logging.getLogger(__name__)
PROVIDER_KEY = "provider-key"
"""The purpose that tenants' credentials are sealed for."""


def read_tenant(connection: Connection, keyring: Keyring, tenant_id: str) -> Tenant | None:
    """Read a tenant with its projects and its provider keys, opened."""
    if not is_storable(tenant_id):
        return None
    found = _tenants(connection, keyring, connection.execute(select(tenants).where(tenants.c.id == tenant_id)).all())
    return found[0] if found else None


def read_tenants(connection: Connection, keyring: Keyring, *, after: str | None, limit: int) -> Sequence[Tenant]:
    """Read a page of tenants by id."""
    wanted = select(tenants).order_by(tenants.c.id).limit(limit)
    if after is not None:
        wanted = wanted.where(tenants.c.id > after)
    return _tenants(connection, keyring, connection.execute(wanted).all())


def read_key(connection: Connection, key_id: str) -> GatewayKey | None:
    """Read a gateway key."""
    if not is_storable(key_id):
        return None
    row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
    return None if row is None else _key(row)


def read_keys(connection: Connection, *, tenant: str | None, after: str | None, limit: int) -> Sequence[GatewayKey]:
    """Read a page of gateway keys by id."""
    wanted = select(keys).order_by(keys.c.id).limit(limit)
    if tenant is not None:
        wanted = wanted.where(keys.c.tenant == tenant)
    if after is not None:
        wanted = wanted.where(keys.c.id > after)
    return [_key(row) for row in connection.execute(wanted)]


def insert_key(connection: Connection, key: GatewayKey) -> None:
    """Keep a new gateway key."""
    connection.execute(
        insert(keys).values(
            id=key.id,
            tenant=key.tenant,
            name=key.name,
            role=key.role.value,
            kid=key.kid,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            **grant_columns(key.grants),
        )
    )


def read_credential(connection: Connection, credential_id: str) -> TemporaryCredential | None:
    """Read a temporary credential."""
    if not is_storable(credential_id):
        return None
    row = connection.execute(select(credentials).where(credentials.c.id == credential_id)).one_or_none()
    return None if row is None else _credential(row)


def read_credentials(
    connection: Connection, *conditions: ColumnElement[bool], after: str | None, limit: int
) -> Sequence[TemporaryCredential]:
    """Read a page of those that fulfil all conditions, the newest first; `after` is the last id of the page before."""
    newest = (credentials.c.created_at, credentials.c.id)
    wanted = select(credentials).where(*conditions).order_by(*(column.desc() for column in newest)).limit(limit)
    if after is not None:
        last = read_credential(connection, after)
        if last is None:
            return ()
        wanted = wanted.where(tuple_(*newest) < tuple_(last.created_at, last.id))
    return [_credential(row) for row in connection.execute(wanted)]


def insert_credential(connection: Connection, credential: TemporaryCredential) -> None:
    """Keep a new temporary credential."""
    connection.execute(
        insert(credentials).values(
            id=credential.id,
            tenant=credential.tenant,
            method=credential.issuer.method,
            issuer=credential.issuer.id,
            model=credential.model,
            project=credential.project,
            compress_audio=credential.compress_audio,
            created_at=credential.created_at,
            expires_at=credential.expires_at,
            revoked_at=credential.revoked_at,
            custody=credential.custody,
        )
    )


def count_credentials(connection: Connection, tenant: str, *, alive_at: float) -> int:
    """Count a tenant's temporary credentials that have not expired."""
    alive = (credentials.c.tenant == tenant, credentials.c.expires_at > alive_at)
    return connection.execute(select(func.count()).select_from(credentials).where(*alive)).scalar_one()


def delete_credentials(connection: Connection, *, expired_before: float, limit: int) -> None:
    """Delete some temporary credentials that expired long ago, but none that somebody else is just deleting."""
    old = (
        select(credentials.c.id)
        .where(credentials.c.expires_at < expired_before)
        .order_by(credentials.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    # Two statements: of a limit within the first one Postgres may make several, each with rows of its own.
    names = connection.execute(old).scalars().all()
    if names:
        connection.execute(delete(credentials).where(credentials.c.id.in_(names)))


def read_subject(connection: Connection, issuer: str, subject: str) -> str | None:
    """Read the id of the tenant that an identity was put to."""
    if not is_storable(issuer, subject):
        return None
    return connection.execute(
        select(subjects.c.tenant).where(subjects.c.issuer == issuer, subjects.c.subject == subject)
    ).scalar_one_or_none()


def grant_columns(grants: Grants) -> dict[str, Any]:
    """Give grants as columns of a tenant or key."""
    return {
        "models": None if grants.models is None else sorted(grants.models),
        "projects": None if grants.projects is None else sorted(grants.projects),
        "forward": grants.forward.value,
    }


def seal_provider_key(keyring: Keyring, tenant_id: str, key: ProviderKey) -> bytes:
    """Encrypt a tenant's credential for its row."""
    owner = _owner(tenant_id, key.provider, key.name or "")
    return keyring.seal(key.secret.encode(), nonce=os.urandom(NONCE_BYTES), purpose=PROVIDER_KEY, owner=owner)


def open_provider_key(keyring: Keyring, row: Row[Any]) -> ProviderKey | None:
    """Decrypt a tenant's credential; None, and a line in the log, if its master secret is gone."""
    try:
        plain = keyring.open(row.sealed, purpose=PROVIDER_KEY, owner=_owner(row.tenant, row.provider, row.name))
    except Unsealable as error:
        named = f" named {row.name}" if row.name else ""
        LOG.warning("the %s credential%s of tenant %s cannot be opened: %s", row.provider, named, row.tenant, error)
        return None
    return ProviderKey(provider=row.provider, name=row.name or None, secret=plain.decode())


def _owner(tenant_id: str, provider: str, name: str) -> str:
    return f"{tenant_id}/{provider}/{name}"


def _tenants(connection: Connection, keyring: Keyring, rows: Sequence[Row[Any]]) -> Sequence[Tenant]:
    if not rows:
        return ()
    ids = [row.id for row in rows]
    own: dict[str, dict[str, Project]] = defaultdict(dict)
    for row in connection.execute(select(projects).where(projects.c.tenant.in_(ids)).order_by(projects.c.name)):
        own[row.tenant][row.name] = Project(name=row.name, record_bodies=row.record_bodies)
    secrets: dict[str, dict[str, tuple[ProviderKey, ...]]] = defaultdict(dict)
    in_order = (provider_keys.c.provider, provider_keys.c.place)
    for row in connection.execute(select(provider_keys).where(provider_keys.c.tenant.in_(ids)).order_by(*in_order)):
        key = open_provider_key(keyring, row)
        if key is not None:
            of_tenant = secrets[row.tenant]
            of_tenant[row.provider] = (*of_tenant.get(row.provider, ()), key)
    return [_tenant(row, secrets[row.id], own[row.id]) for row in rows]


def _tenant(row: Row[Any], secrets: dict[str, tuple[ProviderKey, ...]], own: dict[str, Project]) -> Tenant:
    return Tenant(
        id=row.id,
        name=row.name,
        grants=_grants(row),
        calls=row.calls,
        provider_keys=secrets,
        projects=own,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _key(row: Row[Any]) -> GatewayKey:
    return GatewayKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        role=Role(row.role),
        grants=_grants(row),
        kid=row.kid,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _credential(row: Row[Any]) -> TemporaryCredential:
    return TemporaryCredential(
        id=row.id,
        tenant=row.tenant,
        issuer=Issuer(method=row.method, id=row.issuer),
        model=row.model,
        project=row.project,
        compress_audio=row.compress_audio,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        custody=row.custody,
    )


def _grants(row: Row[Any]) -> Grants:
    return Grants(
        models=None if row.models is None else frozenset(row.models),
        projects=None if row.projects is None else frozenset(row.projects),
        forward=ForwardGrant(row.forward),
    )
