"""What Bedrock says of its failures: error answers, and exceptions in a stream. Which is retried is `core/errors.py`.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors,
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.errors import (
    Garbled,
    Interrupted,
    KeyRejected,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Told,
    UpstreamError,
)
from isthmusd.core.headers import Headers, first

MAX_MESSAGE = 2_000

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

_BY_STATUS: dict[int, type[UpstreamError]] = {
    401: KeyRejected,
    403: KeyRejected,
    408: TimedOut,
    # The model failed, not the request: another attempt may do.
    424: Overloaded,
    429: Throttled,
    504: TimedOut,
}
"""What is not in here: 4xx is Rejected, 5xx Overloaded."""

_NO_MODEL = re.compile("model identifier is invalid|model ID is not supported", re.IGNORECASE)
"""Bedrock answers unknown models with 404 if they once were, else with 400 and such words."""

_SECRET = re.compile(r"\bBearer\s+\S{6,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bABSK[\w+/=]{8,}|\bbedrock-api-key-\S{8,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class _Body(msgspec.Struct):
    """AWS writes the message with either letter, and the type in several places."""

    message: str | None = None
    shouted: str | None = msgspec.field(name="Message", default=None)
    kind: str | None = msgspec.field(name="__type", default=None)
    code: str | None = None
    original_status: int | None = msgspec.field(name="originalStatusCode", default=None)
    original_message: str | None = msgspec.field(name="originalMessage", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    status: int
    type: str | None
    message: str | None
    request_id: str | None = None
    retry_after_s: float | None = None


def answer_fault(message: str, param: str) -> Garbled:
    """Blame the provider for a field of its answer."""
    del param  # the message names the field; `param` would point the caller at his own request
    return Garbled(f"The provider's answer broke its format: {message}")


def ended_early() -> Interrupted:
    """Make the failure of a stream that stopped before its message did."""
    return Interrupted("The provider's stream ended early: the answer is incomplete; try again.")


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer."""
    said = _read(body)
    kind = _type_of(first(headers, "x-amzn-errortype") or said.kind or said.code)
    return _error_of(
        _Said(
            status=_STATUS.get(kind or "", status) if status == 400 else status,
            type=kind,
            message=_clean(said.message or said.shouted),
            request_id=first(headers, "x-amzn-requestid"),
            retry_after_s=_retry_after_s(headers),
        ),
        status,
    )


def decode_exception(kind: str, payload: bytes) -> UpstreamError:
    """Read an exception in a stream: `throttlingException` and its like."""
    said = _read(payload)
    named = _type_of(kind[:1].upper() + kind[1:])
    status = _STATUS.get(named or "", 500)
    if status == 424 and said.original_status is not None and 400 <= said.original_status <= 599:
        # What the model's own server said; only that it is busy or slow is worth more than that the model failed.
        status = said.original_status if said.original_status in (408, 429, 503, 504) else 424
    message = _clean(said.original_message or said.message or said.shouted)
    return _error_of(_Said(status=status, type=named, message=message), status)


def _error_of(said: _Said, status: int) -> UpstreamError:
    """`status` is what was answered, `said.status` what it means."""
    if not 400 <= status <= 599:
        told = Told(status=status, request_id=said.request_id, detail=said.message)
        return Garbled(f"The provider gave an unexpected answer (HTTP {status}); try again.", told=told)
    kind = _BY_STATUS.get(said.status, Rejected if said.status < 500 else Overloaded)
    caused_by_caller = kind is Rejected
    told = Told(
        status=status,
        type=said.type if caused_by_caller else None,
        request_id=said.request_id,
        detail=": ".join(part for part in (said.type, said.message) if part) or None,
    )
    message = said.message or f"The provider refused the request (HTTP {said.status})."
    if kind in (Overloaded, TimedOut):
        message = f"The provider failed (HTTP {said.status}); try again."
    unknown_model = caused_by_caller and (said.status == 404 or _NO_MODEL.search(message) is not None)
    return kind(
        message,
        code="model_not_found" if unknown_model else None,
        http_status=said.status if caused_by_caller else None,
        retry_after_s=said.retry_after_s,
        told=told,
    )


def _read(body: bytes) -> _Body:
    """Parse what may be anything: an HTML page of a proxy is no JSON and says nothing worth showing."""
    try:
        return msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()


def _type_of(name: str | None) -> str | None:
    """AWS writes `ThrottlingException:http://internal...` and `com.amazon.coral.service#ThrottlingException`."""
    plain = (name or "").partition(":")[0].rpartition("#")[2].strip()
    return _clean(plain[:200])


def _clean(text: str | None) -> str | None:
    """Make a provider's text fit to be shown: no secrets, no control characters, not too long."""
    shown = _SECRET.sub("[redacted]", _CONTROL.sub(" ", (text or "")[: MAX_MESSAGE * 2])).strip()
    return shown[:MAX_MESSAGE] or None


def _retry_after_s(headers: Headers) -> float | None:
    """Read the wait; a date is not understood, since that needs a clock."""
    try:
        seconds = float(first(headers, "retry-after") or -1.0)
    except ValueError:
        return None
    return seconds if seconds >= 0 and math.isfinite(seconds) else None
