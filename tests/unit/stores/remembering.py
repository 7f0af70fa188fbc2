"""A store of a test with callers in it, written as administrators would, and what watches and disturbs its readers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from isthmusd.core.errors import Unavailable
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import GatewayKey, Issuer, ProviderKey, TemporaryCredential
from isthmusd.stores.changes import announce
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.news import ChangeKind, subject_name
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.rows import insert_credential, insert_key, seal_provider_key
from isthmusd.stores.tables import keys, provider_keys, subjects, tenants
from sqlalchemy import Connection, Engine, event, insert, update

from tests.fakes.callers import KEYRING

POLL_S = 0.01
TENANT = "acme"


@dataclass(slots=True)
class HeldClock:
    """Stands still until it is told to go on."""

    at: float = 1000.0

    def monotonic(self) -> float:
        return self.at


class Disturbed(Database):
    """A real store on whose way readers can be held up or turned back."""

    def __init__(self, options: StoreOptions) -> None:
        super().__init__(options)
        self.away = False
        self.fault: Exception | None = None
        self.open = threading.Event()
        self.open.set()
        self.slowness: Iterator[float] = itertools.repeat(0.0)
        """Seconds that each read of a key takes when all is read."""
        self.readers: set[int] = set()
        self.asked_count = 0

    @contextmanager
    def reading(self) -> Generator[Connection]:
        self.asked_count += 1
        self.readers.add(threading.get_ident())
        self.open.wait(20)
        if self.fault is not None:
            raise self.fault
        if self.away:
            raise Unavailable("gone", code="store_unavailable")
        with super().reading() as connection:
            yield connection


@dataclass(slots=True)
class Statements:
    """Statements of who asks for values; what the watch asks is not among them."""

    texts: list[str] = field(default_factory=list[str])

    def of(self, table: str) -> int:
        """How many read a table."""
        return sum(f"FROM {table}" in text for text in self.texts)


@contextmanager
def statements() -> Iterator[Statements]:
    """Listen to all statements of this process."""
    heard = Statements()

    def hear(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        flat = " ".join(text.split())
        if "FROM" in flat and not any(f"FROM {table}" in flat for table in ("generation", "changes")):
            heard.texts.append(flat)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


@dataclass(slots=True, kw_only=True)
class World:
    """One store, and as many directories as a test wants."""

    options: StoreOptions
    database: Disturbed
    clock: HeldClock = field(default_factory=HeldClock)
    keyring: Keyring = KEYRING

    def directory(self, **options: float) -> CachedDirectory:
        """A directory as a worker has it."""
        return CachedDirectory(self.database, self.keyring, self.clock, replace(self.options, **options))

    def add_tenant(self, tenant_id: str = TENANT) -> None:
        with self.database.writing() as connection:
            connection.execute(insert(tenants).values(id=tenant_id, name="", forward="own", created_at=1.0))
            announce(connection, ChangeKind.TENANT, tenant_id)

    def name_tenant(self, name: str, tenant_id: str = TENANT) -> None:
        with self.database.writing() as connection:
            connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(name=name))
            announce(connection, ChangeKind.TENANT, tenant_id)

    def add_provider_key(self, secret: str, tenant_id: str = TENANT) -> None:
        sealed = seal_provider_key(self.keyring, tenant_id, ProviderKey(provider="openai", secret=secret))
        with self.database.writing() as connection:
            row = {"tenant": tenant_id, "provider": "openai", "name": "", "place": 0, "sealed": sealed}
            connection.execute(insert(provider_keys).values(**row))
            announce(connection, ChangeKind.TENANT, tenant_id)

    def add_key(self, key_id: str, name: str = "") -> None:
        with self.database.writing() as connection:
            insert_key(connection, GatewayKey(id=key_id, tenant=TENANT, name=name))
            announce(connection, ChangeKind.KEY, key_id)

    def name_keys(self, name: str, *key_ids: str) -> None:
        """Change keys in one transaction."""
        with self.database.writing() as connection:
            for key_id in key_ids:
                connection.execute(update(keys).where(keys.c.id == key_id).values(name=name))
                announce(connection, ChangeKind.KEY, key_id)

    def revoke_key(self, key_id: str, at: float = 5.0) -> None:
        with self.database.writing() as connection:
            connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=at))
            announce(connection, ChangeKind.KEY, key_id)

    def add_subject(self, issuer: str, subject: str, tenant_id: str = TENANT) -> None:
        with self.database.writing() as connection:
            connection.execute(insert(subjects).values(issuer=issuer, subject=subject, tenant=tenant_id))
            announce(connection, ChangeKind.SUBJECT, subject_name(issuer, subject))

    def add_credential(self, given: TemporaryCredential) -> None:
        with self.database.writing() as connection:
            insert_credential(connection, given)


def credential(credential_id: str, **given: Any) -> TemporaryCredential:
    """A temporary credential of a key."""
    issuer = Issuer(method="gateway_key", id="isk-1")
    return replace(TemporaryCredential(id=credential_id, tenant=TENANT, issuer=issuer, expires_at=9e9), **given)


@contextmanager
def opened(url: str, **options: float) -> Iterator[World]:
    """Open a fresh store and put one tenant there."""
    given = StoreOptions(url=url, **{"poll_s": POLL_S, **options})
    world = World(options=given, database=Disturbed(given))

    def slow_down(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if "FROM keys" in " ".join(text.split()):
            time.sleep(next(world.database.slowness))

    event.listen(Engine, "after_cursor_execute", slow_down)
    try:
        world.add_tenant()
        yield world
    finally:
        event.remove(Engine, "after_cursor_execute", slow_down)
        world.database.open.set()
        world.database.close()
