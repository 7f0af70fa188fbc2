"""What workers of one node tell each other of answers on their way: values, and how they are written. All workers of a
node are of one build, so the bytes need no history. Carrying them is `upstream/peers.py`'s and `rpc/flights.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from isthmusd.core import errors
from isthmusd.core.entry import NOT_OURS, Head, Unreadable
from isthmusd.core.errors import Bug, Exhausted, GatewayError, Told, UpstreamError
from isthmusd.core.record import Attempt
from isthmusd.core.request import Operation, Surface
from isthmusd.core.usage import Usage


class PeerLost(Exception):
    """A worker that should give an answer is not there, or went away while it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAsking:
    """A call as it arrived: the worker that is asked finds out again who calls and what for."""

    operation: Operation
    surface: Surface
    dialect: str
    method: str
    path: str
    headers: dict[str, list[str]] = field(repr=False)
    body: bytes = field(repr=False)
    stream: bool
    authority: str | None
    started_at: float
    deadline_s: float | None = None
    name: bytes
    """Under which the asking worker wants it. Where the other one finds another name, they know different things of the
    caller, and might wait for each other."""
    id: bytes
    """Names this one asking, whose account may be asked for when it was left."""
    fresh: bool = False
    """What is kept does not serve the call, whatever its headers say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPart:
    """An answer begins."""

    head: Head
    fresh: bool
    """A provider was asked; False: it was kept."""
    joined: bool
    """Another call asked for it."""
    attempts: tuple[Attempt, ...] = ()
    """What was sent to providers so far and would be this call's to account for now. It is told again at the end: this
    counts where the worker is not there any more to tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The next piece of the body, frozen."""

    data: bytes
    passing: bool = False
    """A keep-alive: it is no part of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """The end, with or without a failure."""

    usage: Usage | None
    attempts: tuple[Attempt, ...]
    """What was sent to providers, given to the one call that accounts for it."""
    failure: Failure | None = None
    told: bool = False
    """The last piece tells the failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error, so that it can be raised again elsewhere."""

    kind: str
    message: str
    type: str
    code: str | None
    param: str | None
    http_status: int
    retryable: bool
    retry_after_s: float | None
    told: Told | None


FlightPart = HeadPart | Piece | Landing


def failure_of(error: GatewayError) -> Failure:
    """Write an error down."""
    spoken = error.speaker if isinstance(error, Exhausted) else error
    return Failure(
        kind=next(each.__name__ for each in type(spoken).__mro__ if each.__name__ in KINDS),
        message=_written(error.message),
        type=error.type,
        code=error.code,
        param=error.param,
        http_status=error.http_status,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        told=_told(error.told) if isinstance(error, UpstreamError) else None,
    )


def _told(told: Told) -> Told:
    request_id, detail = told.request_id, told.detail
    return replace(
        told,
        request_id=None if request_id is None else _written(request_id),
        detail=None if detail is None else _written(detail),
    )


def _written(text: str) -> str:
    """Write a provider's bytes that are no Unicode as question marks: what headers have of them is surrogates here."""
    return text.encode(errors="replace").decode()


KINDS: dict[str, type[GatewayError]] = {
    name: each
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, GatewayError) and each is not Exhausted
}
"""Of the tree itself: what is derived from it elsewhere is told as what it is derived from."""


def error_of(failure: Failure) -> GatewayError:
    """Make the error again."""
    kind = KINDS.get(failure.kind, Bug)
    error = kind(
        failure.message,
        param=failure.param,
        http_status=failure.http_status,
        retry_after_s=failure.retry_after_s,
    )
    match error:
        case UpstreamError():
            error.told = failure.told or Told()
        case _:
            pass
    error.type, error.code, error.retryable = failure.type, failure.code, failure.retryable
    return error


_ASKING = msgspec.msgpack.Decoder(PeerAsking)
_HEAD = msgspec.msgpack.Decoder(HeadPart)
_LANDING = msgspec.msgpack.Decoder(Landing)
Part = TypeVar("Part", PeerAsking, HeadPart, Landing)


def written(part: PeerAsking | HeadPart | Landing) -> bytes:
    """Write a value for another worker."""
    return msgspec.msgpack.encode(part)


def read_asking(data: bytes) -> PeerAsking:
    """Read what `written` wrote, as the following do. Raises Unreadable."""
    return _read(_ASKING, data)


def read_head(data: bytes) -> HeadPart:
    """Read the beginning of an answer. Raises Unreadable."""
    return _read(_HEAD, data)


def read_landing(data: bytes) -> Landing:
    """Read the end of an answer. Raises Unreadable."""
    return _read(_LANDING, data)


def _read(decoder: msgspec.msgpack.Decoder[Part], data: bytes) -> Part:
    try:
        return decoder.decode(data)
    except NOT_OURS:
        raise Unreadable from None
