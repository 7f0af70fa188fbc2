"""Every setting, as the operator's file writes it, with its default. What the layers make of it is `resolved.py`'s."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from isthmusd.observe.log import Level
from isthmusd.pipeline.resolve import ModelAlias
from isthmusd.providers.catalog import ProviderOptions

MIB = 1024 * 1024

Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class IdentityIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """One identity provider. Either `firebase_project`, or `issuer` and `audience`."""

    firebase_project: str | None = None
    """Firebase Authentication of this Google Cloud project; sets all that is not written."""

    issuer: str | None = None
    """`iss` of its tokens, exactly."""

    audience: tuple[str, ...] | str | None = None
    """`aud` that tokens must name; of several one is enough."""

    jwks_url: str | None = None
    """Where its public keys are; unset: `jwks_uri` of its discovery document below `issuer`."""

    algorithms: tuple[str, ...] = ("RS256",)
    """Signature algorithms that are taken; asymmetric ones only."""

    tenant_claims: tuple[str, ...] = ("client_id", "firebase.tenant")
    """Paths of claims that name the tenant, the first that is there; else the stored mapping of the subject."""

    tenants: tuple[str, ...] | None = None
    """Tenants that its tokens may name; unset: all."""

    leeway_s: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30.0
    """How far its clock may be from ours."""


class Verifier(msgspec.Struct, frozen=True, kw_only=True):
    """The service that is asked about tokens."""

    address: str
    """HOST:PORT or unix:/path of its gRPC server, plaintext: on this machine or within your network."""

    prefixes: tuple[str, ...] = ()
    """Tokens that begin with one of these are its business, beside JWTs of unknown issuers."""

    timeout_s: Seconds = 2.0
    """How long an answer may take."""

    tenants: tuple[str, ...] | None = None
    """Tenants that it may name; unset: all."""


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call."""

    anonymous: bool = True
    """Serve calls without a credential, with the gateway's own provider keys."""

    provider_keys: bool = True
    """Take a provider's own key as a credential, and send it to that provider."""

    firebase_project: str | None = None
    """Take Firebase's tokens of this project: the same as `issuers: {firebase: {firebase_project: ...}}`."""

    issuers: dict[str, IdentityIssuer] = {}
    """Identity providers (OIDC) whose tokens are taken, by a name of your choice."""

    verifier: Verifier | None = None
    """A gRPC service of yours for tokens that the gateway does not know: `isthmus.v1.TokenVerifier`."""

    name: str | None = None
    """`iss` and `aud` of the tokens that the gateway makes; unset: `isthmus:` and the store's own id."""


class Cors(msgspec.Struct, frozen=True, kw_only=True):
    """Which web pages may call."""

    origins: tuple[str, ...] = ()
    """Origins such as `https://app.example.com`; `*` stands for any."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    request_bytes: Count = 50 * MIB
    """Largest body of a JSON route."""

    upload_bytes: Count = 512 * MIB
    """Largest body that Forward streams."""

    reply_bytes: Count = 64 * MIB
    """Largest whole reply that is held."""

    grpc_message_bytes: Count = 64 * MIB
    """Largest gRPC message in either direction; stubs must raise their own receive limit."""

    calls: Count = 10_000
    """Calls at once per worker; the next one gets 503."""

    request_s: Seconds = 600.0
    """Deadline of a whole reply, or of a stream up to its first event, where the caller gives none."""

    first_event_s: Seconds = 120.0
    """Longest wait for a stream's first event."""

    idle_s: Seconds = 300.0
    """Longest silence of a provider within a stream."""

    keep_alive_s: Seconds = 15.0
    """Silence after which a stream gets a comment."""

    drain_s: Seconds = 600.0
    """How long a stop waits for calls in flight."""


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """Images and files that callers name by URL, for models whose providers take bytes only."""

    fetch: bool = True
    """Fetch them; off: such a call is refused, with the advice to send the content itself."""

    max_bytes: Count = 20 * MIB
    """Largest single one; all of one call together are bounded by limits.request_bytes."""

    timeout_s: Seconds = 10.0
    """Longest time that fetching one may take, redirects included."""

    max_per_request: Count = 20
    """Most URLs that one call may name."""

    ports: tuple[Port, ...] = (80, 443)
    """Ports that may be dialled."""

    allow_private: tuple[str, ...] = ()
    """Networks (`10.1.0.0/16`) and addresses that may be dialled although they are not public."""


