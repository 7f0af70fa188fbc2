"""Everything that can go wrong with a call, as one tree. It knows no wire format: two tables map it outward
(`rpc/errors.py` for gRPC, each dialect's `encode_error` for HTTP).

GatewayError                 http_status, type, code, reason, retryable, fall_back, public message
|- CallerError               the caller must change something
|  |- Unauthenticated, CredentialExpired, PermissionDenied
|  |- InvalidRequest, UnsupportedFeature, UnknownModel, NotFound, AlreadyExists, MethodNotAllowed
|  |- RequestTooLarge, HeadersTooLarge, UnsupportedMediaType
|  `- LimitExceeded          ours; carries retry_after_s
|- Unavailable               the gateway itself is overloaded or draining
|- UpstreamError             a target failed; carries what the target said
|  |- Rejected               4xx that another target would also reject
|  |- KeyRejected            the caller's own provider key is bad there
|  |- Misconfigured          our key is bad there: fall back, alert, never show
|  |- Throttled, Overloaded, TimedOut, Unreachable
|  |- Garbled                the answer broke its own dialect
|  `- Interrupted            after the first event
|- Exhausted                 every target failed; holds the attempts in order
`- Bug                       anything else: opaque outside, complete in the log
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import ClassVar

WORD = re.compile(r"[A-Z0-9]+")
SHOWN = 100


def shown(text: str) -> str:
    """Cut a caller's text to what belongs into a message."""
    return text[:SHOWN]


class GatewayError(Exception):
    """One failure of one call. `message` is shown to the caller: it says what to do next and holds no secret."""

    http_status: int = 500
    """HTTP status on the OpenAI surface."""
    type: str = "server_error"
    """OpenAI's `error.type`."""
    code: str | None = "internal"
    """OpenAI's `error.code`; the default of the class unless the instance knows better."""
    retryable: bool = False
    """True if the same call may succeed when sent again (`x-should-retry`)."""
    fall_back: ClassVar[bool] = False
    """True if another target might answer."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code
        if http_status is not None:
            self.http_status = http_status

    @property
    def reason(self) -> str:
        """UPPER_SNAKE reason for `google.rpc.ErrorInfo`, at most 63 characters."""
        words = "_".join(WORD.findall((self.code or self.type).upper()))
        named = words if words[:1].isalpha() else f"E_{words}"
        return named[:63].rstrip("_")


class CallerError(GatewayError):
    """The caller must change something."""

    http_status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class Unauthenticated(CallerError):
    """No credential, or one that is malformed, expired or revoked; or none for the model's provider."""

    http_status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    why: str | None = None
    """For the operator's log only: what is wrong with a token, in fixed words."""


class CredentialExpired(Unauthenticated):
    """Well made, but its time is over."""

    code = "credential_expired"


class PermissionDenied(CallerError):
    """Authenticated, but the model, project or route is not granted."""

    http_status = 403
    type = "permission_error"
    code = "permission_denied"


class InvalidRequest(CallerError):
    """Bad JSON or a bad field; `param` names the field."""


class UnsupportedFeature(CallerError):
    """Well-formed, but this model's target cannot do it; another target of the model may."""

    code = "unsupported_feature"
    fall_back = True


class UnknownModel(CallerError):
    """No alias, catalogue entry or default provider answers for this name."""

    http_status = 404
    code = "model_not_found"


class NotFound(CallerError):
    """No such path or resource."""

    http_status = 404
    code = "not_found"


class AlreadyExists(CallerError):
    """The name is taken."""

    http_status = 409
    code = "already_exists"


class MethodNotAllowed(CallerError):
    """The gateway owns the path and serves other methods on it."""

    http_status = 405
    code = "method_not_allowed"


class RequestTooLarge(CallerError):
    """The body is over the limit."""

    http_status = 413
    code = "request_too_large"


class HeadersTooLarge(CallerError):
    """The headers, or the metadata, are over the limit."""

    http_status = 431
    code = "headers_too_large"


class UnsupportedMediaType(CallerError):
    """The body is not JSON, or is compressed."""

    http_status = 415
    code = "unsupported_media_type"


class LimitExceeded(CallerError):
    """One of our own limits or budgets."""

    http_status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryable = True


class Unavailable(GatewayError):
    """The gateway is overloaded or draining."""

    http_status = 503
    code = "overloaded"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a target said of its failure, for records and `ErrorInfo`; its body is never shown as it is."""

    status: int | None = None
    type: str | None = None
    """The provider's error type; replaces the class's own towards the caller."""
    request_id: str | None = None
    detail: str | None = None
    """For the operator's log only."""


class UpstreamError(GatewayError):
    """A target failed."""

    http_status = 502
    type = "upstream_error"
    code = "upstream_error"
    fall_back = True

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        told: Told | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, http_status=http_status, retry_after_s=retry_after_s)
        self.told = told or Told()
        if self.told.type is not None:
            self.type = self.told.type


class Rejected(UpstreamError):
    """A 4xx that the caller caused: same status, the provider's message; another target would also reject it."""

    http_status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    fall_back = False


class KeyRejected(UpstreamError):
    """The caller's own provider key is bad at that provider."""

    http_status = 401
    type = "authentication_error"
    code = "provider_key_rejected"
    fall_back = False


class Misconfigured(UpstreamError):
    """Our credential is bad there."""

    code = "upstream_misconfigured"


class Throttled(UpstreamError):
    """The provider said 429."""

    http_status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryable = True


class Overloaded(UpstreamError):
    """The provider said 5xx."""

    retryable = True


class TimedOut(UpstreamError):
    """The provider, or the call's deadline, ran out of time."""

    http_status = 504
    type = "timeout_error"
    code = "timeout"
    retryable = True


class Unreachable(UpstreamError):
    """No connection, or it broke before an answer."""

    code = "upstream_unreachable"
    retryable = True


class Garbled(UpstreamError):
    """The answer broke its own dialect."""

    code = "upstream_garbled"
    retryable = True


class Interrupted(UpstreamError):
    """The stream broke after the first event reached the caller."""

    code = "upstream_interrupted"
    fall_back = False


class Exhausted(UpstreamError):
    """Every target failed. It speaks with the voice of the attempt whose error helps the caller most."""

    fall_back = False

    def __init__(self, attempts: tuple[UpstreamError, ...]) -> None:
        speaker = _speaker(attempts)
        super().__init__(
            speaker.message,
            code=speaker.code,
            param=speaker.param,
            http_status=speaker.http_status,
            retry_after_s=speaker.retry_after_s,
            told=replace(speaker.told, type=speaker.type),
        )
        self.attempts = attempts
        self.speaker = speaker
        self.retryable = speaker.retryable


def _speaker(attempts: tuple[UpstreamError, ...]) -> UpstreamError:
    """A target that is only busy is worth waiting for, so it speaks before those that broke, and the one that is free
    soonest before other busy ones; what only the operator can mend speaks last. Among equals the last one does."""

    def rank(place: int) -> tuple[int, float, int]:
        match attempts[place]:
            case Throttled(retry_after_s=wait_s):
                return 0, math.inf if wait_s is None else wait_s, -place
            case error:
                return 1 if error.retryable else 2, 0.0, -place

    return attempts[min(range(len(attempts)), key=rank)]


class Bug(GatewayError):
    """Anything else. Opaque outside, complete in the log."""
