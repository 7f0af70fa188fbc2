"""The gateway's errors as gRPC statuses. The OpenAI surface has `dialects/openai/errors.py`.

Trailers stay under 6 KB whatever the error holds: clients of the C core refuse larger ones at random.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from isthmusd.core.errors import AlreadyExists, Exhausted, GatewayError, Misconfigured, UpstreamError
from isthmusd.pipeline.headers import printable
from isthmusd.rpc.call import REQUEST_ID, Metadata

DOMAIN = "isthmus"
MESSAGE_LIMIT = 1500
"""Bytes of a message; trailers hold it twice."""
FIELD_LIMIT = 150
"""Bytes of a name: a field, a code, a type, an id. Providers choose some of them."""
DESCRIPTION_LIMIT = 500

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
        case Misconfigured() | Exhausted(speaker=Misconfigured()):
            return grpc.StatusCode.FAILED_PRECONDITION
        case AlreadyExists():
            return grpc.StatusCode.ALREADY_EXISTS
        case _:
            fallback = grpc.StatusCode.INVALID_ARGUMENT if error.http_status < 500 else grpc.StatusCode.UNAVAILABLE
            return CODES.get(error.http_status, fallback)


def trailers(error: GatewayError, request_id: str) -> Metadata:
    """Give the trailing metadata: `google.rpc.Status`, and what the headers of an error say on the OpenAI surface."""
    code = status_code(error)
    status = status_pb2.Status(code=code.value[0], message=shortened(error.message, MESSAGE_LIMIT))
    status.details.extend(_packed(detail) for detail in _details(error, request_id))
    named = ((REQUEST_ID, request_id),) if request_id else ()
    packed = ("grpc-status-details-bin", status.SerializeToString())
    return (packed, *named, *error_headers(error))  # type: ignore[return-value] # -bin is bytes


def error_headers(error: GatewayError) -> Metadata:
    """Give what clients obey or quote without reading an error's body."""
    headers = [("x-should-retry", "true" if error.retryable else "false")]
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(max(0, round(error.retry_after_s)))))
    if isinstance(error, UpstreamError) and error.told.request_id is not None:
        name = shortened(printable(error.told.request_id), FIELD_LIMIT)
        headers.append(("x-isthmus-upstream-request-id", name))
    return headers


def shortened(text: str, limit: int) -> str:
    """Cut a text to so many bytes as gRPC writes them: three for each byte that is not printable ASCII."""
    size = 0
    for place, letter in enumerate(text[: limit + 1]):
        size += 1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode())
        if size > limit:
            return text[:place]
    return text


def _details(error: GatewayError, request_id: str) -> list[_Detail]:
    metadata = {"type": shortened(error.type, FIELD_LIMIT), "http_status": str(error.http_status)}
    if error.code:
        metadata["code"] = shortened(error.code, FIELD_LIMIT)
    if error.param:
        metadata["param"] = shortened(error.param, FIELD_LIMIT)
    if isinstance(error, UpstreamError):
        if error.told.status is not None:
            metadata["upstream_status"] = str(error.told.status)
        if error.told.request_id is not None:
            metadata["upstream_request_id"] = shortened(printable(error.told.request_id), FIELD_LIMIT)
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
            field=shortened(error.param, FIELD_LIMIT), description=shortened(error.message, DESCRIPTION_LIMIT)
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
