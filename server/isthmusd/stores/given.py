"""Temporary credentials as administrators see them: everybody's. Their issuers' way to them is `credentials.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, update

from isthmusd.core.errors import NotFound
from isthmusd.core.tenants import TemporaryCredential
from isthmusd.stores.changes import announce
from isthmusd.stores.database import Database
from isthmusd.stores.news import ChangeKind
from isthmusd.stores.rows import read_credential, read_credentials
from isthmusd.stores.tables import credentials
from isthmusd.stores.wishes import checked_limit, checked_place, is_storable


@dataclass(frozen=True, slots=True)
class GivenCredentials:
    """The part of `pipeline.ports.Administration` that is about temporary credentials."""

    database: Database

    def find(self, credential_id: str) -> TemporaryCredential:
        """Read one, an expired or revoked one too. Raises NotFound."""
        with self.database.reading() as connection:
            return _demand(read_credential(connection, credential_id))

    def page(self, tenant: str | None, after: str | None, limit: int) -> Sequence[TemporaryCredential]:
        """Read one tenant's or all, the newest first."""
        if tenant is not None and not is_storable(tenant):
            return ()
        theirs = () if tenant is None else (credentials.c.tenant == tenant,)
        with self.database.reading() as connection:
            return read_credentials(connection, *theirs, after=checked_place(after), limit=checked_limit(limit))

    def revoke(self, credential_id: str, now: float) -> TemporaryCredential:
        """Take one back; one that was taken back before keeps its time. Raises NotFound."""
        taken_back = {"revoked_at": func.coalesce(credentials.c.revoked_at, now)}
        with self.database.writing() as connection:
            if is_storable(credential_id):
                connection.execute(update(credentials).where(credentials.c.id == credential_id).values(**taken_back))
            found = _demand(read_credential(connection, credential_id))
            announce(connection, ChangeKind.CREDENTIAL, credential_id)
        return found


def _demand(credential: TemporaryCredential | None) -> TemporaryCredential:
    if credential is None:
        raise NotFound("there is no temporary credential of this id")
    return credential
