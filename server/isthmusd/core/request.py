"""What arrives and what is sent: `Arrival`, `Inbound`, `Outbound`. Who asks is `core/call.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from isthmusd.core.headers import Headers
from isthmusd.core.signing import Signing


class Operation(StrEnum):
    CHAT = "chat"
    COMPLETION = "completion"
    AUTO = "auto"
    """Chat or completion: decided by the body and the model's flavour before anything else looks at it."""
    EMBEDDING = "embedding"
    MODERATION = "moderation"
    RESPONSES = "responses"
    MODELS = "models"
    CREDENTIALS = "credentials"
    KEYS = "keys"
    """The gateway's own public keys."""
    FORWARD = "forward"
    TENANT_FORWARD = "tenant_forward"
    """Below `/api/openai`: with the tenant's own OpenAI key."""
    ADMIN = "admin"


class Surface(StrEnum):
    OPENAI = "openai"
    """HTTP, transcoded by Envoy."""
    TYPED = "typed"
    """gRPC, gRPC-Web or Connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The raw facts at the edge, before anyone is identified."""

    operation: Operation
    surface: Surface
    dialect: str
    """The served dialect: `openai` or `isthmus`."""
    method: str
    path: str
    """Raw path and query as the client sent them; for typed calls the RPC's name."""
    headers: Headers
    header_bytes: int = 0
    """Of names and values together."""
    body: Any = b""
    """Bytes, or the protobuf message of a typed call; empty where the body streams."""
    stream: bool = False
    """Typed calls choose streaming by their RPC; the OpenAI surface by the body."""
    authority: str | None = None
    """The host that the client dialled, if Envoy told us."""
    started_at: float
    """Wall clock, Unix seconds."""
    deadline_s: float | None = None
    """Seconds that the caller gave (native gRPC deadline)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """The few fields that decisions need, read in one parse."""

    model: str
    stream: bool = False
    include_usage: bool = False
    temperature: float | None = None
    seed: str | None = None
    """The seed's JSON text; None if absent or null."""
    has_messages: bool = False
    has_prompt: bool = False
    spans: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Byte span of each top-level member's value in the body, for splicing; empty for protobuf."""
    extra: tuple[str, ...] = ()
    """Names of members that a typed request has beside its fields: some providers get them as they are."""
    size: int = field(default=0, compare=False)
    """Bytes of the request as it came; no part of what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """What arrived, understood."""

    operation: Operation
    dialect: str
    body: Any
    peeked: Peeked


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something asked for that the target cannot express."""

    field: str
    """Dotted path of the field in the caller's request."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """What will be sent to a target."""

    method: str
    url: str
    """Absolute and already percent-encoded; sent as it is."""
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = None
    """None: no body, or one that streams beside this value."""
    signing: Signing | None = None
    """What the sender must still add to authenticate the call."""
