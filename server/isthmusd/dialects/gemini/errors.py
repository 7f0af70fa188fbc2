"""Errors of Google's APIs: error answers, errors inside a stream, and answers that break the format. Which of them is
retried is `core/errors.py`.

Source: https://cloud.google.com/apis/design/errors and https://ai.google.dev/gemini-api/docs/troubleshooting
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

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_BY_STATUS: dict[int, type[UpstreamError]] = {
    401: KeyRejected,
    402: KeyRejected,
    403: KeyRejected,
    408: TimedOut,
    409: Overloaded,
    429: Throttled,
    504: TimedOut,
}
"""What is not in here: 4xx is Rejected, 5xx Overloaded. 409 is ABORTED: worth another try."""

_STATUS_OF_WORD = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""For errors inside a stream that carry no code."""

_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"})
"""A bad key is a 400 with INVALID_ARGUMENT like any bad field; only the reason tells."""

_SECRET = re.compile(r"\bBearer\s+\S{6,}|\bAIza[\w-]{8,}|\bya29\.[\w.-]+|\bAQ\.[\w.-]{8,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What an error body says, cleaned."""

    message: str | None = None
    word: str | None = None
    """Google's name of the status: `INVALID_ARGUMENT`."""
    status: int | None = None
    reasons: frozenset[str] = frozenset()
    retry_after_s: float | None = None
    request_id: str | None = None


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer."""
    said = _said(_loose(body))
    request_id = said.request_id or first(headers, "x-goog-request-id") or first(headers, "x-request-id")
    return _error_of(status, said, _retry_after_s(headers), request_id)


def decode_stream_error(json: bytes | msgspec.Raw) -> UpstreamError:
    """Read an error that came with HTTP 200: the value of `error`, or what wraps it."""
    said = _said(_loose(json))
    status = said.status or _STATUS_OF_WORD.get(said.word or "", 500)
    return _error_of(status, said, None, said.request_id)


def garbled(message: str) -> Garbled:
    """Blame the provider for its answer."""
    return Garbled(f"The provider's answer broke its format: {message}")


def ended_early() -> Interrupted:
    """Make the failure of a stream that stopped before it was finished."""
    return Interrupted("The provider's stream ended early: the answer is incomplete; try again.")


def _error_of(status: int, said: _Said, retry_after_s: float | None, request_id: str | None) -> UpstreamError:
    if not 400 <= status <= 599:
        told = Told(status=status, request_id=request_id, detail=said.message)
        return Garbled(f"The provider gave an unexpected answer (HTTP {status}); try again.", told=told)
    kind = _BY_STATUS.get(status, Rejected if status < 500 else Overloaded)
    if said.reasons & _KEY_REASONS:
        kind = KeyRejected
    message = said.message or f"The provider refused the request (HTTP {status})."
    if status >= 500:
        message = f"The provider failed (HTTP {status}); try again."
    caused_by_caller = kind is Rejected
    told = Told(status=status, type=said.word if caused_by_caller else None, request_id=request_id, detail=said.message)
    return kind(
        message,
        code="model_not_found" if status == 404 else None,
        http_status=status if caused_by_caller or status in (402, 409) else None,
        retry_after_s=retry_after_s if retry_after_s is not None else said.retry_after_s,
        told=told,
    )


def _said(found: Json) -> _Said:
    match found:
        case [{"error": inner}, *_] | {"error": inner}:
            # A stream that was refused is an array even of one: https://github.com/google-gemini/gemini-cli/issues/14831
            return _said(inner)
        case str():
            return _Said(message=_clean(found))
        case dict():
            details = found.get("details")
            return _with_details(found, details if isinstance(details, list) else [])
        case _:
            return _Said()


def _with_details(error: dict[str, Json], details: list[Json]) -> _Said:
    reasons: set[str] = set()
    retry_after_s = request_id = None
    for detail in details:
        match detail:
            case {"retryDelay": str(delay)} if matched := _DURATION.match(delay):
                retry_after_s = float(matched[1])
            case {"reason": str(reason)}:
                reasons.add(reason)
            case {"requestId": str(found)}:
                request_id = found
            case _:
                pass
    message, word, code = error.get("message"), error.get("status"), error.get("code")
    return _Said(
        message=_clean(message) if isinstance(message, str) else None,
        word=word[:100] if isinstance(word, str) and word else None,
        status=code if isinstance(code, int) and 400 <= code <= 599 else None,
        reasons=frozenset(reasons),
        retry_after_s=retry_after_s,
        request_id=request_id,
    )


def _loose(json: bytes | msgspec.Raw) -> Json:
    """Parse what may be anything: an HTML page of a proxy is no JSON and says nothing worth showing."""
    try:
        return msgspec.json.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _clean(text: str) -> str | None:
    """Make a provider's text fit to be shown: no secrets, no control characters, not too long."""
    shown = _SECRET.sub("[redacted]", _CONTROL.sub(" ", text[: MAX_MESSAGE * 2])).strip()
    return shown[:MAX_MESSAGE] or None


def _retry_after_s(headers: Headers) -> float | None:
    """Read the wait; a date is not understood, since that needs a clock."""
    try:
        seconds = float(first(headers, "retry-after") or "-1")
    except ValueError:
        return None
    return seconds if seconds >= 0 and math.isfinite(seconds) else None
