"""From a token to the principal that it stands for. Tokens are told apart by their form, never by trying one check
after the other: a token that fails its own is refused, and reaches no provider. What a call wishes is `identify.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import CallerError, CredentialExpired, PermissionDenied, Unauthenticated
from isthmusd.core.identity import Identity, unknown_tenant
from isthmusd.core.issuers import VERIFIER
from isthmusd.core.keyring import Keyring, Unsealable, open_apart
from isthmusd.core.remembered import Remembered, fingerprint
from isthmusd.core.tenants import ForwardGrant, GatewayKey, Grants, Role, TemporaryCredential, Tenant
from isthmusd.core.tokens import (
    CREDENTIAL_TYPE,
    KEY_PREFIX,
    KEY_TYPE,
    MAX_BYTES,
    Claims,
    from_base64url,
    holds_jwt,
    read_unverified,
    refuse_expired,
    unknown_key,
    verify,
)
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.ports import Clock, Directory, IdentityTokens, TokenHook

HOUSE = "default"
"""The tenant of calls that no tenant's credential makes."""
ALL = Grants(forward=ForwardGrant.SHARED)
ANONYMOUS = Principal(tenant=HOUSE, key_id="anonymous", method=AuthMethod.ANONYMOUS, grants=ALL)
NOTHING = Grants(models=frozenset(), projects=frozenset(), forward=ForwardGrant.NONE)
METHODS = (AuthMethod.TEMPORARY_CREDENTIAL, AuthMethod.GATEWAY_KEY)
"""Of our own tokens: whether they have the prefix of keys tells them apart."""
VERIFIED_COUNT = 10_000
"""Verified tokens that are remembered: to check a signature costs as much as the rest of identification together."""
PRINCIPAL_COUNT = 1_000
"""Principals of keys that are remembered. Few: each holds what its tenant was when it was made."""
ANSWER_S = 300.0
"""How long the hook's word counts, where it gives no earlier end."""
PROVIDER_KEY_NAME = "provider-key-"
SEPARATOR = "|"
"""Between the issuer and the subject of an identity. No configured issuer has it in its name."""


Met = Callable[[Principal], None]


