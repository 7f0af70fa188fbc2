"""The back office of a gateway: makes tenants and keys in the gateway's store, as `isthmus keys create` does. Calling
with them is the test's."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from isthmusd.clock import SystemClock
from isthmusd.core.administration import IssuedKey, KeyWish, Subject, TenantWish
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import ForwardGrant, Grants, Project, ProviderKey, Role, Tenant
from isthmusd.stores.administration import StoreAdministration
from isthmusd.stores.database import Database
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.provision import provision


class Office:
    """Open it before the gateway starts (it makes what is missing) or while the gateway runs, on its `data` setting.

    with Office(data) as office:
        office.tenant("acme")
        token = office.key("acme").token
    """

    def __init__(self, data: Path, url: str | None = None) -> None:
        """`url`: of the store, where the gateway's `store.url` is set."""
        found = provision(data, url=url, secret=None)
        self.url = found.url
        self.secret = found.secret
        self.issuer = f"isthmus:{found.instance}"
        """`iss` of the gateway's own tokens."""
        self.keyring = Keyring.parse(found.secret)
        self.database = Database(StoreOptions(url=found.url))
        self.desk = StoreAdministration(self.database, self.keyring, self.issuer, SystemClock())
        """For all that has no line below."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, raised: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()

    def tenant(
        self,
        tenant_id: str,
        *,
        models: set[str] | None = None,
        projects: set[str] | None = None,
        forward: ForwardGrant = ForwardGrant.OWN,
        calls: int | None = None,
    ) -> Tenant:
        """Make a tenant."""
        return self.desk.create_tenant(TenantWish(id=tenant_id, grants=_grants(models, projects, forward), calls=calls))

    def key(
        self,
        tenant_id: str,
        *,
        role: Role = Role.CALLER,
        models: set[str] | None = None,
        projects: set[str] | None = None,
        forward: ForwardGrant = ForwardGrant.SHARED,
        expires_at: float | None = None,
    ) -> IssuedKey:
        """Make a key with all that its tenant may, unless told otherwise."""
        return self.desk.create_key(
            KeyWish(tenant=tenant_id, role=role, grants=_grants(models, projects, forward), expires_at=expires_at)
        )

    def provider_key(self, tenant_id: str, provider: str, secret: str, name: str | None = None) -> None:
        """Give a tenant a credential of its own at a provider."""
        self.desk.set_provider_key(tenant_id, ProviderKey(provider=provider, name=name, secret=secret))

    def project(self, tenant_id: str, name: str, *, record_bodies: bool = False) -> None:
        """Make a project."""
        self.desk.set_project(tenant_id, Project(name=name, record_bodies=record_bodies))

    def subject(self, tenant_id: str, issuer: str, subject: str) -> None:
        """Put an identity to a tenant."""
        self.desk.set_subject(Subject(issuer=issuer, subject=subject, tenant=tenant_id))


def _grants(models: set[str] | None, projects: set[str] | None, forward: ForwardGrant) -> Grants:
    return Grants(
        models=None if models is None else frozenset(models),
        projects=None if projects is None else frozenset(projects),
        forward=forward,
    )
