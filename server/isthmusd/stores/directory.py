"""What the store knows of callers, remembered by a worker. Writing to the store is `administration.py`'s and
`credentials.py`'s; whether a key has expired is its reader's to say.

A value is read with the generation of the store that it is of. A task asks several times a second what changed since
the last generation it saw, and exactly that is forgotten. A value that was read while it changed is read again:
`Flight.needs` says of which generation it must be. So, when a change is committed and the next question after it was
answered, nobody gets what was before it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from isthmusd.core.errors import Unavailable
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import GatewayKey, TemporaryCredential, Tenant
from isthmusd.stores.asking import Asking, Late, no_answer, too_many
from isthmusd.stores.database import Database
from isthmusd.stores.news import ChangeKind, Changes, subject_name
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.remembered import UNKNOWN, Flight, Remembered

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOG = logging.getLogger(__name__)

KEYS = 100_000
TENANTS = 10_000
CREDENTIALS = 100_000
SUBJECTS = 100_000
ABSENT = 10_000
"""Names of each kind that are remembered to stand for nothing."""
READS = 2_000
"""Different things of one kind that may be waited for at once; the next one is refused."""

Value = TypeVar("Value")
Read = Callable[["Connection"], Value | None]


class Monotonic(Protocol):
    """The part of the clock that is needed here."""

    def monotonic(self) -> float: ...


class CachedDirectory:
    """See `pipeline.ports.Directory`. Enter it on the loop that uses it; it asks nothing before the first lookup."""

    def __init__(self, database: Database, keyring: Keyring, clock: Monotonic, options: StoreOptions) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._options = options
        self._asking = Asking("isthmus-directory", options.timeout_s)
        # A thread of its own: however many wait to read, a revocation waits behind none of them.
        self._watch_asking = Asking("isthmus-watch", options.timeout_s, threads=1)
        self._tenants: Remembered[Tenant] = Remembered(TENANTS, ABSENT)
        self._keys: Remembered[GatewayKey] = Remembered(KEYS, ABSENT)
        self._credentials: Remembered[TemporaryCredential] = Remembered(CREDENTIALS, 0)
        self._subjects: Remembered[str] = Remembered(SUBJECTS, ABSENT)
        self._kinds: Mapping[ChangeKind, Remembered[Any]] = {
            ChangeKind.TENANT: self._tenants,
            ChangeKind.KEY: self._keys,
            ChangeKind.CREDENTIAL: self._credentials,
            ChangeKind.SUBJECT: self._subjects,
        }
        self._watching: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        """Whether the store was once asked what changed, whatever came of it."""
        self._answers = False
        """Whether the last question of any kind was answered: otherwise only the watch asks."""
        self._away = False
        """Whether the last question of the watch was not answered, which the log knows."""
        self._closed = False
        self._generation: int | None = None
        self._mark: float | None = None
        self._until = -math.inf
        """How long what is remembered counts, on the monotonic clock."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, raised: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._asked.set()
        reading = [flight.task for kind in self._kinds.values() for flight in kind.flights.values()]
        await asyncio.gather(*reading, return_exceptions=True)
        await self._asking.close()
        await self._watch_asking.close()

    async def warm(self) -> None:
        """Begin to watch the store, so that the first caller need not wait for it. Returns at once and never fails."""
        self._watch()

    async def tenant(self, tenant_id: str) -> Tenant | None:
        """Give a tenant, a revoked one too."""
        found = self._tenants.find(tenant_id)
        if found is not UNKNOWN and self._clock.monotonic() < self._until:
            return found
        return await self._look_up(self._tenants, tenant_id, partial(_tenant, self._keyring, tenant_id))

    async def tenant_of(self, issuer: str, subject: str) -> str | None:
        """Give the id of the tenant that an identity was put to."""
        name = subject_name(issuer, subject)
        found = self._subjects.find(name)
        if found is not UNKNOWN and self._clock.monotonic() < self._until:
            return found
        return await self._look_up(self._subjects, name, partial(_subject, issuer, subject))

    async def key(self, key_id: str) -> GatewayKey | None:
        """Give a gateway key, an expired or revoked one too."""
        found = self._keys.find(key_id)
        if found is not UNKNOWN and self._clock.monotonic() < self._until:
            return found
        return await self._look_up(self._keys, key_id, partial(_key, key_id))

    async def credential(self, credential_id: str) -> TemporaryCredential | None:
        """Give a temporary credential, an expired or revoked one too."""
        found = self._credentials.find(credential_id)
        if found is not UNKNOWN and self._clock.monotonic() < self._until:
            return found
        return await self._look_up(self._credentials, credential_id, partial(_credential, credential_id))

    async def _look_up(self, kind: Remembered[Value], name: str, read: Read[Value]) -> Value | None:
        flight = kind.flights.get(name)
        if flight is None:
            self._refuse(kind)
            self._watch()
            flight = Flight(asyncio.create_task(self._fly(kind, name, read)))
            flight.task.add_done_callback(_heard)
            kind.flights[name] = flight
        # Who leaves early takes the answer from nobody else.
        return await asyncio.shield(flight.task)

    def _refuse(self, kind: Remembered[Value]) -> None:
        """While the store is known to be away only the watch asks it. Raises Unavailable."""
        if self._closed or (self._asked.is_set() and not self._answers):
            raise no_answer()
        if len(kind.flights) >= READS:
            raise too_many()

    async def _fly(self, kind: Remembered[Value], name: str, read: Read[Value]) -> Value | None:
        flight = kind.flights[name]
        try:
            await self._asked.wait()
            if not self._answers:
                raise no_answer()
            value = await self._read(flight, read)
            kind.put(name, value)
            return value
        except Late:
            raise  # perhaps only this read took long: whether the store is away is for the watch to find out
        except Unavailable:
            self._answers = False
            raise
        finally:
            del kind.flights[name]

    async def _read(self, flight: Flight[Value], read: Read[Value]) -> Value | None:
        """Read until nothing was told to have changed meanwhile."""
        until = self._asking.limit()
        while True:
            flight.needs = -math.inf
            generation, value = await self._asking.ask(partial(self._fetch, read), until)
            if generation >= flight.needs:
                return value

    def _fetch(self, read: Read[Value]) -> tuple[int, Value | None]:
        from isthmusd.stores.changes import read_generation  # noqa: PLC0415 loads SQLAlchemy, in this thread

        with self._database.reading() as connection:
            # First: what is read after it is of this generation or a later one.
            generation = read_generation(connection)
            return generation, read(connection)

    def _watch(self) -> None:
        if self._watching is None and not self._closed:
            self._watching = asyncio.create_task(self._keep_asking())

    async def _keep_asking(self) -> None:
        while True:
            try:
                await self._observe()
            except Unavailable:
                self._lost(None)
            except Exception as error:  # noqa: BLE001 listed with its reason in tests/test_architecture.py
                self._lost(error)
            self._asked.set()
            await asyncio.sleep(self._options.poll_s)

    async def _observe(self) -> None:
        """Ask once what changed, and forget it."""
        if not self._asked.is_set():
            await self._watch_asking.run(self._load)
        at = self._clock.monotonic()
        news = await self._watch_asking.ask(partial(self._news, self._generation, self._mark))
        if news.changes is None:
            for kind in self._kinds.values():
                kind.forget_all()
        else:
            for change in news.changes:
                self._kinds[change.kind].forget(change.subject, news.generation)
        if self._away:
            LOG.warning("the store answers again")
        self._generation, self._mark = news.generation, news.mark
        self._until = at + self._options.stale_s
        self._answers, self._away = True, False

    def _load(self) -> None:
        """Load what speaks to the store. It takes a while, which is not the store's fault: nobody's wait counts it."""
        self._database.load()

    def _news(self, known: int | None, mark: float | None) -> Changes:
        from isthmusd.stores.changes import changes_since  # noqa: PLC0415 loads SQLAlchemy

        with self._database.reading() as connection:
            return changes_since(connection, known, mark)

    def _lost(self, error: Exception | None) -> None:
        if not self._away:
            LOG.warning(
                "the store does not answer; what is remembered counts for %g s", self._options.stale_s, exc_info=error
            )
        self._answers, self._away = False, True


def _heard(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _tenant(keyring: Keyring, tenant_id: str, connection: Connection) -> Tenant | None:
    from isthmusd.stores.rows import read_tenant  # noqa: PLC0415 loads SQLAlchemy, in this thread

    return read_tenant(connection, keyring, tenant_id)


def _subject(issuer: str, subject: str, connection: Connection) -> str | None:
    from isthmusd.stores.rows import read_subject  # noqa: PLC0415 loads SQLAlchemy, in this thread

    return read_subject(connection, issuer, subject)


def _key(key_id: str, connection: Connection) -> GatewayKey | None:
    from isthmusd.stores.rows import read_key  # noqa: PLC0415 loads SQLAlchemy, in this thread

    return read_key(connection, key_id)


def _credential(credential_id: str, connection: Connection) -> TemporaryCredential | None:
    from isthmusd.stores.rows import read_credential  # noqa: PLC0415 loads SQLAlchemy, in this thread

    return read_credential(connection, credential_id)
