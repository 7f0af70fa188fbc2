"""What the pipeline asks of the world. Adapters satisfy these by their shape; the checker proves it in `app.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from isthmusd.core.administration import IssuedKey, KeyWish, RecordQuery, StoredRecord, Subject, TenantWish
from isthmusd.core.call import Stamp
from isthmusd.core.entry import CacheItem
from isthmusd.core.flight_parts import FlightPart, Landing, PeerAsking
from isthmusd.core.headers import Headers
from isthmusd.core.identity import Identity
from isthmusd.core.media import Fetched
from isthmusd.core.record import Record
from isthmusd.core.request import Outbound
from isthmusd.core.tenants import GatewayKey, Issuer, Project, ProviderKey, TemporaryCredential, Tenant
from isthmusd.core.tokens import Unverified


class Clock(Protocol):
    """Time and randomness, so that tests can hold them still."""

    def now(self) -> float:
        """Wall clock, Unix seconds."""
        ...

    def monotonic(self) -> float:
        """The event loop's clock, seconds."""
        ...

    def stamp(self) -> Stamp:
        """A fresh identity for an answer that we make."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """Bytes that nobody can guess, for secrets."""
        ...


class UpstreamReply(Protocol):
    """A target's answer, its body not yet read. Read it either whole or in chunks."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises Garbled over `limit` bytes, Unreachable if the connection breaks."""
        ...

    async def next_chunk(self) -> bytes:
        """Whatever has arrived, at least one byte; b"" at a clean end. Raises Interrupted when cut."""
        ...


class Upstream(Protocol):
    """Sends to targets."""

    def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send and wait for the answer's headers; leaving the context early closes the connection.

        `decode=False` leaves a compressed body as it is. Raises Unreachable, TimedOut.
        """
        ...


class MediaFetcher(Protocol):
    """Fetches what callers name by URL. It reaches public addresses only."""

    async def fetch(self, url: str, limit: int) -> Fetched:
        """Give what is there. Raises InvalidRequest whose message goes on after "the image": `cannot be reached`."""
        ...


class Journal(Protocol):
    """Takes the record of a finished call. It must not raise; what outlives a crash is written when it returns."""

    def write(self, record: Record) -> None: ...


class Directory(Protocol):
    """What the store knows of callers, remembered: in the steady state no call waits for it.

    What it gives is at most a second behind the store. All raise Unavailable if the store does not answer and nothing
    is remembered.
    """

    async def tenant(self, tenant_id: str) -> Tenant | None:
        """Give a tenant, a revoked one too."""
        ...

    async def tenant_of(self, issuer: str, subject: str) -> str | None:
        """Give the id of the tenant that an identity was put to."""
        ...

    async def key(self, key_id: str) -> GatewayKey | None:
        """Give a gateway key, an expired or revoked one too."""
        ...

    async def credential(self, credential_id: str) -> TemporaryCredential | None:
        """Give a temporary credential, an expired or revoked one too."""
        ...


class Credentials(Protocol):
    """Temporary credentials in the store. All raise Unavailable if it does not answer."""

    async def add(self, credential: TemporaryCredential) -> None:
        """Keep a new one; it is safe when this returns."""
        ...

    async def revoke(self, credential_id: str, at: float) -> None:
        """Take one back; one that was taken back before keeps its time."""
        ...

    async def find(self, credential_id: str) -> TemporaryCredential | None:
        """Read one from the store itself."""
        ...

    async def issued_by(
        self, tenant: str, issuer: Issuer, *, now: float, after: str | None, limit: int
    ) -> Sequence[TemporaryCredential]:
        """Give an issuer's that have not expired, the newest first; `after` is the last id of the page before."""
        ...


class IdentityTokens(Protocol):
    """Verifies tokens of the configured identity providers."""

    def knows(self, issuer: str) -> bool:
        """Whether tokens of this `iss` are its business."""
        ...

    async def verify(self, token: str, said: Unverified) -> Identity:
        """Check a token. Raises Unauthenticated, CredentialExpired, Unavailable if the issuer's keys cannot be had."""
        ...


class TokenHook(Protocol):
    """Asks the operator's own service about tokens that the gateway does not know."""

    def wants(self, token: str, said: Unverified | None) -> bool:
        """Whether tokens of this form are its business."""
        ...

    async def verify(self, token: str) -> Identity:
        """Ask. Raises Unauthenticated, CredentialExpired, Unavailable if nobody answers."""
        ...


