"""The gateway's errors as gRPC statuses. The OpenAI surface has `dialects/openai/errors.py`.

Details stay under 6 KB: clients of the C core refuse larger trailers at random.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from isthmusd.core.errors import GatewayError, Misconfigured, UpstreamError
from isthmusd.rpc.call import Metadata

DOMAIN = "isthmus"
MESSAGE_LIMIT = 2000
"""Characters of a message; the status holds it twice."""

CODES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    402: grpc.StatusCode.RESOURCE_EXHAUSTED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    431: grpc.StatusCode.INVALID_ARGUMENT,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def status_code(error: GatewayError) -> grpc.StatusCode:
    """Map an error to a gRPC code by its HTTP status; our own bad credential is nothing that a retry mends."""
    match error:
        case Misconfigured():
            return grpc.StatusCode.FAILED_PRECONDITION
        case _:
            fallback = grpc.StatusCode.INVALID_ARGUMENT if error.http_status < 500 else grpc.StatusCode.UNAVAILABLE
            return CODES.get(error.http_status, fallback)


def trailers(error: GatewayError, request_id: str) -> Metadata:
    """Give the trailing metadata that carries `google.rpc.Status`."""
    code = status_code(error)
    status = status_pb2.Status(code=code.value[0], message=error.message[:MESSAGE_LIMIT])
    status.details.extend(_packed(detail) for detail in _details(error, request_id))
    return (("grpc-status-details-bin", status.SerializeToString()),)  # type: ignore[return-value] # -bin is bytes


def _details(error: GatewayError, request_id: str) -> list[_Detail]:
    metadata = {"type": error.type, "http_status": str(error.http_status)}
    if error.code:
        metadata["code"] = error.code
    if error.param:
        metadata["param"] = error.param[:200]
    if isinstance(error, UpstreamError):
        if error.told.status is not None:
            metadata["upstream_status"] = str(error.told.status)
        if error.told.request_id is not None:
            metadata["upstream_request_id"] = error.told.request_id[:128]
    details: list[_Detail] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.param and status_code(error) is grpc.StatusCode.INVALID_ARGUMENT:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.param[:200], description=error.message[:500]
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    return details


_Detail = (
    error_details_pb2.ErrorInfo
    | error_details_pb2.RequestInfo
    | error_details_pb2.RetryInfo
    | error_details_pb2.BadRequest
)


def _packed(detail: _Detail) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
