"""What providers' failures have in common, whatever their wire format: statuses, waits, and texts fit to be shown. How
a format words them is its dialect's `errors.py`; which of them is retried is `core/errors.py`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

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

_MODEL_FAILED = 424

_BY_STATUS: dict[int, type[UpstreamError]] = {
    401: KeyRejected,
    402: KeyRejected,
    403: KeyRejected,
    408: TimedOut,
    409: Overloaded,
    _MODEL_FAILED: Overloaded,
    429: Throttled,
    504: TimedOut,
    524: TimedOut,
}
"""What is not in here: 4xx is Rejected, 5xx Overloaded. 402 is an account without money, so the key's fault; 409 and
424 (AWS: the model failed, not the request) are worth another try."""

_SECRET = re.compile(
    r"\bBearer\s+\S{6,}"
    r"|\b(?:sk|pk|rk|isk|gsk|xai|pplx|nvapi|hf|fw|csk)[-_][\w*.-]*[*\d][\w*.-]*"
    r"|\bAIza[\w-]{8,}|\bya29\.[\w.-]{8,}|\bAQ\.[\w.-]{8,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bABSK[\w+/=]{8,}|\bbedrock-api-key-\S{8,}"
    # What AWS signed, which it repeats when the signature is not good, and tokens of identity providers.
    r"|\b[Xx]-[Aa]mz-[Ss]ecurity-[Tt]oken:\S+|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"
    # Cohere's keys have no prefix: 40 letters and digits of all kinds.
    r"|\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])[A-Za-z0-9]{40}\b"
)
"""Keys of known forms, shortened ones included. A digit or a star tells them from words such as `sk-learn`."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a provider says of its failure, its texts cleaned."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    request_id: str | None = None
    retry_after_s: float | None = None
    detail: str | None = None
    """For the operator, where it is more than the message."""
    status: int | None = None
    """What was answered, where the status that it stands for is another."""


def failure(status: int, said: Said, kind: type[UpstreamError] | None = None) -> UpstreamError:
    """Make the error of an answer with this status; `kind` where the dialect knows better than the status."""
    told = Told(status=said.status or status, request_id=said.request_id, detail=said.detail or said.message)
    if not 400 <= status <= 599:
        return Garbled(f"The provider gave an unexpected answer (HTTP {status}); try again.", told=told)
    kind = kind or _BY_STATUS.get(status, Rejected if status < 500 else Overloaded)
    if status >= 500 or status == _MODEL_FAILED:
        failed = f"The provider failed (HTTP {status}); try again."
        return kind(failed, retry_after_s=said.retry_after_s, told=told)
    caused_by_caller = kind is Rejected
    if caused_by_caller:
        # Of other failures the caller sees the gateway's own type: OpenAI calls a bad key an invalid request.
        told = replace(told, type=said.type)
    return kind(
        said.message or f"The provider refused the request (HTTP {status}).",
        code=None if kind is KeyRejected else said.code,
        param=said.param,
        http_status=status if caused_by_caller or status in (402, 409) else None,
        retry_after_s=said.retry_after_s,
        told=told,
    )


def answer_fault(message: str, param: str) -> Garbled:
    """Blame the provider for a field of its answer."""
    del param  # the message names the field; `param` would point the caller at his own request
    return Garbled(f"The provider's answer broke its format: {message}")


def ended_early() -> Interrupted:
    """Make the failure of a stream that stopped without its terminator."""
    return Interrupted("The provider's stream ended early: the answer is incomplete; try again.")


def loose(json: bytes | msgspec.Raw) -> Json:
    """Parse what may be anything: an HTML page of a proxy is no JSON and says nothing worth showing."""
    try:
        return msgspec.json.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def clean(text: str | None) -> str | None:
    """Make a provider's text fit to be shown: no secrets, no control characters, not too long."""
    shown = _SECRET.sub("[redacted]", _CONTROL.sub(" ", (text or "")[: MAX_MESSAGE * 2])).strip()
    return shown[:MAX_MESSAGE] or None


def text_of(value: Json) -> str | None:
    """Clean what may be no text."""
    match value:
        case str():
            return clean(value)
        case _:
            return None


def retry_after_s(headers: Headers) -> float | None:
    """Read the wait: what `retry-after` says, else when the limit that is used up is free again.

    A date is not understood, since that needs a clock.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = first(headers, name)
        try:
            seconds = float(value) * unit if value is not None else -1.0
        except ValueError:
            continue
        if seconds >= 0 and math.isfinite(seconds):
            return seconds
    used_up = [what for what in _LIMITS if first(headers, f"x-ratelimit-remaining-{what}") == "0"]
    waits = (_duration_s(first(headers, f"x-ratelimit-reset-{what}")) for what in used_up)
    return max((wait for wait in waits if wait is not None), default=None)


_LIMITS = ("requests", "tokens")
"""https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers"""
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SECONDS = (86_400, 3_600, 60, 1, 0.001)


def _duration_s(text: str | None) -> float | None:
    """Read `6m0s`, `1h2m3.5s`, `120ms`."""
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        return None
    return sum(float(count) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True) if count)
