"""The short way to a provider: a request with its body at hand is written at once, to a connection of aiohttp's pool.

Of aiohttp this keeps the pool (name lookup, TLS, both IP families, keep-alive) and the parser, and leaves out the
session: redirects, cookies, tracing, timers and a task per request cost a call that uses none of them as much as all
that the gateway itself does. Bodies that stream take the session (`http.py`).

See docs/decisions/0009-requests-written-by-hand.md for what of aiohttp this relies on.
"""

from __future__ import annotations

import re
from functools import lru_cache

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy
from yarl import URL

from isthmusd.core.request import Outbound

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that say nothing of a body if they have none: RFC 9110, section 8.6."""
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"})
"""Headers that say where the request ends, or that it is none: nobody above decides them."""
MAX_HEADER_BYTES = 65_536
READ_BUFFER_BYTES = 131_072
"""Reading pauses at twice as much, so a slow caller's back-pressure reaches the provider."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[!-~]*")
_ORIGIN = re.compile(r"https?://[^/?#@\\\s]+(?=[/?#]|\Z)", re.IGNORECASE)


class DirectAnswer:
    """An answer whose body is still to be read. The connection returns to the pool by itself at the body's end."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(
        self, connection: Connection, status: int, headers: CIMultiDictProxy[str], content: StreamReader
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self._connection: Connection | None = connection
        content.on_eof(self._release)

    def close(self) -> None:
        """Close the connection, unless the body's end was seen."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.release()
            self._connection = None


class DirectWay:
    """Asks over the connections of one pool; belongs to the pool's loop."""

    def __init__(self, connector: aiohttp.TCPConnector, connect_timeout_s: float) -> None:
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s)
        self._origin = lru_cache(maxsize=256)(_request_to)

    async def ask(self, outbound: Outbound, decode: bool) -> DirectAnswer:
        """Send, and wait for the answer's headers. Raises what aiohttp raises; ValueError if HTTP cannot carry it."""
        origin, target = split_url(outbound.url)
        request = self._origin(origin)
        written = write_head(outbound, target, request.headers["Host"])
        try:
            connection = await self._connector.connect(request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error
        try:
            return await _exchange(connection, outbound, written, decode)
        except BaseException:
            connection.close()
            raise


def split_url(url: str) -> tuple[str, str]:
    """Give the origin, and what is asked of it, as it was written. Raises InvalidURL, ValueError."""
    match = _ORIGIN.match(url)
    if match is None:
        raise aiohttp.InvalidURL(url)
    target = url[match.end() :]
    if "#" in target:
        target = target.partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    if not _TARGET.fullmatch(target):
        raise ValueError("the path has characters that must be percent-encoded")
    return match.group(), target


def write_head(outbound: Outbound, target: str, host: str) -> bytes:
    """Write a request up to its body. Raises ValueError for whatever could be read as another line or request."""
    method, body = outbound.method, outbound.body
    lines = [f"{_token(method)} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in outbound.headers:
        lines.append(f"{_name(name)}: {value}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    elif method not in BODILESS:
        lines.append("Content-Length: 0")
    lines.append("\r\n")
    text = "\r\n".join(lines)
    # One of each per line, and no more: then no value holds any.
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a header's value holds a line end or a NUL")
    return text.encode("utf-8", "surrogateescape")


async def _exchange(connection: Connection, outbound: Outbound, head: bytes, decode: bool) -> DirectAnswer:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        skip_payload=outbound.method == "HEAD",
        read_until_eof=True,
        auto_decompress=decode,
        read_bufsize=READ_BUFFER_BYTES,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    transport.write(head + outbound.body if outbound.body else head)
    return await _answer(connection, protocol)


async def _answer(connection: Connection, protocol: ResponseHandler) -> DirectAnswer:
    while True:
        message, content = await protocol.read()
        # Interim answers (100 Continue, 103 Early Hints) precede the one that counts.
        if not 100 <= message.code < 200 or message.code == 101:
            return DirectAnswer(connection, message.code, message.headers, content)


def _request_to(origin: str) -> aiohttp.ClientRequest:
    """Make what the pool finds connections by; it is never sent."""
    return aiohttp.ClientRequest("GET", URL(origin, encoded=True))


@lru_cache(maxsize=64)
def _token(method: str) -> str:
    if not _TOKEN.fullmatch(method):
        raise ValueError("the method is no token")
    return method


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower() in OURS:
        raise ValueError("a header's name is no token, or not the caller's to choose")
    return name
