"""What Bedrock says of its failures: error answers, and exceptions in a stream. Which is retried is `core/errors.py`.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors,
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from isthmusd.core.errors import UpstreamError
from isthmusd.core.headers import Headers, first
from isthmusd.framing.failures import Said, clean, failure, retry_after_s

_STATUS = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "ExpiredToken": 403,
    "IncompleteSignature": 403,
    "IncompleteSignatureException": 403,
    "InvalidClientTokenId": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationToken": 403,
    "MissingAuthenticationTokenException": 403,
    "NotAuthorized": 403,
    "OptInRequired": 403,
    "SignatureDoesNotMatch": 403,
    "UnrecognizedClientException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 429,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ValidationException": 400,
}
"""Type of an error to the status that says what it is: AWS answers some bad signatures with 400, and an exception in a
stream has no status at all."""

_NO_MODEL = re.compile("model identifier is invalid|model ID is not supported", re.IGNORECASE)
"""Bedrock answers unknown models with 404 if they once were, else with 400 and such words."""

_TOO_LONG = re.compile("(?:input|prompt) is too long|exceed (?:the )?context|maximum context length", re.IGNORECASE)


class _Body(msgspec.Struct):
    """AWS writes the message with either letter, and the type in several places."""

    message: str | None = None
    shouted: str | None = msgspec.field(name="Message", default=None)
    kind: str | None = msgspec.field(name="__type", default=None)
    code: str | None = None
    original_status: int | None = msgspec.field(name="originalStatusCode", default=None)
    original_message: str | None = msgspec.field(name="originalMessage", default=None)


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer."""
    read = _read(body)
    kind = _type_of(first(headers, "x-amzn-errortype") or read.kind or read.code)
    said = _said(kind, clean(read.message or read.shouted), first(headers, "x-amzn-requestid"), retry_after_s(headers))
    meant = _STATUS.get(kind or "", status) if status == 400 else status
    return _error_of(meant, replace(said, status=status))


def decode_exception(kind: str, payload: bytes) -> UpstreamError:
    """Read an exception in a stream: `throttlingException` and its like."""
    read = _read(payload)
    named = _type_of(kind[:1].upper() + kind[1:])
    status = _STATUS.get(named or "", 500)
    if status == 424 and read.original_status in (408, 429, 503, 504):
        # What the model's own server said; only that it is busy or slow is worth more than that the model failed.
        status = read.original_status
    return _error_of(status, _said(named, clean(read.original_message or read.message or read.shouted)))


def _said(kind: str | None, message: str | None, request_id: str | None = None, wait_s: float | None = None) -> Said:
    detail = ": ".join(part for part in (kind, message) if part) or None
    return Said(message=message, type=kind, detail=detail, request_id=request_id, retry_after_s=wait_s)


def _error_of(status: int, said: Said) -> UpstreamError:
    error = failure(status, said)
    if status == 404 or (status == 400 and _NO_MODEL.search(error.message) is not None):
        error.code = "model_not_found"
    elif status == 400 and _TOO_LONG.search(error.message) is not None:
        error.code = "context_length_exceeded"
    return error


def _read(body: bytes) -> _Body:
    """Parse what may be anything: an HTML page of a proxy is no JSON and says nothing worth showing."""
    try:
        return msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()


def _type_of(name: str | None) -> str | None:
    """AWS writes `ThrottlingException:http://internal...` and `com.amazon.coral.service#ThrottlingException`."""
    plain = (name or "").partition(":")[0].rpartition("#")[2].strip()
    return clean(plain[:200])
