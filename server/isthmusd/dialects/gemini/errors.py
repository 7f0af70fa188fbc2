"""Errors of Google's APIs: error answers, errors inside a stream, and answers that break the format. Which of them is
retried is `core/errors.py`.

Source: https://cloud.google.com/apis/design/errors and https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.errors import Garbled, KeyRejected, UpstreamError
from isthmusd.core.headers import Headers, first
from isthmusd.framing.failures import Json, Said, answer_fault, clean, failure, loose, retry_after_s, text_of

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

_TOO_LONG = re.compile(r"input token count\b.*\b(?:exceeds|only supports)", re.IGNORECASE)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)s\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Google:
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
    google = _read(loose(body))
    request_id = google.request_id or first(headers, "x-goog-request-id") or first(headers, "x-request-id")
    return _error_of(status, google, retry_after_s(headers), request_id)


def decode_stream_error(json: bytes | msgspec.Raw) -> UpstreamError:
    """Read an error that came with HTTP 200: the value of `error`, or what wraps it."""
    google = _read(loose(json))
    status = google.status or _STATUS_OF_WORD.get(google.word or "", 500)
    return _error_of(status, google, None, google.request_id)


def garbled(message: str) -> Garbled:
    """Blame the provider for its answer."""
    return answer_fault(message, "")


def _error_of(status: int, google: _Google, wait_s: float | None, request_id: str | None) -> UpstreamError:
    too_long = status == 400 and _TOO_LONG.search(google.message or "")
    said = Said(
        message=google.message,
        type=google.word,
        code="model_not_found" if status == 404 else "context_length_exceeded" if too_long else None,
        request_id=request_id,
        retry_after_s=google.retry_after_s if wait_s is None else wait_s,
    )
    return failure(status, said, KeyRejected if google.reasons & _KEY_REASONS else None)


def _read(found: Json) -> _Google:
    match found:
        case [{"error": inner}, *_] | {"error": inner}:
            # A stream that was refused is an array even of one: https://github.com/google-gemini/gemini-cli/issues/14831
            return _read(inner)
        case str():
            return _Google(message=clean(found))
        case dict():
            details = found.get("details")
            return _with_details(found, details if isinstance(details, list) else [])
        case _:
            return _Google()


def _with_details(error: dict[str, Json], details: list[Json]) -> _Google:
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
    return _Google(
        message=text_of(message),
        word=word[:100] if isinstance(word, str) and word else None,
        status=code if isinstance(code, int) and 400 <= code <= 599 else None,
        reasons=frozenset(reasons),
        retry_after_s=retry_after_s,
        request_id=request_id,
    )
