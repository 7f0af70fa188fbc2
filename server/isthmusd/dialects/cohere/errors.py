"""Cohere's errors, read from answers and streams.

Source: https://docs.cohere.com/reference/errors. A body is `{"id": ..., "message": ...}`; it has no type and no code.
"""

from __future__ import annotations

import re

from isthmusd.core.errors import Overloaded, Rejected, TimedOut, Told, UpstreamError
from isthmusd.core.headers import Headers, first
from isthmusd.framing.failures import Json, Said, clean, failure, loose, retry_after_s

_BLOCKED = 498
"""Cohere's own status for input or output that it does not allow."""

_CODES: tuple[tuple[int, re.Pattern[str], str], ...] = (
    (404, re.compile(r"\bmodel\b", re.IGNORECASE), "model_not_found"),
    (404, re.compile(r""), "not_found"),
    (400, re.compile(r"too many tokens|context length", re.IGNORECASE), "context_length_exceeded"),
    (_BLOCKED, re.compile(r""), "content_filter"),
)
"""OpenAI's code by status and message, first match."""

_UNFINISHED: dict[str, tuple[type[UpstreamError], str]] = {
    "ERROR": (Overloaded, "The provider failed while it wrote the answer; try again."),
    "TIMEOUT": (TimedOut, "The provider ran out of time while it wrote the answer; try again."),
}
"""Finish reasons that are failures: what was written until then is no answer."""


def unfinished(finish_reason: str | None, error: str | None) -> UpstreamError | None:
    """Make the failure that a finish reason, or an error beside it, stands for; None if it stands for none."""
    made = _UNFINISHED.get("ERROR" if error else finish_reason or "")
    if made is None:
        return None
    kind, message = made
    return kind(message, told=Told(detail=clean(error)))


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer."""
    message, name = _said(loose(body))
    code = next((code for of, words, code in _CODES if of == status and words.search(message or "")), None)
    said = Said(
        message=message,
        code=code,
        request_id=first(headers, "x-debug-trace-id") or name,
        retry_after_s=retry_after_s(headers),
    )
    error = failure(status, said)
    if status == _BLOCKED:
        return Rejected(error.message, code=code, http_status=400, told=error.told)
    return error


def _said(found: Json) -> tuple[str | None, str | None]:
    """Give the message, and the id of the request."""
    match found:
        case {"message": str(message), "id": str(name)}:
            return clean(message), clean(name)
        case {"message": str(message)} | {"error": str(message)} | {"detail": str(message)}:
            return clean(message), None
        case {"error": {"message": str(message)}}:
            return clean(message), None
        case _:
            return None, None
