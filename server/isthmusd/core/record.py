"""The one wide log entry that a call produces. When and how often it is written is `pipeline/record.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from isthmusd.core.request import Loss
from isthmusd.core.usage import Usage


class EndReason(StrEnum):
    COMPLETE = "complete"
    REFUSED = "refused"
    """Ended before a target was asked."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Broke after the first event reached the caller."""
    CANCELLED = "cancelled"
    """The caller left."""
    BUG = "bug"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One send to one target, and what came of it."""

    provider: str
    model: str
    status: int | None
    """HTTP status of the target; None if none arrived."""
    duration_s: float
    error: str | None = None
    """Code of the error."""
    upstream_request_id: str | None = None
    endpoint: str | None = None
    """Name of the gateway's credential that was used, if it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """What was asked and answered, as the caller sent and got it.

    Streams: their pieces, joined. Typed calls: protobuf's binary form; the messages of a stream, joined, read as one
    message of the same type. What was answered is empty for a call that was refused or failed: `error_code` says it.
    """

    asked: bytes
    answered: bytes
    cut: bool = False
    """One of them was longer than what is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    id: str
    """The call's own, unlike `request_id`, which callers may choose: replaying a journal keeps a record once."""
    request_id: str
    surface: str
    operation: str
    started_at: float
    duration_s: float
    first_event_s: float | None
    tenant: str | None
    key_id: str | None
    auth: str | None
    project: str | None
    model: str | None
    """As asked for."""
    provider: str | None
    """Of the target that answered, or was asked last."""
    target_model: str | None
    """What the model is called there."""
    attempts: tuple[Attempt, ...]
    cache: str | None
    """`HIT`, `MISS` or `BYPASS`; None: the operation is not cached."""
    status: int
    error_code: str | None
    end: EndReason
    stream: bool
    usage: Usage | None
    losses: tuple[Loss, ...]
    action: str | None = None
    """What an administrator did: the method of AdminService, and what it named."""
    detail: str | None = None
    """For the operator only: a traceback, what a provider said of our key, what is wrong with an identity token."""
    bodies: Bodies | None = None
    """For calls whose project wants them."""


NO_BODIES = b',"bodies":null}'
_encode = msgspec.json.Encoder().encode


def encode(record: Record) -> bytes:
    """Write a record as a JSON object, without its bodies. Raises what msgspec raises for values that are no JSON."""
    bare = record if record.bodies is None else replace(record, bodies=None)
    return _encode(bare)[: -len(NO_BODIES)] + b"}"
