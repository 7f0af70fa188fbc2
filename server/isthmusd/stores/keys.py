"""Gateway keys, made and taken back in the store. Judging by them is `pipeline/callers.py`'s."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select, update

from isthmusd.core.administration import IssuedKey, KeyWish
from isthmusd.core.errors import InvalidRequest, NotFound
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import GatewayKey
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, SALT_BYTES, mint, to_base64url
from isthmusd.stores.changes import announce
from isthmusd.stores.database import Database
from isthmusd.stores.news import ChangeKind
from isthmusd.stores.rows import insert_key, read_key, read_keys
from isthmusd.stores.tables import keys, tenants
from isthmusd.stores.wishes import (
    checked_expiry,
    checked_grace,
    checked_grants,
    checked_limit,
    checked_place,
    checked_text,
    is_storable,
)

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """The part of `pipeline.ports.Administration` that is about gateway keys."""

    database: Database
    keyring: Keyring
    issuer: str
    """`iss` and `aud` of the tokens."""

    def create(self, wish: KeyWish, now: float) -> IssuedKey:
        """Make a key. Raises NotFound, InvalidRequest."""
        key = GatewayKey(
            id=_new_id(),
            tenant=wish.tenant,
            name=checked_text("name", wish.name),
            role=wish.role,
            grants=checked_grants(wish.grants),
            kid=self.keyring.signer.kid,
            created_at=now,
            expires_at=checked_expiry(wish.expires_at, now),
        )
        with self.database.writing() as connection:
            tenant = select(tenants.c.id).where(tenants.c.id == wish.tenant)
            if not is_storable(wish.tenant) or connection.execute(tenant).first() is None:
                raise NotFound("there is no tenant of this id", param="tenant")
            return self._issue(connection, key)

    def rotate(self, key_id: str, grace_s: float, now: float) -> IssuedKey:
        """Make a key with the same rights and expiry; the old one ends after the grace.

        Raises NotFound, and InvalidRequest for a key that opens nothing any more.
        """
        ends_at = now + checked_grace(grace_s)
        with self.database.writing() as connection:
            old = _held(connection, key_id)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
                raise InvalidRequest("this key is revoked or expired; create another instead")
            ends_at = ends_at if old.expires_at is None else min(old.expires_at, ends_at)
            connection.execute(update(keys).where(keys.c.id == key_id).values(expires_at=ends_at))
            issued = self._issue(connection, replace(old, id=_new_id(), kid=self.keyring.signer.kid, created_at=now))
            announce(connection, ChangeKind.KEY, key_id)
        return issued

    def revoke(self, key_id: str, now: float) -> GatewayKey:
        """Take a key back, for good; one that was taken back before keeps its time. Raises NotFound."""
        with self.database.writing() as connection:
            found = _held(connection, key_id)
            if found.revoked_at is not None:
                return found
            connection.execute(
                update(keys).where(keys.c.id == key_id).values(revoked_at=func.coalesce(keys.c.revoked_at, now))
            )
            announce(connection, ChangeKind.KEY, key_id)
        return replace(found, revoked_at=now)

    def find(self, key_id: str) -> GatewayKey:
        """Read a key. Raises NotFound."""
        with self.database.reading() as connection:
            return _demand(read_key(connection, key_id))

    def page(self, tenant: str | None, after: str | None, limit: int) -> Sequence[GatewayKey]:
        """Read keys by id."""
        if tenant is not None and not is_storable(tenant):
            return ()
        with self.database.reading() as connection:
            return read_keys(connection, tenant=tenant, after=checked_place(after), limit=checked_limit(limit))

    def _issue(self, connection: Connection, key: GatewayKey) -> IssuedKey:
        insert_key(connection, key)
        # A worker may remember that there was no such key.
        announce(connection, ChangeKind.KEY, key.id)
        return IssuedKey(key=key, token=self._token(key))

    def _token(self, key: GatewayKey) -> str:
        claims: dict[str, str | int] = {
            "iss": self.issuer,
            "aud": self.issuer,
            "jti": key.id,
            "tenant": key.tenant,
            "iat": int(key.created_at),
            # Stored nowhere: without it, whoever has the master secret and this store could make the key again.
            "salt": to_base64url(secrets.token_bytes(SALT_BYTES)),
        }
        if key.expires_at is not None:
            claims["exp"] = int(key.expires_at)
        return KEY_PREFIX + mint(self.keyring.signer, KEY_TYPE, claims)


def _held(connection: Connection, key_id: str) -> GatewayKey:
    """Read a key that nobody else changes until this transaction ends. Raises NotFound."""
    if is_storable(key_id):
        connection.execute(select(keys.c.id).where(keys.c.id == key_id).with_for_update())
    return _demand(read_key(connection, key_id))


def _demand(key: GatewayKey | None) -> GatewayKey:
    if key is None:
        raise NotFound("there is no key of this id")
    return key


def _new_id() -> str:
    """Make an id that nobody guesses, and that no shell takes for an option."""
    return secrets.token_hex(ID_BYTES)
