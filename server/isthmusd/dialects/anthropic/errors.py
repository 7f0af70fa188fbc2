"""Anthropic's errors, read from answers and streams.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from isthmusd.core.errors import UpstreamError
from isthmusd.core.headers import Headers, first
from isthmusd.framing.failures import Json, Said, failure, loose, retry_after_s, text_of

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
    (400, re.compile(r"prompt is too long|exceed context limit", re.IGNORECASE), "context_length_exceeded"),
)
"""OpenAI's code by status and message, first match; Anthropic has types only."""

_UNPAID = re.compile(r"credit balance is too low|reached your specified API usage limits", re.IGNORECASE)
"""An account that cannot pay is a 400 like any bad field (https://github.com/anthropics/claude-code/issues/66314)."""


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer of any host that serves Anthropic's API."""
    request_id = first(headers, "request-id") or first(headers, "x-request-id")
    said = _said(loose(body), status, request_id, retry_after_s(headers))
    if status == 400 and _UNPAID.search(said.message or ""):
        return failure(402, replace(said, status=status))
    return failure(status, said)


def decode_stream_error(json: bytes | msgspec.Raw) -> UpstreamError:
    """Read an error that came with HTTP 200: an event of a stream, or a body in place of the answer."""
    found = loose(json)
    status = _STATUS_OF_TYPE.get(_said(found).type or "", 500)
    return failure(status, _said(found, status))


def _said(found: Json, status: int = 0, request_id: str | None = None, wait_s: float | None = None) -> Said:
    match found:
        case [only]:
            # Google's front end wraps its error in an array.
            return _said(only, status, request_id, wait_s)
        case {"error": dict(inner), **outer}:
            message = text_of(inner.get("message"))
            # Google's errors have a `status` word and no type.
            named = text_of(inner.get("type")) or text_of(inner.get("status"))
            request_id = request_id or text_of(outer.get("request_id"))
        case {"error": str(text)} | {"message": str(text)} | {"detail": str(text)}:
            message, named = text_of(text), None
        case _:
            message = named = None
    code = next((code for of, words, code in _CODES if of == status and words.search(message or "")), None)
    return Said(message=message, type=named, code=code, request_id=request_id, retry_after_s=wait_s)
