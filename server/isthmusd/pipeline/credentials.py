"""Temporary credentials: issued, shown and taken back, each leaving one record like any other call. What a credential
may do when it is used is `callers.py`'s and `resolve.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from isthmusd.core.call import Principal
from isthmusd.core.credentials import (
    SECRET_BYTES,
    CredentialWish,
    Issued,
    claims_of,
    credential_of,
    issuer_of,
    refuse_beyond,
)
from isthmusd.core.errors import InvalidRequest, NotFound
from isthmusd.core.keyring import NONCE_BYTES, seal_apart
from isthmusd.core.request import Arrival
from isthmusd.core.tenants import TemporaryCredential
from isthmusd.core.tokens import CREDENTIAL_TYPE, SALT_BYTES, mint
from isthmusd.pipeline.bodies import check_body
from isthmusd.pipeline.record import Draft, recording
from isthmusd.pipeline.run import Gateway

BODY_BYTES = 64 * 1024
"""A wish is short; its parser is not made for large bodies."""
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFAULT_LISTED = 100
MAX_LISTED = 1000

ReadWish = Callable[[Any], CredentialWish]
"""Reads a surface's request. Raises InvalidRequest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a caller's credentials, the newest first."""

    credentials: Sequence[TemporaryCredential]
    next: str | None
    """After which id the next page starts; None: this was the last."""


async def issue_credential(gateway: Gateway, arrival: Arrival, read: ReadWish) -> Issued:
    """Make a credential of the caller's. Raises GatewayError."""
    async with _admitted(gateway, arrival) as (principal, draft):
        check_body(arrival, min(BODY_BYTES, gateway.options.request_bytes))
        wish = read(arrival.body)
        draft.model = wish.model
        refuse_beyond(wish, principal.grants)
        issued = _issued(gateway, principal, wish)
        draft.action = f"CreateCredential {issued.credential.id}"
        await gateway.credentials.add(issued.credential)
        return issued


async def get_credential(gateway: Gateway, arrival: Arrival, name: str) -> TemporaryCredential:
    """Give a credential of the caller's. Raises NotFound, and GatewayError for the call itself."""
    async with _admitted(gateway, arrival) as (principal, _):
        return await _own(gateway, principal, name)


async def list_credentials(gateway: Gateway, arrival: Arrival, *, after: str, limit: int) -> Page:
    """Give the caller's that have not expired; `limit` 0 is the default. Raises GatewayError."""
    async with _admitted(gateway, arrival) as (principal, _):
        if limit < 0:
            raise InvalidRequest("'page_size' must not be negative", param="page_size")
        size = min(limit or DEFAULT_LISTED, MAX_LISTED)
        if after and await _found(gateway, principal, after) is None:
            raise InvalidRequest("this page is no longer known: start again without 'page_token'", param="page_token")
        # One more than the page holds tells whether another page follows.
        found = await gateway.credentials.issued_by(
            principal.tenant, issuer_of(principal), now=gateway.clock.now(), after=after or None, limit=size + 1
        )
        page = found[:size]
        return Page(credentials=page, next=page[-1].id if len(found) > size else None)


async def revoke_credential(gateway: Gateway, arrival: Arrival, name: str) -> TemporaryCredential:
    """Take back a credential of the caller's; twice is as good as once. Raises NotFound, and GatewayError otherwise."""
    async with _admitted(gateway, arrival) as (principal, draft):
        credential = await _own(gateway, principal, name)
        draft.action = f"RevokeCredential {credential.id}"
        if credential.revoked_at is not None:
            return credential
        at = gateway.clock.now()
        await gateway.credentials.revoke(credential.id, at)
        return replace(credential, revoked_at=at)


@asynccontextmanager
async def _admitted(gateway: Gateway, arrival: Arrival) -> AsyncGenerator[tuple[Principal, Draft]]:
    async with recording(gateway.journal, gateway.clock, arrival) as draft:
        # Not among its tenant's calls: one at its limit can still take a credential back.
        with gateway.admission.admitted():
            call = await gateway.identifier.identify(arrival, draft.meet)
            # Never with the bodies, whatever the project wants: the answer is a secret.
            draft.know(call)
            yield call.principal, draft


def _issued(gateway: Gateway, principal: Principal, wish: CredentialWish) -> Issued:
    clock, means = gateway.clock, gateway.identification
    credential = credential_of(wish, principal, name=clock.stamp().id, now=clock.now())
    secret = None
    if principal.provider_key is not None:
        # Neither half tells the key: the token has the secret, the store what it opens.
        secret = clock.random_bytes(SECRET_BYTES)
        custody = seal_apart(
            principal.provider_key.encode(), secret=secret, nonce=clock.random_bytes(NONCE_BYTES), owner=credential.id
        )
        credential = replace(credential, custody=custody)
    salt = clock.random_bytes(SALT_BYTES)
    claims = claims_of(credential, gateway=means.issuer, salt=salt, secret=secret, stored=principal.stored)
    return Issued(credential=credential, token=mint(means.keyring.signer, CREDENTIAL_TYPE, claims))


async def _own(gateway: Gateway, principal: Principal, name: str) -> TemporaryCredential:
    if not name:
        raise InvalidRequest("name the credential in 'id'", param="id")
    credential = await _found(gateway, principal, name)
    if credential is None:
        # The same for another's: that it exists is nobody else's business.
        raise NotFound("you have no credential of this id", code="credential_not_found")
    return credential


async def _found(gateway: Gateway, principal: Principal, name: str) -> TemporaryCredential | None:
    credential = await gateway.credentials.find(name) if ID.fullmatch(name) else None
    if credential is None or (credential.tenant, credential.issuer) != (principal.tenant, issuer_of(principal)):
        return None
    return credential
