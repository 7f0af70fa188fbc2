"""Errors in OpenAI's shape, written for callers and read from providers. Which of them is retried is `core/errors.py`.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.errors import (
    Garbled,
    GatewayError,
    InvalidRequest,
    KeyRejected,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Told,
    UpstreamError,
)
from isthmusd.core.headers import Headers, first
from isthmusd.framing.fields import Fields

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
"""What is not in here: 4xx is Rejected, 5xx Overloaded. 402 is an account without money, so the key's fault."""

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

_SECRET = re.compile(
    r"\bBearer\s+\S{6,}"
    r"|\b(?:sk|pk|rk|isk|gsk|xai|pplx|nvapi|hf|fw|csk)[-_][\w*.-]*[*\d][\w*.-]*"
    r"|\bAIza[\w-]{8,}"
)
"""Keys of known forms, shortened ones included. A digit or a star tells them from words such as `sk-learn`."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a provider's error body says, cleaned."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | None = None
    status: int | None = None


def encode_error(error: GatewayError) -> bytes:
    """Write an error body."""
    inner = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": inner})


def request_fault(message: str, param: str) -> InvalidRequest:
    """Blame the caller for a field."""
    return InvalidRequest(message, param=param or None)


def answer_fault(message: str, param: str) -> Garbled:
    """Blame the provider for a field of its answer."""
    del param  # the message names the field; `param` would point the caller at his own request
    return Garbled(f"The provider's answer broke its format: {message}")


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """Read an error answer of any OpenAI-compatible server."""
    return _error_of(status, _said(body), _retry_after_s(headers), first(headers, "x-request-id"))


def decode_stream_error(json: bytes | msgspec.Raw) -> UpstreamError:
    """Read an error that came with HTTP 200: the value of `error`, or the whole event where it has no such member."""
    said = _said_in(_loose(json))
    words = (said.code, said.type)
    status = said.status or next((_STATUS_OF_WORD[word] for word in words if word in _STATUS_OF_WORD), 500)
    return _error_of(status, said, None, None)


def raise_if_error(fields: Fields) -> None:
    """Raise the error that some servers answer with under HTTP 200, instead of what was asked for."""
    error = fields.raw("error")
    if error is not None:
        raise decode_stream_error(error)


def _error_of(status: int, said: _Said, retry_after_s: float | None, request_id: str | None) -> UpstreamError:
    if not 400 <= status <= 599:
        told = Told(status=status, request_id=request_id, detail=said.message)
        return Garbled(f"The provider gave an unexpected answer (HTTP {status}); try again.", told=told)
    kind = _BY_STATUS.get(status, Rejected if status < 500 else Overloaded)
    caused_by_caller = kind is Rejected
    told = Told(
        status=status,
        # Of other failures the caller sees the gateway's own type: OpenAI calls a bad key an invalid request.
        type=said.type if caused_by_caller else None,
        request_id=request_id,
        detail=said.message,
    )
    if status < 500:
        message = said.message or f"The provider refused the request (HTTP {status})."
        code, param = said.code, said.param
    else:
        message, code, param = f"The provider failed (HTTP {status}); try again.", None, None
    if kind is KeyRejected:
        code = None
    keeps_status = caused_by_caller or status in (402, 409)
    return kind(
        message,
        code=code,
        param=param,
        http_status=status if keeps_status else None,
        retry_after_s=retry_after_s,
        told=told,
    )


def _said(body: bytes) -> _Said:
    found = _loose(body)
    match found:
        case [only]:
            # Gemini's compatible endpoint wraps its error in an array.
            return _said_in(_unwrapped(only))
        case _:
            return _said_in(_unwrapped(found))


def _unwrapped(found: Json) -> Json:
    match found:
        case {"error": inner}:
            return inner
        case _:
            return found


def _said_in(found: Json) -> _Said:
    match found:
        case str():
            return _Said(message=_clean(found))
        case dict():
            texts = (found.get(name) for name in ("message", "detail", "msg", "error"))
            message = next((text for text in map(_text, texts) if text is not None), None)
            code = found.get("code")
            return _Said(
                message=message,
                type=_word(found.get("type")),
                param=_word(found.get("param")),
                code=_word(code),
                status=_status(code),
            )
        case _:
            return _Said()


def _text(value: Json) -> str | None:
    match value:
        case str():
            return _clean(value)
        case [{"msg": str(text)}, *_]:
            # FastAPI's list of bad fields.
            return _clean(text)
        case _:
            return None


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


def _word(value: Json) -> str | None:
    """A number is no code: some servers repeat the HTTP status there."""
    match value:
        case str(word) if word and len(word) <= 200:
            return _clean(word)
        case _:
            return None


def _status(code: Json) -> int | None:
    match code:
        case int() | str() if (text := str(code)).isdigit() and len(text) == 3 and 400 <= int(text) <= 599:
            return int(text)
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
