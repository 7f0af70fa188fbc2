"""From a token to the principal that it stands for. Tokens are told apart by their form, never by trying one check after
the other: a token that fails its own is refused, and reaches no provider. What a call wishes is `identify.py`'s.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import CredentialExpired, PermissionDenied, Unauthenticated
from isthmusd.core.identity import Identity
from isthmusd.core.keyring import Keyring, Unsealable, open_apart
from isthmusd.core.tenants import ForwardGrant, Grants, TemporaryCredential, Tenant
from isthmusd.core.tokens import (
    CREDENTIAL_TYPE,
    JWT,
    KEY_PREFIX,
    KEY_TYPE,
    MAX_BYTES,
    Claims,
    base64url_decode,
    read_unverified,
    unknown_key,
    verify,
)
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, Directory, IdentityTokens, TokenHook

HOUSE = "default"
"""The tenant of calls that no tenant's credential makes."""
ALL = Grants(forward=ForwardGrant.SHARED)
ANONYMOUS = Principal(tenant=HOUSE, key_id="anonymous", method=AuthMethod.ANONYMOUS, grants=ALL)
VERIFIED_COUNT = 10_000
"""Verified tokens that are remembered: to check a signature costs as much as the rest of identification together."""
IDENTITY_S = 300.0
"""How long an identity is believed without another look at its token."""
PROVIDER_KEY_NAME = "provider-key-"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What tells callers apart."""

    keyring: Keyring
    issuer: str
    """`iss` and `aud` of this gateway's own tokens."""
    directory: Directory
    identities: IdentityTokens
    hook: TokenHook | None = None


