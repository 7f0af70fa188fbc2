"""What administrators do, from the parts that do it. It checks nobody's right to: that is `core/authorisation.py`'s.

The parts load SQLAlchemy, which workers do not at their start: they are loaded when the first administrator comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from isthmusd.core.administration import IssuedKey, KeyWish, RecordQuery, StoredRecord, Subject, TenantWish
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import GatewayKey, Project, ProviderKey, TemporaryCredential, Tenant
from isthmusd.stores.database import Database
from isthmusd.stores.loading import load

if TYPE_CHECKING:
    from isthmusd.stores.given import GivenCredentials
    from isthmusd.stores.keys import Keys
    from isthmusd.stores.tenants import Tenants


class Wall(Protocol):
    """The part of the clock that is needed here."""

    def now(self) -> float: ...


class StoreAdministration:
    """See `pipeline.ports.Administration`. It asks nothing before its first use; call it from threads."""

    def __init__(self, database: Database, keyring: Keyring, issuer: str, clock: Wall) -> None:
        self._database = database
        self._keyring = keyring
        self._issuer = issuer
        self._clock = clock

    def create_tenant(self, wish: TenantWish) -> Tenant:
        """Make a tenant. Raises AlreadyExists, InvalidRequest."""
        return self._tenants().create(wish, self._clock.now())

    def update_tenant(self, wish: TenantWish) -> Tenant:
        """Replace a tenant's name, grants and limit. Raises NotFound, InvalidRequest."""
        return self._tenants().change(wish)

    def tenant(self, tenant_id: str) -> Tenant:
        """Read a tenant. Raises NotFound."""
        return self._tenants().find(tenant_id)

    def tenants(self, *, after: str | None, limit: int) -> Sequence[Tenant]:
        """Read tenants by id."""
        return self._tenants().page(after, limit)

    def revoke_tenant(self, tenant_id: str) -> Tenant:
        """Refuse a tenant's callers. Raises NotFound."""
        return self._tenants().revoke(tenant_id, self._clock.now())

    def restore_tenant(self, tenant_id: str) -> Tenant:
        """Let a tenant's callers in again. Raises NotFound."""
        return self._tenants().restore(tenant_id)

    def reseal_tenant(self, tenant_id: str) -> int:
        """Seal a tenant's provider keys by the newest secret; tells how many. Raises NotFound."""
        return self._tenants().reseal(tenant_id)

    def set_provider_key(self, tenant_id: str, key: ProviderKey) -> None:
        """Add or replace a credential at a provider. Raises NotFound, InvalidRequest."""
        self._tenants().set_provider_key(tenant_id, key)

    def remove_provider_key(self, tenant_id: str, provider: str, name: str | None) -> None:
        """Delete a credential at a provider. Raises NotFound."""
        self._tenants().remove_provider_key(tenant_id, provider, name)

    def set_project(self, tenant_id: str, project: Project) -> None:
        """Add or replace a project. Raises NotFound, InvalidRequest."""
        self._tenants().set_project(tenant_id, project)

    def remove_project(self, tenant_id: str, name: str) -> None:
        """Delete a project; records of its calls stay. Raises NotFound."""
        self._tenants().remove_project(tenant_id, name)

    def set_subject(self, subject: Subject) -> None:
        """Put an identity to a tenant, or to another one. Raises NotFound, InvalidRequest."""
        self._tenants().set_subject(subject)

    def remove_subject(self, issuer: str, subject: str) -> None:
        """Take an identity from its tenant. Raises NotFound."""
        self._tenants().remove_subject(issuer, subject)

    def subjects(self, tenant_id: str) -> Sequence[Subject]:
        """Read who was put to a tenant. Raises NotFound."""
        return self._tenants().subjects(tenant_id)

    def create_key(self, wish: KeyWish) -> IssuedKey:
        """Make a key. Raises NotFound, InvalidRequest."""
        return self._keys().create(wish, self._clock.now())

    def rotate_key(self, key_id: str, grace_s: float) -> IssuedKey:
        """Make a key with the same rights and expiry; the old one ends after the grace. Raises NotFound."""
        return self._keys().rotate(key_id, grace_s, self._clock.now())

    def revoke_key(self, key_id: str) -> GatewayKey:
        """Take a key back, for good. Raises NotFound."""
        return self._keys().revoke(key_id, self._clock.now())

    def key(self, key_id: str) -> GatewayKey:
        """Read a key. Raises NotFound."""
        return self._keys().find(key_id)

    def keys(self, *, tenant: str | None, after: str | None, limit: int) -> Sequence[GatewayKey]:
        """Read keys by id."""
        return self._keys().page(tenant, after, limit)

    def credential(self, credential_id: str) -> TemporaryCredential:
        """Read a temporary credential. Raises NotFound."""
        return self._given().find(credential_id)

    def credentials(self, *, tenant: str | None, after: str | None, limit: int) -> Sequence[TemporaryCredential]:
        """Read temporary credentials, the newest first."""
        return self._given().page(tenant, after, limit)

    def revoke_credential(self, credential_id: str) -> TemporaryCredential:
        """Take a temporary credential back. Raises NotFound."""
        return self._given().revoke(credential_id, self._clock.now())

    def records(self, query: RecordQuery) -> Sequence[StoredRecord]:
        """Read records of calls, the newest first."""
        load()
        from isthmusd.stores.records import query_records  # noqa: PLC0415 loads SQLAlchemy

        with self._database.reading() as connection:
            return query_records(connection, query, self._keyring)

    def _tenants(self) -> Tenants:
        load()
        from isthmusd.stores.tenants import Tenants  # noqa: PLC0415 loads SQLAlchemy

        return Tenants(self._database, self._keyring)

    def _keys(self) -> Keys:
        load()
        from isthmusd.stores.keys import Keys  # noqa: PLC0415 loads SQLAlchemy

        return Keys(self._database, self._keyring, self._issuer)

    def _given(self) -> GivenCredentials:
        load()
        from isthmusd.stores.given import GivenCredentials  # noqa: PLC0415 loads SQLAlchemy

        return GivenCredentials(self._database)
