"""What goes back to the caller. Turning it into HTTP or gRPC is `rpc/`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from isthmusd.core.request import Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an answer came from."""

    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    attempts: int = 0
    upstream_request_id: str | None = None
    """The id that the provider gave the call."""
    losses: tuple[Loss, ...] = ()
    personal: bool = False
    """The provider set a cookie with it: it is for this caller only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A complete answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    body: Any
    """Bytes on the OpenAI surface, a protobuf message on the typed one."""
    provenance: Provenance = Provenance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer in pieces. `pieces` raises GatewayError if the stream breaks on a surface that has no in-band error."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "text/event-stream; charset=utf-8"
    pieces: AsyncIterator[Any]
    """Bytes (whole events) on the OpenAI surface, protobuf messages on the typed one."""
    provenance: Provenance = Provenance()


Reply = Whole | Stream
