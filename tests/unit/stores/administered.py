"""A store with its administration, for tests. It holds no assertions."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from isthmusd.core.administration import KeyWish, TenantWish
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import GatewayKey, Issuer, TemporaryCredential
from isthmusd.stores.administration import StoreAdministration
from isthmusd.stores.changes import changes_since, read_generation
from isthmusd.stores.database import Database
from isthmusd.stores.news import Change
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.rows import insert_credential

from tests.fakes.callers import ISSUER, KEYRING

NOW = 1_700_000_000.5


@dataclass(slots=True)
class HeldClock:
    """Wall time that goes on when it is told to."""

    at: float = NOW

    def now(self) -> float:
        return self.at


@dataclass(slots=True)
class Administered:
    """One store, and who administers it."""

    database: Database
    keyring: Keyring = KEYRING
    clock: HeldClock = field(default_factory=HeldClock)

    @property
    def desk(self) -> StoreAdministration:
        return StoreAdministration(self.database, self.keyring, ISSUER, self.clock)

    def tenant(self, tenant_id: str = "acme") -> str:
        return self.desk.create_tenant(TenantWish(id=tenant_id)).id

    def key(self, tenant_id: str = "acme") -> GatewayKey:
        return self.desk.create_key(KeyWish(tenant=tenant_id)).key

    def credential(self, tenant_id: str = "acme", **facts: Any) -> TemporaryCredential:
        """Keep a temporary credential as its issuing does."""
        usual = {"id": secrets.token_hex(8), "issuer": Issuer(method="gateway_key", id="k"), "created_at": NOW}
        made = TemporaryCredential(tenant=tenant_id, **(usual | facts))
        with self.database.writing() as connection:
            insert_credential(connection, made)
        return made

    def generation(self) -> int:
        with self.database.reading() as connection:
            return read_generation(connection)

    def news(self, since: int) -> list[Change]:
        """What was announced since a generation."""
        with self.database.reading() as connection:
            return list(changes_since(connection, since).changes or ())


@contextmanager
def administered(url: str) -> Generator[Administered]:
    """Open a store that is there."""
    with closing(Database(StoreOptions(url=url, timeout_s=5.0))) as database:
        yield Administered(database)