class ReplyCache(Protocol):
    """Sealed answers by name. Nothing here raises: what is slow, away or broken is a miss, and counted."""

    def near(self, name: bytes) -> bytes | None:
        """Give what this process has in memory."""
        ...

    async def get(self, name: bytes) -> bytes | None:
        """Look an answer up, in memory and then where all processes keep theirs. It takes a bounded time."""
        ...

    def put(self, item: CacheItem) -> None:
        """Keep an answer: in memory at once, elsewhere soon."""
        ...

    def renewed(self, name: bytes, stored_at: float) -> None:
        """Take note that what was stored under a name before this time is out of date."""
        ...

    def refuse(self, name: bytes, why: str) -> None:
        """Count and forget an entry that cannot be read: `sealed` or `unreadable`."""
        ...


class FlightWatch(Protocol):
    """Counts what the sharing of answers does."""

    def flight_began(self) -> None: ...

    def flight_joined(self) -> None:
        """A call waits for an answer that another one asked for."""
        ...


class Peers(Protocol):
    """The workers of this node, and the answers on their way in them."""

    def owners(self, name: bytes) -> Sequence[str | None]:
        """Give whose business an answer is, the first first; None is this worker, and the last."""
        ...

    def join(self, peer: str, asking: PeerAsking) -> AbstractAsyncContextManager[AsyncIterator[FlightPart]]:
        """Ask a peer for an answer; leaving the context lets go of it. Raises PeerLost if the peer is not there or goes
        away, and what the peer raised."""
        ...

    async def settle(self, peer: str, asking_id: bytes) -> Landing | None:
        """Ask a peer for the account of an asking that was left before its end; None: it does not say."""
        ...

    async def renew(self, name: bytes, stored_at: float) -> None:
        """Tell all others that what they remember of an answer is out of date. Those that do not hear it in a moment
        are left out."""
        ...


class ActiveCalls(Protocol):
    """Shows how many calls run."""

    def opened(self) -> None: ...

    def closed(self) -> None: ...


class Administration(Protocol):
    """Changes what callers may do. It blocks: call it from a thread.

    Raises NotFound, AlreadyExists, InvalidRequest, and Unavailable if the store does not answer. A change is safe when
    its method returns, and every worker of the node knows it within a second.
    """

    def create_tenant(self, wish: TenantWish) -> Tenant: ...

    def update_tenant(self, wish: TenantWish) -> Tenant:
        """Replace a tenant's name, grants and limit; the rest stays."""
        ...

    def tenant(self, tenant_id: str) -> Tenant: ...

    def tenants(self, *, after: str | None, limit: int) -> Sequence[Tenant]:
        """Give tenants by id; `after` is the last id of the page before."""
        ...

    def revoke_tenant(self, tenant_id: str) -> Tenant:
        """Refuse all that are its callers, until it is restored."""
        ...

    def restore_tenant(self, tenant_id: str) -> Tenant: ...

    def reseal_tenant(self, tenant_id: str) -> int:
        """Seal a tenant's provider keys by the newest master secret; tells how many."""
        ...

    def set_provider_key(self, tenant_id: str, key: ProviderKey) -> None:
        """Add a credential, or replace the one of the same provider and name."""
        ...

    def remove_provider_key(self, tenant_id: str, provider: str, name: str | None) -> None: ...

    def set_project(self, tenant_id: str, project: Project) -> None: ...

    def remove_project(self, tenant_id: str, name: str) -> None: ...

    def set_subject(self, subject: Subject) -> None: ...

    def remove_subject(self, issuer: str, subject: str) -> None: ...

    def subjects(self, tenant_id: str) -> Sequence[Subject]: ...

    def create_key(self, wish: KeyWish) -> IssuedKey: ...

    def rotate_key(self, key_id: str, grace_s: float) -> IssuedKey:
        """Make a key with the same rights; the old one ends after the grace."""
        ...

    def revoke_key(self, key_id: str) -> GatewayKey: ...

    def key(self, key_id: str) -> GatewayKey: ...

    def keys(self, *, tenant: str | None, after: str | None, limit: int) -> Sequence[GatewayKey]:
        """Give keys by id; `after` is the last id of the page before."""
        ...

    def credential(self, credential_id: str) -> TemporaryCredential: ...

    def credentials(self, *, tenant: str | None, after: str | None, limit: int) -> Sequence[TemporaryCredential]:
        """Give temporary credentials, the newest first; `after` is the last id of the page before."""
        ...

    def revoke_credential(self, credential_id: str) -> TemporaryCredential: ...

    def records(self, query: RecordQuery) -> Sequence[StoredRecord]: ...
