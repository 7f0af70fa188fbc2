"""Anthropic's errors, read from answers and streams. Which of them is retried is `core/errors.py`.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.errors import (
    Garbled,
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
    524: TimedOut,
}
"""What is not in here: 4xx is Rejected, 5xx (529 is Anthropic's overload) Overloaded. 402 is an account without
money, so the key's fault."""

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Status of an error that came with HTTP 200, in a stream or in place of an answer."""

_CODES: tuple[tuple[int, re.Pattern[str], str], ...] = (
    (404, re.compile(r"\bmodel\b", re.IGNORECASE), "model_not_found"),
    (404, re.compile(r""), "not_found"),
    (413, re.compile(r""), "request_too_large"),
    (400, re.compile(r"prompt is too long|exceed context limit"), "context_length_exceeded"),
)
"""OpenAI's code by status and message, first match; Anthropic has types only."""

_SECRET = re.compile(
    r"\bBearer\s+\S{6,}|\b(?:sk|pk|rk|isk)[-_][\w*.-]*[*\d][\w*.-]*|\bAIza[\w-]{8,}|\bya29\.[\w.-]{8,}"
)
"""Keys of known forms, shortened ones included. A digit or a star tells them from words such as `sk-learn`."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a provider's error body says, cleaned."""

    message: str | None = None
    type: str | None = None
    request_id: str | None = None


def answer_fault(message: str, param: str) -> Garbled:
    """Blame the provider for a field of its answer."""
    del param  # the message names the field; `param` would point the caller at his own request
    return Garbled(f"The provider's answer broke its format: {message}")


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer of any host that serves Anthropic's API."""
    request_id = first(headers, "request-id") or first(headers, "x-request-id")
    return _error_of(status, _said(_loose(body)), _retry_after_s(headers), request_id)


def decode_stream_error(json: bytes | msgspec.Raw) -> UpstreamError:
    """Read an error that came with HTTP 200: an event of a stream, or a body in place of the answer."""
    said = _said(_loose(json))
    return _error_of(_STATUS_OF_TYPE.get(said.type or "", 500), said, None, None)


def _error_of(status: int, said: _Said, retry_after_s: float | None, request_id: str | None) -> UpstreamError:
    request_id = request_id or said.request_id
    if not 400 <= status <= 599:
        told = Told(status=status, request_id=request_id, detail=said.message)
        return Garbled(f"The provider gave an unexpected answer (HTTP {status}); try again.", told=told)
    kind = _BY_STATUS.get(status, Rejected if status < 500 else Overloaded)
    caused_by_caller = kind is Rejected
    told = Told(
        status=status,
        # Of other failures the caller sees the gateway's own type.
        type=said.type if caused_by_caller else None,
        request_id=request_id,
        detail=said.message,
    )
    if status < 500:
        message = said.message or f"The provider refused the request (HTTP {status})."
    else:
        message = f"The provider failed (HTTP {status}); try again."
    return kind(
        message,
        code=_code(status, message) if caused_by_caller else None,
        http_status=status if caused_by_caller or status in (402, 409) else None,
        retry_after_s=retry_after_s,
        told=told,
    )


def _code(status: int, message: str) -> str | None:
    return next((code for known, text, code in _CODES if known == status and text.search(message)), None)


def _said(found: Json) -> _Said:
    match found:
        case [only]:
            # Google's front end wraps its error in an array.
            return _said(only)
        case {"error": dict(inner), **outer}:
            request_id = _text(outer.get("request_id"))
            # Google's errors have a `status` word and no type.
            return _Said(
                message=_text(inner.get("message")),
                type=_text(inner.get("type")) or _text(inner.get("status")),
                request_id=request_id,
            )
        case {"error": str(message)} | {"message": str(message)} | {"detail": str(message)}:
            return _Said(message=_text(message))
        case _:
            return _Said()


def _loose(json: bytes | msgspec.Raw) -> Json:
    """Parse what may be anything: an HTML page of a proxy is no JSON and says nothing worth showing."""
    try:
        return msgspec.json.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(value: Json) -> str | None:
    """Make a provider's text fit to be shown: no secrets, no control characters, not too long."""
    match value:
        case str():
            shown = _SECRET.sub("[redacted]", _CONTROL.sub(" ", value[: MAX_MESSAGE * 2])).strip()
            return shown[:MAX_MESSAGE] or None
        case _:
            return None


def _retry_after_s(headers: Headers) -> float | None:
    """Read the wait; a date is not understood, since that needs a clock."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = first(headers, name)
        try:
            seconds = float(value) * unit if value is not None else -1.0
        except ValueError:
            continue
        if seconds >= 0 and math.isfinite(seconds):
            return seconds
    return None
