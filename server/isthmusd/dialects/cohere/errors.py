"""Cohere's errors, read from answers and streams. Which of them is retried is `core/errors.py`.

Source: https://docs.cohere.com/reference/errors. A body is `{"id": ..., "message": ...}`; it has no type and no code.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

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
"""What is not in here: 4xx is Rejected, 5xx Overloaded. 402 is an account without money, so the key's fault."""

_BLOCKED = 498
"""Cohere's own status for input or output that it does not allow."""

_CODES: tuple[tuple[int, re.Pattern[str], str], ...] = (
    (404, re.compile(r"\bmodel\b", re.IGNORECASE), "model_not_found"),
    (404, re.compile(r""), "not_found"),
    (400, re.compile(r"too many tokens|context length", re.IGNORECASE), "context_length_exceeded"),
    (_BLOCKED, re.compile(r""), "content_filter"),
)
"""OpenAI's code by status and message, first match."""

_SECRET = re.compile(
    # Cohere's keys have no prefix: 40 letters and digits of all kinds.
    r"\bBearer\s+\S{6,}|\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])[A-Za-z0-9]{40}\b|\b(?:sk|pk|rk|isk)[-_][\w*.-]*[*\d][\w*.-]*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_UNFINISHED: dict[str, tuple[type[UpstreamError], str]] = {
    "ERROR": (Overloaded, "The provider failed while it wrote the answer; try again."),
    "TIMEOUT": (TimedOut, "The provider ran out of time while it wrote the answer; try again."),
}
"""Finish reasons that are failures: what was written until then is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What an error body says, cleaned."""

    message: str | None = None
    id: str | None = None


def answer_fault(message: str, param: str) -> Garbled:
    """Blame the provider for a field of its answer."""
    del param  # the message names the field; `param` would point the caller at his own request
    return Garbled(f"The provider's answer broke its format: {message}")


def ended_early() -> Interrupted:
    """Make the failure of a stream that stopped without its terminator."""
    return Interrupted("The provider's stream ended early: the answer is incomplete; try again.")


def unfinished(finish_reason: str | None, error: str | None) -> UpstreamError | None:
    """Make the failure that a finish reason, or an error beside it, stands for; None if it stands for none."""
    failure = _UNFINISHED.get("ERROR" if error else finish_reason or "")
    if failure is None:
        return None
    kind, message = failure
    return kind(message, told=Told(detail=_clean(error or "")))


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer."""
    said = _said(body)
    request_id = first(headers, "x-debug-trace-id") or said.id
    told = Told(status=status, request_id=request_id, detail=said.message)
    if not 400 <= status <= 599:
        return Garbled(f"The provider gave an unexpected answer (HTTP {status}); try again.", told=told)
    kind = _BY_STATUS.get(status, Rejected if status < 500 else Overloaded)
    if status >= 500:
        return kind(f"The provider failed (HTTP {status}); try again.", told=told, retry_after_s=_wait_s(headers))
    message = said.message or f"The provider refused the request (HTTP {status})."
    return kind(
        message,
        code=_code(status, message) if kind is Rejected else None,
        http_status=_shown_status(status, kind),
        retry_after_s=_wait_s(headers),
        told=told,
    )


def _shown_status(status: int, kind: type[UpstreamError]) -> int | None:
    if status == _BLOCKED:
        return 400
    return status if kind is Rejected or status in (402, 409) else None


def _code(status: int, message: str) -> str | None:
    return next((code for of, words, code in _CODES if of == status and words.search(message)), None)


def _said(body: bytes) -> _Said:
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # An HTML page of a proxy says nothing worth showing.
        return _Said()
    match found:
        case {"message": str(message), "id": str(name)}:
            return _Said(message=_clean(message), id=_clean(name))
        case {"message": str(message)} | {"error": str(message)} | {"detail": str(message)}:
            return _Said(message=_clean(message))
        case {"error": {"message": str(message)}}:
            return _Said(message=_clean(message))
        case _:
            return _Said()


def _clean(text: str) -> str | None:
    """Make a provider's text fit to be shown: no secrets, no control characters, not too long."""
    shown = _SECRET.sub("[redacted]", _CONTROL.sub(" ", text[: MAX_MESSAGE * 2])).strip()
    return shown[:MAX_MESSAGE] or None


def _wait_s(headers: Headers) -> float | None:
    """Read the wait; a date is not understood, since that needs a clock."""
    value = first(headers, "retry-after")
    try:
        seconds = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return seconds if seconds >= 0 and math.isfinite(seconds) else None
