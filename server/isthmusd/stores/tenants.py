"""Tenants and what is theirs, changed in the store: grants, provider keys, projects, identities. Their gateway keys are
`keys.py`'s; reading them for calls is `directory.py`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, delete, exc, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from isthmusd.core.administration import Subject, TenantWish, checked_name
from isthmusd.core.errors import AlreadyExists, NotFound
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import Project, ProviderKey, Tenant
from isthmusd.stores.changes import announce
from isthmusd.stores.database import Database
from isthmusd.stores.news import ChangeKind, subject_name
from isthmusd.stores.rows import grant_columns, open_provider_key, read_tenant, read_tenants, seal_provider_key
from isthmusd.stores.tables import projects, provider_keys, subjects, tenants
from isthmusd.stores.wishes import (
    checked_calls,
    checked_grants,
    checked_limit,
    checked_place,
    checked_secret,
    checked_tenant,
    checked_text,
    is_storable,
)

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Tenants:
    """The part of `pipeline.ports.Administration` that is about tenants."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def create(self, wish: TenantWish, now: float) -> Tenant:
        """Make a tenant. Raises AlreadyExists, InvalidRequest."""
        row = {"id": checked_tenant(wish.id), "created_at": now} | _columns(wish)
        with self._database.writing() as connection:
            try:
                connection.execute(insert(tenants).values(row))
            except exc.IntegrityError:
                raise AlreadyExists("there is a tenant of this id already; choose another", param="tenant") from None
            return self._changed(connection, wish.id)

    def change(self, wish: TenantWish) -> Tenant:
        """Replace a tenant's settings. Raises NotFound, InvalidRequest."""
        return self._set(wish.id, _columns(wish))

    def revoke(self, tenant_id: str, now: float) -> Tenant:
        """Refuse a tenant's callers; one that was revoked before keeps its time. Raises NotFound."""
        return self._set(tenant_id, {"revoked_at": func.coalesce(tenants.c.revoked_at, now)})

    def restore(self, tenant_id: str) -> Tenant:
        """Let a tenant's callers in. Raises NotFound."""
        return self._set(tenant_id, {"revoked_at": None})

    def find(self, tenant_id: str) -> Tenant:
        """Read a tenant. Raises NotFound."""
        with self._database.reading() as connection:
            found = read_tenant(connection, self._keyring, tenant_id)
        if found is None:
            raise _no_tenant()
        return found

    def page(self, after: str | None, limit: int) -> Sequence[Tenant]:
        """Read tenants by id."""
        with self._database.reading() as connection:
            return read_tenants(connection, self._keyring, after=checked_place(after), limit=checked_limit(limit))

    def reseal(self, tenant_id: str) -> int:
        """Seal by the newest secret what an older one sealed; tells how many. Raises NotFound."""
        count = 0
        with self._database.writing() as connection:
            _hold(connection, tenant_id)
            for row in connection.execute(select(provider_keys).where(provider_keys.c.tenant == tenant_id)).all():
                key = None if self._keyring.is_current(row.sealed) else open_provider_key(self._keyring, row)
                if key is not None:
                    sealed = seal_provider_key(self._keyring, tenant_id, key)
                    connection.execute(update(provider_keys).where(*_same_key(tenant_id, key)).values(sealed=sealed))
                    count += 1
        return count

    def set_provider_key(self, tenant_id: str, key: ProviderKey) -> None:
        """Add or replace a credential. Raises NotFound, InvalidRequest."""
        checked_name("provider", key.provider)
        if key.name is not None:
            checked_name("name", key.name)
        checked_secret(key.secret)
        sealed = seal_provider_key(self._keyring, tenant_id, key)
        same = _same_key(tenant_id, key)
        last = select(func.max(provider_keys.c.place)).where(*same[:2])
        with self._database.writing() as connection:
            _hold(connection, tenant_id)
            # Replaced, it keeps its place in the order of preference.
            if not connection.execute(update(provider_keys).where(*same).values(sealed=sealed)).rowcount:
                place = (connection.execute(last).scalar_one() or 0) + 1
                row = {"tenant": tenant_id, "provider": key.provider, "name": key.name or ""}
                connection.execute(insert(provider_keys).values(**row, place=place, sealed=sealed))
            announce(connection, ChangeKind.TENANT, tenant_id)

    def remove_provider_key(self, tenant_id: str, provider: str, name: str | None) -> None:
        """Delete a credential. Raises NotFound."""
        key = ProviderKey(provider=provider, name=name, secret="")
        self._remove(tenant_id, delete(provider_keys).where(*_same_key(tenant_id, key)), provider, name or "")

    def set_project(self, tenant_id: str, project: Project) -> None:
        """Add or replace a project. Raises NotFound, InvalidRequest."""
        row = {"tenant": tenant_id, "name": checked_name("project", project.name)}
        with self._database.writing() as connection:
            _hold(connection, tenant_id)
            _put(connection, projects, row, {"record_bodies": project.record_bodies})
            announce(connection, ChangeKind.TENANT, tenant_id)

    def remove_project(self, tenant_id: str, name: str) -> None:
        """Delete a project. Raises NotFound."""
        wanted = delete(projects).where(projects.c.tenant == tenant_id, projects.c.name == name)
        self._remove(tenant_id, wanted, name)

    def set_subject(self, subject: Subject) -> None:
        """Put an identity to a tenant, or to another one. Raises NotFound, InvalidRequest."""
        row = {
            "issuer": checked_text("issuer", subject.issuer, least=1),
            "subject": checked_text("subject", subject.subject, least=1),
        }
        with self._database.writing() as connection:
            _hold(connection, subject.tenant)
            _put(connection, subjects, row, {"tenant": subject.tenant})
            announce(connection, ChangeKind.SUBJECT, subject_name(subject.issuer, subject.subject))

    def remove_subject(self, issuer: str, subject: str) -> None:
        """Take an identity from its tenant. Raises NotFound."""
        wanted = delete(subjects).where(subjects.c.issuer == issuer, subjects.c.subject == subject)
        with self._database.writing() as connection:
            if not is_storable(issuer, subject) or not connection.execute(wanted).rowcount:
                raise NotFound("this identity belongs to no tenant")
            announce(connection, ChangeKind.SUBJECT, subject_name(issuer, subject))

    def subjects(self, tenant_id: str) -> Sequence[Subject]:
        """Read who was put to a tenant. Raises NotFound."""
        wanted = select(subjects).where(subjects.c.tenant == tenant_id).order_by(subjects.c.issuer, subjects.c.subject)
        with self._database.reading() as connection:
            _demand(connection, tenant_id)
            rows = connection.execute(wanted).all()
        return [Subject(issuer=row.issuer, subject=row.subject, tenant=row.tenant) for row in rows]

    def _set(self, tenant_id: str, columns: Mapping[str, Any]) -> Tenant:
        with self._database.writing() as connection:
            wanted = update(tenants).where(tenants.c.id == tenant_id).values(**columns)
            if not is_storable(tenant_id) or not connection.execute(wanted).rowcount:
                raise _no_tenant()
            return self._changed(connection, tenant_id)

    def _changed(self, connection: Connection, tenant_id: str) -> Tenant:
        announce(connection, ChangeKind.TENANT, tenant_id)
        found = read_tenant(connection, self._keyring, tenant_id)
        if found is None:
            raise _no_tenant()
        return found

    def _remove(self, tenant_id: str, wanted: Delete, *names: str) -> None:
        with self._database.writing() as connection:
            _hold(connection, tenant_id)
            if not is_storable(*names) or not connection.execute(wanted).rowcount:
                raise NotFound("the tenant has none of this name")
            announce(connection, ChangeKind.TENANT, tenant_id)


