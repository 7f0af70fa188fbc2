"""Callers that a test knows: tenants, keys and credentials in dictionaries, behind the pipeline's ports. The real store
has tests of its own; nothing here is signed or sealed but by a keyring whose secret everybody may know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from isthmusd.core.identity import Identity
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import GatewayKey, Issuer, TemporaryCredential, Tenant
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, Unverified, mint
from isthmusd.pipeline.callers import Identification
from isthmusd.pipeline.ports import IdentityTokens, TokenHook

SECRET = "a-secret-of-tests-0123456789-abcdefghijk"
KEYRING = Keyring.parse(SECRET)
ISSUER = "isthmus:tests"


@dataclass(slots=True)
class KnownCallers:
    """A directory, and the credentials of a store."""

    tenants: dict[str, Tenant] = field(default_factory=dict[str, Tenant])
    keys: dict[str, GatewayKey] = field(default_factory=dict[str, GatewayKey])
    credentials: dict[str, TemporaryCredential] = field(default_factory=dict[str, TemporaryCredential])
    subjects: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    async def tenant(self, tenant_id: str) -> Tenant | None:
        return self.tenants.get(tenant_id)

    async def tenant_of(self, issuer: str, subject: str) -> str | None:
        return self.subjects.get((issuer, subject))

    async def key(self, key_id: str) -> GatewayKey | None:
        return self.keys.get(key_id)

    async def credential(self, credential_id: str) -> TemporaryCredential | None:
        return self.credentials.get(credential_id)

    async def add(self, credential: TemporaryCredential) -> None:
        self.credentials[credential.id] = credential

    async def revoke(self, credential_id: str, at: float) -> None:
        known = self.credentials[credential_id]
        if known.revoked_at is None:
            self.credentials[credential_id] = replace(known, revoked_at=at)

    async def find(self, credential_id: str) -> TemporaryCredential | None:
        return self.credentials.get(credential_id)

    async def issued_by(
        self, tenant: str, issuer: Issuer, *, now: float, after: str | None, limit: int
    ) -> Sequence[TemporaryCredential]:
        mine = [each for each in self.credentials.values() if (each.tenant, each.issuer) == (tenant, issuer)]
        alive = sorted((each for each in mine if each.expires_at > now), key=lambda each: (-each.created_at, each.id))
        start = 0 if after is None else [each.id for each in alive].index(after) + 1
        return alive[start : start + limit]

    def add_key(self, key: GatewayKey, now: float) -> str:
        """Add a key, its tenant too if it is new; gives the token."""
        self.tenants.setdefault(key.tenant, Tenant(id=key.tenant))
        self.keys[key.id] = key
        claims = {"iss": ISSUER, "aud": ISSUER, "jti": key.id, "tenant": key.tenant, "iat": int(now)}
        return KEY_PREFIX + mint(KEYRING.signer, KEY_TYPE, claims)


class NoIdentities:
    """No identity provider is configured."""

    def knows(self, issuer: str) -> bool:
        return False

    async def verify(self, token: str, said: Unverified) -> Identity:
        raise AssertionError("nobody said that this token is known")


def identification(
    known: KnownCallers | None = None, identities: IdentityTokens | None = None, hook: TokenHook | None = None
) -> Identification:
    """What tells callers apart in a test."""
    return Identification(
        keyring=KEYRING,
        issuer=ISSUER,
        directory=known or KnownCallers(),
        identities=identities or NoIdentities(),
        hook=hook,
    )