def _nobody(principal: Principal) -> None:
    del principal


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
    """Knows whom a token stands for. One per worker, used from its loop.

    Only what cannot change is remembered: that a signature of ours is good (the keyring is made once), what a key and
    its tenant together may do, and for a while what the hook said. Whether a key, a credential or a tenant is still
    good is asked of the directory for every call.
    """

    def __init__(self, options: PipelineOptions, clock: Clock, means: Identification) -> None:
        self._options = options
        self._clock = clock
        self._means = means
        self._own: Remembered[Claims] = Remembered(VERIFIED_COUNT)
        self._answers: Remembered[tuple[Identity, float]] = Remembered(VERIFIED_COUNT)
        # Keys are compared by all they are, tenants by identity: after a change in the store they are others.
        self._principal_of = lru_cache(maxsize=PRINCIPAL_COUNT)(_principal_of)

    def anonymous(self) -> Principal:
        """Give who calls without any token. Raises Unauthenticated."""
        if self._options.anonymous:
            return ANONYMOUS
        raise Unauthenticated("send a key: 'Authorization: Bearer <key>'")

    async def principal(self, token: str, met: Met = _nobody) -> Principal:
        """Find whom a token stands for; `met` hears whose a token of ours is that opens nothing any more.

        Raises Unauthenticated, CredentialExpired, PermissionDenied, Unavailable.
        """
        means = self._means
        if len(token) > MAX_BYTES:
            raise Unauthenticated("this key is longer than any key is; check it")
        name = fingerprint(token)
        own = self._own.get(name)
        if own is not None:
            return await self._of_own(own, METHODS[token.startswith(KEY_PREFIX)], met)
        if token.startswith(KEY_PREFIX):
            claims = self._verified(name, token.removeprefix(KEY_PREFIX), KEY_TYPE)
            return await self._of_own(claims, AuthMethod.GATEWAY_KEY, met)
        said = read_unverified(token)
        if said is not None:
            by = said.claims.get("iss")
            if by == means.issuer:
                claims = self._verified(name, token, CREDENTIAL_TYPE)
                return await self._of_own(claims, AuthMethod.TEMPORARY_CREDENTIAL, met)
            if isinstance(by, str) and means.identities.knows(by):
                return await self._of_identity(await means.identities.verify(token, said))
        if means.hook is not None and means.hook.wants(token, said):
            return await self._of_identity(await self._answer(name, token, means.hook))
        if holds_jwt(token):
            # A gateway secret or somebody's identity must never travel on to a provider.
            raise unknown_key()
        return self._of_provider_key(token)

    def _verified(self, name: bytes, token: str, kind: str) -> Claims:
        """Give the claims of our own token, and remember that its signature is good."""
        means = self._means
        claims = verify(token, means.keyring.public, kind=kind, issuer=means.issuer, now=self._clock.now())
        self._own.put(name, claims)
        return claims

    async def _of_own(self, claims: Claims, method: AuthMethod, met: Met) -> Principal:
        try:
            refuse_expired(claims, self._clock.now())
            if method is AuthMethod.GATEWAY_KEY:
                return await self._of_key(claims["jti"], claims["tenant"])
            return await self._of_credential(claims)
        except CallerError:
            # Its signature is ours: the record of the refused call can say which one it was.
            met(Principal(tenant=claims["tenant"], key_id=claims["jti"], method=method, grants=NOTHING))
            raise

    async def _of_key(self, key_id: str, tenant: str) -> Principal:
        key = await self._means.directory.key(key_id)
        if key is None or key.tenant != tenant:
            raise unknown_key()
        self._refuse_ended(key.expires_at, key.revoked_at)
        return self._principal_of(key, await self._owner(key.tenant))

    async def _of_credential(self, claims: Claims) -> Principal:
        credential = await self._means.directory.credential(claims["jti"])
        if credential is None or credential.tenant != claims["tenant"]:
            raise unknown_key()
        self._refuse_ended(credential.expires_at, credential.revoked_at)
        issuer = await self._issuer(credential, claims)
        projects = issuer.grants.projects
        if credential.project is not None and projects is not None and credential.project not in projects:
            raise PermissionDenied(
                "the issuer of this key may not use its project any more", code="project_not_allowed"
            )
        return replace(
            issuer,
            key_id=credential.id,
            method=AuthMethod.TEMPORARY_CREDENTIAL,
            grants=_bounded(credential.model, issuer.grants),
            project=credential.project,
            expires_at=min(credential.expires_at, issuer.expires_at or credential.expires_at),
        )

    async def _issuer(self, credential: TemporaryCredential, claims: Claims) -> Principal:
        """Give what the issuer may do now: a credential never outlives or exceeds it."""
        match credential.issuer.method:
            case AuthMethod.ANONYMOUS if self._options.anonymous:
                return ANONYMOUS
            case AuthMethod.PROVIDER_KEY:
                return self._of_provider_key(_from_custody(credential, claims))
            case AuthMethod.GATEWAY_KEY:
                issuer = await self._of_key(credential.issuer.id, credential.tenant)
                if issuer.role is Role.CALLER:
                    return issuer
            case AuthMethod.IDENTITY_TOKEN:
                return await self._issuing_identity(credential, claims)
            case _:
                pass
        raise unknown_key()

    async def _issuing_identity(self, credential: TemporaryCredential, claims: Claims) -> Principal:
        issuer, _, subject = credential.issuer.id.partition(SEPARATOR)
        if not self._believes(issuer):
            raise unknown_key()
        if claims.get("stored") and await self._means.directory.tenant_of(issuer, subject) != credential.tenant:
            # Taken from its tenant, an identity leaves nothing behind that opens.
            raise unknown_key()
        owner = await self._owner(credential.tenant)
        return Principal(
            tenant=owner.id,
            key_id=credential.issuer.id,
            method=AuthMethod.IDENTITY_TOKEN,
            grants=owner.grants,
            owner=owner,
        )

    def _believes(self, issuer: str) -> bool:
        """Whether tokens of an issuer are still taken."""
        return self._means.identities.knows(issuer) or (issuer == VERIFIER and self._means.hook is not None)

    async def _answer(self, name: bytes, token: str, hook: TokenHook) -> Identity:
        """Give what the hook says of a token, or said not long ago."""
        now = self._clock.now()
        known = self._answers.get(name)
        if known is not None:
            identity, until = known
            if now < until:
                return identity
            self._answers.forget(name)
        identity = await hook.verify(token)
        until = now + ANSWER_S if identity.expires_at is None else min(now + ANSWER_S, identity.expires_at)
        if until <= self._clock.now():
            raise CredentialExpired("this token has expired; get another")
        self._answers.put(name, (identity, until))
        return identity

    async def _of_identity(self, identity: Identity) -> Principal:
        tenant = identity.tenant
        if tenant is None:
            tenant = await self._means.directory.tenant_of(identity.issuer, identity.subject)
        owner = None if tenant is None else await self._means.directory.tenant(tenant)
        if owner is None or owner.revoked_at is not None:
            raise unknown_tenant()
        return Principal(
            tenant=owner.id,
            key_id=f"{identity.issuer}{SEPARATOR}{identity.subject}",
            method=AuthMethod.IDENTITY_TOKEN,
            grants=owner.grants,
            owner=owner,
            expires_at=identity.expires_at,
            stored=identity.tenant is None,
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


def _principal_of(key: GatewayKey, owner: Tenant) -> Principal:
    return Principal(
        tenant=owner.id,
        key_id=key.id,
        method=AuthMethod.GATEWAY_KEY,
        grants=key.grants.within(owner.grants),
        role=key.role,
        owner=owner,
        expires_at=key.expires_at,
    )


@lru_cache(maxsize=PRINCIPAL_COUNT)
def _bounded(model: str | None, outer: Grants) -> Grants:
    only = None if model is None else frozenset((model,))
    return Grants(models=only, forward=ForwardGrant.SHARED).within(outer)


def _from_custody(credential: TemporaryCredential, claims: Claims) -> str:
    secret = claims.get("secret")
    if credential.custody is None or not isinstance(secret, str):
        raise unknown_key()
    try:
        return open_apart(credential.custody, secret=from_base64url(secret), owner=credential.id).decode()
    except (Unsealable, ValueError):
        raise unknown_key() from None
