"""From aiohttp's exceptions to ours, in one place. Nobody above `upstream/` knows the HTTP client."""

from __future__ import annotations

import aiohttp
from aiohttp.http import HttpProcessingError

from isthmusd.core.errors import (
    Garbled,
    GatewayError,
    InvalidRequest,
    Misconfigured,
    TimedOut,
    Told,
    Unreachable,
    UpstreamError,
)

SEND_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""What aiohttp raises until the answer's headers are there. A timeout is an OSError; ValueError is a header or method
that HTTP cannot carry."""

READ_FAILURES = (aiohttp.ClientError, OSError)
"""What reading a body raises."""

_Made = tuple[type[BaseException], type[GatewayError], str]

_TABLE: tuple[_Made, ...] = (
    (aiohttp.ConnectionTimeoutError, Unreachable, "the provider could not be reached in time; try again"),
    (TimeoutError, TimedOut, "the provider took too long; try again"),
    (aiohttp.InvalidURL, Misconfigured, "the provider's address is not valid; the gateway's operator must correct it"),
    (aiohttp.ClientConnectorCertificateError, Unreachable, "the provider's TLS certificate is not trusted"),
    (aiohttp.ClientConnectorError, Unreachable, "the provider could not be reached; try again"),
    (aiohttp.ClientResponseError, Garbled, "the provider's answer is not valid HTTP"),
    (HttpProcessingError, Garbled, "the provider's answer is not valid HTTP"),
    (aiohttp.ClientPayloadError, Garbled, "the provider's answer is not valid HTTP"),
    (aiohttp.ClientError, Unreachable, "the connection to the provider broke before an answer; try again"),
    (OSError, Unreachable, "the connection to the provider broke before an answer; try again"),
    (ValueError, InvalidRequest, "the request has a method or header that cannot be sent over HTTP"),
)
"""First match wins."""


def translate(error: BaseException) -> GatewayError:
    """Make our error of one of `SEND_FAILURES`. Its message names no host."""
    for kind, ours, message in _TABLE:
        if isinstance(error, kind):
            return ours(message, told=told_by(error)) if issubclass(ours, UpstreamError) else ours(message)
    raise error


def told_by(error: BaseException) -> Told:
    """Keep what the client library said, for the operator. URLs stay out: some hold keys."""
    if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)):
        return Told(detail=f"{type(error).__name__}: {error.message}"[:500])
    if isinstance(error, aiohttp.InvalidURL):
        return Told(detail=type(error).__name__)
    return Told(detail=f"{type(error).__name__}: {error}"[:500])