def _columns(wish: TenantWish) -> dict[str, Any]:
    calls = checked_calls(wish.calls)
    return {"name": checked_text("name", wish.name), "calls": calls} | grant_columns(checked_grants(wish.grants))


def _same_key(tenant_id: str, key: ProviderKey) -> tuple[Any, Any, Any]:
    return (
        provider_keys.c.tenant == tenant_id,
        provider_keys.c.provider == key.provider,
        provider_keys.c.name == (key.name or ""),
    )


def _put(connection: Connection, table: Any, row: Mapping[str, Any], rest: Mapping[str, Any]) -> None:
    wanted = INSERT[connection.dialect.name](table).values(**row, **rest)
    connection.execute(wanted.on_conflict_do_update(index_elements=list(row), set_=dict(rest)))


def _hold(connection: Connection, tenant_id: str) -> None:
    """Let nobody else change a tenant until this transaction ends; keys may be made for it. Raises NotFound."""
    _demand(connection, tenant_id, held=True)


def _demand(connection: Connection, tenant_id: str, *, held: bool = False) -> None:
    wanted = select(tenants.c.id).where(tenants.c.id == tenant_id)
    wanted = wanted.with_for_update(key_share=True) if held else wanted
    if not is_storable(tenant_id) or connection.execute(wanted).first() is None:
        raise _no_tenant()


def _no_tenant() -> NotFound:
    return NotFound("there is no tenant of this id", param="tenant")
