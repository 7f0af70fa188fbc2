"""What a gRPC error of the gateway says, as plain values. No second exception tree: `grpc.RpcError` stays the error."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

DETAILS_KEY = "grpc-status-details-bin"
_SWITCH: Mapping[str | bytes | None, bool] = {"true": True, "false": False}

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One field that the gateway refuses."""

    field: str
    """Its path: `messages[0].parts`."""
    description: str
    """What is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed call."""

    code: grpc.StatusCode
    """The gRPC code."""
    message: str
    """What to do next, in words."""
    reason: str = ""
    """The machine's word for it, UPPER_SNAKE. Empty: the error is not the gateway's own (a lost connection)."""
    domain: str = ""
    """Who gave the reason."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """Facts about the reason: http_status, upstream_status ..."""
    retry_after_s: float | None = None
    """How long to wait before another try. None: the gateway did not say."""
    retryable: bool | None = None
    """Whether the same call may succeed when it is made again. None: the gateway did not say."""
    violations: tuple[Violation, ...] = ()
    """Fields that the gateway refuses."""
    request_id: str = ""
    """What to quote when the failure is reported. Empty: the gateway did not say."""


def error_of(error: grpc.RpcError) -> Failure:
    """Read the code and the details of an error of either client."""
    trailers = dict(_trailers_of(error))
    status = _status_of(trailers)
    reason = _detail(status, ErrorInfo()) or ErrorInfo()
    retry = _detail(status, RetryInfo())
    refused = _detail(status, BadRequest()) or BadRequest()
    request = _detail(status, RequestInfo()) or RequestInfo()
    return Failure(
        code=error.code(),
        message=error.details() or "",
        reason=reason.reason,
        domain=reason.domain,
        metadata=dict(reason.metadata),
        retry_after_s=None if retry is None else retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9,
        retryable=_SWITCH.get(trailers.get("x-should-retry")),
        request_id=request.request_id,
        violations=tuple(Violation(field=own.field, description=own.description) for own in refused.field_violations),
    )


def _trailers_of(error: grpc.RpcError) -> Iterable[tuple[str, str | bytes]]:
    # Both kinds of metadata iterate as pairs; the types say so of neither.
    return cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())


def _status_of(trailers: Mapping[str, str | bytes]) -> Status:
    packed = trailers.get(DETAILS_KEY)
    try:
        return Status.FromString(packed) if isinstance(packed, bytes) else Status()
    except DecodeError:
        return Status()  # a proxy's, not ours: the code and the message still stand


def _detail(status: Status, empty: _Detail) -> _Detail | None:
    """Fill the message from the first detail of its type."""
    packed: AnyMessage
    for packed in status.details:
        try:
            if packed.Unpack(empty):
                return empty
        except DecodeError:
            return None  # the same: half of a detail is none
    return None