class Callers:
    """Knows whom a token stands for. One per worker, used from its loop."""

    def __init__(self, options: PipelineOptions, clock: Clock, means: Identification) -> None:
        self._options = options
        self._clock = clock
        self._means = means
        self._own: Remembered[Claims] = Remembered(VERIFIED_COUNT)
        self._identities: Remembered[tuple[Identity, float]] = Remembered(VERIFIED_COUNT)

    def anonymous(self) -> Principal:
        """Give who calls without any token. Raises Unauthenticated."""
        if self._options.anonymous:
            return ANONYMOUS
        raise Unauthenticated("send a key: 'Authorization: Bearer <key>'")

    async def principal(self, token: str) -> Principal:
        """Find whom a token stands for. Raises Unauthenticated, CredentialExpired, PermissionDenied, Unavailable."""
        means = self._means
        if len(token) > MAX_BYTES:
            raise Unauthenticated("this key is longer than any key is; check it")
        if token.startswith(KEY_PREFIX):
            return await self._of_key(self._verified(token, KEY_TYPE))
        if JWT.fullmatch(token):
            said = read_unverified(token)
            if said is None:
                raise unknown_key()
            by = said.claims.get("iss")
            if by == means.issuer:
                return await self._of_credential(self._verified(token, CREDENTIAL_TYPE))
            if isinstance(by, str) and means.identities.knows(by):
                return await self._of_identity(await self._identity(token))
            if means.hook is not None and means.hook.wants(token, said):
                return await self._of_identity(await self._identity(token))
            # A gateway secret or somebody's identity must never travel on to a provider.
            raise unknown_key()
        if means.hook is not None and means.hook.wants(token, None):
            return await self._of_identity(await self._identity(token))
        return self._of_provider_key(token)

    def _verified(self, token: str, kind: str) -> Claims:
        """Give the claims of our own token; its signature is checked once, its time always."""
        name = fingerprint(token)
        claims = self._own.get(name)
        if claims is None:
            bare = token.removeprefix(KEY_PREFIX)
            now = self._clock.now()
            claims = verify(bare, self._means.keyring.public, kind=kind, issuer=self._means.issuer, now=now)
            self._own.put(name, claims)
        return claims

    async def _of_key(self, claims: Claims) -> Principal:
        key = await self._means.directory.key(claims["jti"])
        if key is None or key.tenant != claims["tenant"]:
            raise unknown_key()
        self._refuse_ended(key.expires_at, key.revoked_at)
        owner = await self._owner(key.tenant)
        return Principal(
            tenant=owner.id,
            key_id=key.id,
            method=AuthMethod.GATEWAY_KEY,
            grants=key.grants.within(owner.grants),
            role=key.role,
            owner=owner,
            expires_at=key.expires_at,
        )

    async def _of_credential(self, claims: Claims) -> Principal:
        credential = await self._means.directory.credential(claims["jti"])
        if credential is None or credential.tenant != claims["tenant"]:
            raise unknown_key()
        self._refuse_ended(credential.expires_at, credential.revoked_at)
        issuer = await self._issuer(credential, claims)
        only = None if credential.model is None else frozenset((credential.model,))
        return replace(
            issuer,
            key_id=credential.id,
            method=AuthMethod.TEMPORARY_CREDENTIAL,
            grants=Grants(models=only, forward=ForwardGrant.SHARED).within(issuer.grants),
            project=credential.project,
            expires_at=credential.expires_at,
        )

    async def _issuer(self, credential: TemporaryCredential, claims: Claims) -> Principal:
        """Give what the issuer may do now: a credential never outlives or exceeds it."""
        match credential.issuer.method:
            case AuthMethod.ANONYMOUS:
                return self.anonymous()
            case AuthMethod.PROVIDER_KEY:
                return self._of_provider_key(_from_custody(credential, claims))
            case AuthMethod.GATEWAY_KEY:
                return await self._of_key({"jti": credential.issuer.id, "tenant": credential.tenant})
            case _:
                owner = await self._owner(credential.tenant)
                return Principal(
                    tenant=owner.id,
                    key_id=credential.issuer.id,
                    method=AuthMethod.IDENTITY_TOKEN,
                    grants=owner.grants,
                    owner=owner,
                )

    async def _identity(self, token: str) -> Identity:
        name, now = fingerprint(token), self._clock.now()
        known = self._identities.get(name)
        if known is not None:
            identity, until = known
            if now < until:
                return identity
        said = read_unverified(token)
        by = said.claims.get("iss") if said is not None else None
        if said is not None and isinstance(by, str) and self._means.identities.knows(by):
            identity = await self._means.identities.verify(token, said)
        elif self._means.hook is not None:
            identity = await self._means.hook.verify(token)
        else:
            raise unknown_key()
        until = now + IDENTITY_S
        self._identities.put(
            name, (identity, until if identity.expires_at is None else min(until, identity.expires_at))
        )
        return identity

    async def _of_identity(self, identity: Identity) -> Principal:
        tenant = identity.tenant
        if tenant is None:
            tenant = await self._means.directory.tenant_of(identity.issuer, identity.subject)
        owner = None if tenant is None else await self._means.directory.tenant(tenant)
        if owner is None or owner.revoked_at is not None:
            raise PermissionDenied("this identity belongs to no tenant of this gateway", code="tenant_not_found")
        return Principal(
            tenant=owner.id,
            key_id=f"{identity.issuer}|{identity.subject}",
            method=AuthMethod.IDENTITY_TOKEN,
            grants=owner.grants,
            owner=owner,
            expires_at=identity.expires_at,
        )

    def _of_provider_key(self, token: str) -> Principal:
        if not self._options.provider_keys:
            raise Unauthenticated("this gateway takes no provider keys; use a key of this gateway")
        return Principal(
            tenant=HOUSE,
            key_id=PROVIDER_KEY_NAME + self._means.keyring.digest("provider-key", token),
            method=AuthMethod.PROVIDER_KEY,
            grants=ALL,
            provider_key=token,
        )

    async def _owner(self, tenant: str) -> Tenant:
        owner = await self._means.directory.tenant(tenant)
        if owner is None or owner.revoked_at is not None:
            raise unknown_key()
        return owner

    def _refuse_ended(self, expires_at: float | None, revoked_at: float | None) -> None:
        if revoked_at is not None:
            raise Unauthenticated("this key was revoked; use another")
        if expires_at is not None and expires_at <= self._clock.now():
            raise CredentialExpired("this key has expired; create another")


class Remembered(Generic[Value]):
    """The values of the latest names. Names are digests of whole tokens: no two tokens share one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[bytes, Value] = OrderedDict()

    def get(self, name: bytes) -> Value | None:
        """Give a value that is still remembered."""
        value = self._values.get(name)
        if value is not None:
            self._values.move_to_end(name)
        return value

    def put(self, name: bytes, value: Value) -> None:
        """Remember a value, and forget the one that was not asked for the longest."""
        self._values[name] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)


def fingerprint(token: str) -> bytes:
    """Name a whole token."""
    return hashlib.sha256(token.encode()).digest()


def _from_custody(credential: TemporaryCredential, claims: Claims) -> str:
    secret = claims.get("secret")
    if credential.custody is None or not isinstance(secret, str):
        raise unknown_key()
    try:
        return open_apart(credential.custody, secret=base64url_decode(secret), owner=credential.id).decode()
    except (Unsealable, ValueError):
        raise unknown_key() from None
