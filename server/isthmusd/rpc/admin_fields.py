"""What the messages of AdminService share: times, grants, names, pages. What is asked for is in the files of its
subjects."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from isthmus.v1 import admin_pb2 as pb

from isthmusd.core.administration import MAX_LISTED
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.tenants import ForwardGrant, Grants

PAGE_SIZE = 100
MICROSECONDS = 1_000_000
NANOSECONDS = 1_000_000_000
LATEST = 253_402_300_800
"""The year 10000: no Timestamp may reach it."""
NUL = "\0"
"""No database holds it in a text."""

FORWARD: Mapping[pb.ForwardGrant, ForwardGrant] = {
    pb.FORWARD_GRANT_UNSPECIFIED: Grants().forward,
    pb.FORWARD_GRANT_NONE: ForwardGrant.NONE,
    pb.FORWARD_GRANT_OWN: ForwardGrant.OWN,
    pb.FORWARD_GRANT_SHARED: ForwardGrant.SHARED,
}
FORWARD_MESSAGES = {grant: value for value, grant in FORWARD.items() if value != pb.FORWARD_GRANT_UNSPECIFIED}

Value = TypeVar("Value")
Number = TypeVar("Number", bound=int)


def required(name: str, value: str) -> str:
    """Give a text that must be there. Raises InvalidRequest."""
    if not value:
        raise InvalidRequest(f"'{name}' is required", param=name)
    return _storable(name, value)


def optional(name: str, value: str) -> str | None:
    """Give a text that may be left out. Raises InvalidRequest."""
    return _storable(name, value) if value else None


def _storable(name: str, value: str) -> str:
    if NUL in value:
        raise InvalidRequest(f"'{name}' must not contain NUL", param=name)
    return value


def known(name: str, value: Number, table: Mapping[Number, Value]) -> Value:
    """Give what an enum's value stands for. Raises InvalidRequest: a newer client's value must not become another."""
    if value not in table:
        raise InvalidRequest(f"'{name}' has a value that this gateway does not know", param=name)
    return table[value]


def decode_grants(grants: pb.Grants) -> Grants:
    """Read grants. Raises InvalidRequest."""
    return Grants(
        models=frozenset(grants.models.names) if grants.HasField("models") else None,
        projects=frozenset(grants.projects.names) if grants.HasField("projects") else None,
        forward=known("grants.forward", grants.forward, FORWARD),
    )


def encode_grants(grants: Grants) -> pb.Grants:
    """Write grants."""
    return pb.Grants(
        models=_names(grants.models), projects=_names(grants.projects), forward=FORWARD_MESSAGES[grants.forward]
    )


def _names(names: frozenset[str] | None) -> pb.Names | None:
    return None if names is None else pb.Names(names=sorted(names))


def encode_time(seconds: float | None) -> Timestamp | None:
    """Write a moment, to the microsecond."""
    if seconds is None:
        return None
    whole, part = divmod(round(seconds * MICROSECONDS), MICROSECONDS)
    return Timestamp(seconds=whole, nanos=part * 1000)


def decode_time(name: str, time: Timestamp) -> float:
    """Read a moment as Unix seconds. Raises InvalidRequest."""
    if not (0 <= time.seconds < LATEST and 0 <= time.nanos < NANOSECONDS):
        raise InvalidRequest(f"'{name}' must be a moment from 1970 to 9999", param=name)
    return time.seconds + time.nanos / NANOSECONDS


def encode_duration(seconds: float | None) -> Duration | None:
    """Write a length of time, to the microsecond."""
    if seconds is None:
        return None
    whole, part = divmod(round(max(0.0, seconds) * MICROSECONDS), MICROSECONDS)
    return Duration(seconds=whole, nanos=part * 1000)


def decode_duration(name: str, duration: Duration) -> float:
    """Read a length of time in seconds. Raises InvalidRequest."""
    if not (0 <= duration.seconds < LATEST and 0 <= duration.nanos < NANOSECONDS):
        raise InvalidRequest(f"'{name}' must be 0 s or more", param=name)
    return duration.seconds + duration.nanos / NANOSECONDS


def page_limit(size: int) -> int:
    """Give how much a page may hold. Raises InvalidRequest."""
    if size < 0:
        raise InvalidRequest("'page_size' must be 0 or more", param="page_size")
    return min(size, MAX_LISTED) or PAGE_SIZE


def page_token(text: str) -> str:
    """Write where the next page goes on. Opaque to callers: what is in it may change."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def page_start(token: str) -> str | None:
    """Read where a page goes on; None: at the start. Raises InvalidRequest."""
    if not token:
        return None
    try:
        start = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise wrong_page() from None
    if NUL in start:
        raise wrong_page()
    return start


def wrong_page() -> InvalidRequest:
    """What a page token gets that no page gave."""
    return InvalidRequest("'page_token' must be the 'next_page_token' of a page", param="page_token")


def next_page(listed: Sequence[Value], limit: int, last: str) -> str:
    """Give the token of the page after this one; empty if this is short, and so the last."""
    return page_token(last) if len(listed) >= limit else ""