class Grpc(msgspec.Struct, frozen=True, kw_only=True):
    """The typed surface."""

    reflection: bool | None = None
    """Serve reflection; unset: only where the listen address is loopback."""


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to stderr."""

    level: Level = Level.INFO
    """Lowest level that is written: debug, info, warning or error."""


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where tenants, keys, credentials and records are."""

    url: str | None = None
    """SQLAlchemy URL, as `postgresql+psycopg://user:password@host/name`; unset: SQLite's `isthmus.db` under `data`."""

    poll_s: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25
    """How often a worker asks what changed; a revoked key opens no longer than this."""

    timeout_s: Seconds = 2.0
    """How long a call waits for the store; then it gets 503."""

    stale_s: Seconds = 300.0
    """How long known keys go on to open while the store does not answer."""


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of calls."""

    keep: bool = True
    """Keep them in the store; off: they are in the log only."""

    retention_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Older ones are deleted."""

    max_count: Count = 10_000_000
    """The oldest beyond this many are deleted."""

    journal_bytes: Annotated[int, msgspec.Meta(ge=MIB)] = 1024 * MIB
    """Disk that each worker's journal may take while the store does not; beyond it records are dropped and counted."""

    body_bytes: Count = 256 * 1024
    """What is kept of a request and of an answer, where their project records bodies."""


class CacheScope(StrEnum):
    """Who shares answers."""

    CREDENTIAL = "credential"
    """The callers with one key, or one identity."""
    TENANT = "tenant"
    """All callers of a tenant; who has none shares with nobody."""


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that are kept for the next one who asks the same."""

    enabled: bool = True
    """Off: every call reaches a provider."""

    scope: CacheScope = CacheScope.CREDENTIAL
    """Who shares answers: the callers with one `credential`, or of one `tenant`."""

    url: str | None = None
    """`redis://`, `rediss://` or `valkey://` for several nodes, `sqlite:////PATH`, `memory` for each worker's memory
    alone; unset: SQLite's `cache.db` under `data`."""

    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 256 * MIB
    """Of each worker's memory."""

    store_bytes: Annotated[int, msgspec.Meta(ge=MIB)] = 2048 * MIB
    """Of the SQLite file; Valkey's own is its `maxmemory`."""

    entry_bytes: Count = 8 * MIB
    """Larger answers are not kept."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    """How long a call waits for the store; then a provider is asked."""


class TenantForward(msgspec.Struct, frozen=True, kw_only=True):
    """`/api/openai`."""

    base_url: str | None = None
    """Where its paths lead; unset: the origin of the openai provider's base URL."""


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """The root."""

    listen: str = "127.0.0.1:8080"
    """Public HOST:PORT; port 0 takes any free one."""

    admin: str = "127.0.0.1:9090"
    """Operators' HOST:PORT or unix:/PATH, with AdminService, /metrics and /healthz."""

    data: str | None = None
    """Directory of everything that must survive a restart; unset: `isthmus` in the user's data directory."""

    secret: str | None = None
    """What signs keys and seals what is stored: 32 characters or more, several separated by spaces, the newest first;
    unset: the file `secret` under `data`, made at the first start."""

    store: Store = Store()
    """Where tenants, keys, credentials and records are."""

    records: Records = Records()
    """What is kept of calls."""

    cache: Cache = Cache()
    """Answers that are kept for the next one who asks the same."""

    workers: Count | None = None
    """Server processes; unset: one per core."""

    envoy: bool = True
    """Off: gRPC only, served by one worker on `listen`."""

    allow_public_anonymous: bool = False
    """Accept that anyone who reaches a non-loopback `listen` may spend the provider keys."""

    auth: Auth = Auth()
    """Who may call."""

    tenant_forward: TenantForward = TenantForward()
    """`/api/openai`: every path of OpenAI's, with the tenant's own key."""

    cors: Cors = Cors()
    """Which web pages may call."""

    default_provider: str | None = "openai"
    """Gets the models that nothing names; null: such models are unknown."""

    providers: dict[str, ProviderOptions] = {}
    """Over the built-in catalogue; an unknown name defines an OpenAI-compatible provider."""

    models: dict[str, ModelAlias] = {}
    """Names for models: `NAME/NAME`, `{provider: NAME, model: NAME}`, or several of these as `{targets: [...]}`."""

    limits: Limits = Limits()
    """Sizes and times."""

    media: Media = Media()
    """Images and files that callers name by URL."""

    grpc: Grpc = Grpc()
    """The typed surface."""

    log: LogOptions = LogOptions()
    """What goes to stderr."""
