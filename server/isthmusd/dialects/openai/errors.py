"""Errors in OpenAI's shape, written for callers and read from providers. Which of them is retried is `core/errors.py`.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from isthmusd.core.errors import GatewayError, InvalidRequest, UpstreamError
from isthmusd.core.headers import Headers, first
from isthmusd.framing.failures import Json, Said, clean, failure, loose, retry_after_s
from isthmusd.framing.fields import Fields

_STATUS_OF_WORD = {
    "invalid_request_error": 400,
    "BadRequestError": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout": 504,
    "timeout_error": 504,
}
"""Status of an error that came with HTTP 200, in a stream or as a whole answer."""


def encode_error(error: GatewayError) -> bytes:
    """Write an error body."""
    inner = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": inner})


def request_fault(message: str, param: str) -> InvalidRequest:
    """Blame the caller for a field."""
    return InvalidRequest(message, param=param or None)


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer of any OpenAI-compatible server."""
    found = loose(body)
    match found:
        case [only]:
            # Gemini's compatible endpoint wraps its error in an array.
            said = _said_in(_unwrapped(only))
        case _:
            said = _said_in(_unwrapped(found))
    wait_s, request_id = retry_after_s(headers), first(headers, "x-request-id")
    return failure(status, replace(said, retry_after_s=wait_s, request_id=request_id))


def decode_stream_error(json: bytes | msgspec.Raw) -> UpstreamError:
    """Read an error that came with HTTP 200: the value of `error`, or the whole event where it has no such member."""
    found = loose(json)
    said = _said_in(found)
    words = (said.code, said.type)
    status = _status_in(found) or next((_STATUS_OF_WORD[word] for word in words if word in _STATUS_OF_WORD), 500)
    return failure(status, said)


def raise_if_error(fields: Fields) -> None:
    """Raise the error that some servers answer with under HTTP 200, instead of what was asked for."""
    error = fields.raw("error")
    if error is not None:
        raise decode_stream_error(error)


def _unwrapped(found: Json) -> Json:
    match found:
        case {"error": inner}:
            return inner
        case _:
            return found


def _said_in(found: Json) -> Said:
    match found:
        case str():
            return Said(message=clean(found))
        case dict():
            texts = (found.get(name) for name in ("message", "detail", "msg", "error"))
            message = next((text for text in map(_text, texts) if text is not None), None)
            return Said(
                message=message,
                type=_word(found.get("type")),
                param=_word(found.get("param")),
                code=_word(found.get("code")),
            )
        case _:
            return Said()


def _text(value: Json) -> str | None:
    match value:
        case str():
            return clean(value)
        case [{"msg": str(text)}, *_]:
            # FastAPI's list of bad fields.
            return clean(text)
        case _:
            return None


def _word(value: Json) -> str | None:
    """A number is no code: some servers repeat the HTTP status there."""
    match value:
        case str(word) if word and len(word) <= 200:
            return clean(word)
        case _:
            return None


def _status(code: Json) -> int | None:
    match code:
        case int() | str() if (text := str(code)).isdigit() and len(text) == 3 and 400 <= int(text) <= 599:
            return int(text)
        case _:
            return None


def _status_in(found: Json) -> int | None:
    match found:
        case {"code": code}:
            return _status(code)
        case _:
            return None
