"""Temporary credentials in the store, for those who issue and revoke them. Who presents one is judged by what
`directory.py` remembers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from isthmusd.core.administration import RESERVED
from isthmusd.core.errors import InvalidRequest, LimitExceeded
from isthmusd.core.tenants import Issuer, TemporaryCredential
from isthmusd.stores.asking import Asking, too_many
from isthmusd.stores.database import Database
from isthmusd.stores.news import ChangeKind
from isthmusd.stores.options import StoreOptions
from isthmusd.stores.wishes import is_storable

WAITING = 256
"""Calls that may wait for the store at once; the next one is refused."""
OF_NOBODY = 100_000
"""Of callers without a tenant so many may be alive: whoever makes up a provider's key is one, and has as many names as
he likes. Tenants answer for theirs."""
COUNT_S = 10.0
"""How old their number may be."""
KEPT_S = 86_400.0
"""How long administrators still find one that has expired."""
FORGOTTEN = 20
"""At most so many old ones make room for each new one: the store holds those of two days, however fast they come."""

Answer = TypeVar("Answer")


class StoredCredentials:
    """See `pipeline.ports.Credentials`. Enter it on the loop that uses it; it asks nothing before its first use."""

    def __init__(
        self, database: Database, options: StoreOptions, *, of_nobody: int = OF_NOBODY, count_s: float = COUNT_S
    ) -> None:
        self._database = database
        self._asking = Asking("isthmus-credentials", options.timeout_s)
        self._waiting = 0
        self._most_of_nobody = of_nobody
        self._count_s = count_s
        self._of_nobody = 0
        self._counted_at = -math.inf

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, raised: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._asking.close()

    async def add(self, credential: TemporaryCredential) -> None:
        """Keep a new one; it is safe when this returns. One that nobody was told of may be kept although it fails.

        Raises InvalidRequest, LimitExceeded, Unavailable.
        """
        await self._ask(partial(self._add, credential))

    async def revoke(self, credential_id: str, at: float) -> None:
        """Take one back; one that was taken back before keeps its time."""
        await self._ask(partial(self._revoke, credential_id, at))

    async def find(self, credential_id: str) -> TemporaryCredential | None:
        """Read one from the store itself."""
        return await self._ask(partial(self._find, credential_id))

    async def issued_by(
        self, tenant: str, issuer: Issuer, *, now: float, after: str | None, limit: int
    ) -> Sequence[TemporaryCredential]:
        """Give an issuer's that have not expired, the newest first; `after` is the last id of the page before."""
        return await self._ask(partial(self._issued_by, tenant, issuer, now=now, after=after, limit=limit))

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        if self._waiting >= WAITING:
            raise too_many()
        self._waiting += 1
        try:
            return await self._asking.ask(question)
        finally:
            self._waiting -= 1

    def _add(self, credential: TemporaryCredential) -> None:
        from isthmusd.stores.rows import delete_credentials, insert_credential  # noqa: PLC0415 loads SQLAlchemy

        if not is_storable(credential.id, credential.model or "", credential.project or "", credential.issuer.id):
            raise InvalidRequest("names of models and projects must be text without NUL")
        if credential.tenant in RESERVED:
            self._refuse_more(credential)
        with self._database.writing() as connection:
            delete_credentials(connection, expired_before=credential.created_at - KEPT_S, limit=FORGOTTEN)
            insert_credential(connection, credential)

    def _refuse_more(self, wanted: TemporaryCredential) -> None:
        from isthmusd.stores.rows import count_credentials  # noqa: PLC0415 loads SQLAlchemy

        now = time.monotonic()
        if now - self._counted_at >= self._count_s:
            with self._database.reading() as connection:
                self._of_nobody = count_credentials(connection, wanted.tenant, alive_at=wanted.created_at)
            self._counted_at = now
        if self._of_nobody >= self._most_of_nobody:
            raise LimitExceeded(
                "there are too many temporary credentials of callers without a tenant; wait until some have expired",
                retry_after_s=COUNT_S,
            )
        self._of_nobody += 1

    def _revoke(self, credential_id: str, at: float) -> None:
        from sqlalchemy import update  # noqa: PLC0415 takes a second to load, in this thread

        from isthmusd.stores.changes import announce  # noqa: PLC0415 loads SQLAlchemy
        from isthmusd.stores.tables import credentials  # noqa: PLC0415 loads SQLAlchemy

        if not is_storable(credential_id):
            return
        with self._database.writing() as connection:
            still_valid = (credentials.c.id == credential_id, credentials.c.revoked_at.is_(None))
            if connection.execute(update(credentials).where(*still_valid).values(revoked_at=at)).rowcount:
                announce(connection, ChangeKind.CREDENTIAL, credential_id)

    def _find(self, credential_id: str) -> TemporaryCredential | None:
        from isthmusd.stores.rows import read_credential  # noqa: PLC0415 loads SQLAlchemy

        with self._database.reading() as connection:
            return read_credential(connection, credential_id)

    def _issued_by(
        self, tenant: str, issuer: Issuer, *, now: float, after: str | None, limit: int
    ) -> Sequence[TemporaryCredential]:
        from isthmusd.stores.rows import read_credential, read_credentials  # noqa: PLC0415 loads SQLAlchemy
        from isthmusd.stores.tables import credentials  # noqa: PLC0415 loads SQLAlchemy

        theirs = (
            credentials.c.tenant == tenant,
            credentials.c.method == issuer.method,
            credentials.c.issuer == issuer.id,
            credentials.c.expires_at > now,
        )
        with self._database.reading() as connection:
            if after is not None:
                last = read_credential(connection, after)
                # Somebody else's credential is no place in this list: it would tell when that was made.
                if last is None or (last.tenant, last.issuer) != (tenant, issuer):
                    return ()
            return read_credentials(connection, *theirs, after=after, limit=limit)
