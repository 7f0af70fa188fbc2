"""The short way to a provider: a request with its body at hand is written at once, to a connection of aiohttp's pool.

Of aiohttp this keeps the pool (name lookup, TLS, both IP families, keep-alive) and the parser, and leaves out the
session: redirects, cookies, tracing, timers and a task per request cost a call that uses none of them as much as all
that the gateway itself does. Bodies that stream take the session (`http.py`).

See docs/decisions/0009-requests-written-by-hand.md for what of aiohttp this relies on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from isthmusd.core.request import Outbound
from isthmusd.upstream.conversation import Conversation
from isthmusd.upstream.packing import UnpackedBody

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that say nothing of a body if they have none: RFC 9110, section 8.6."""
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"})
"""Headers that say where the request ends, or that it is none: nobody above decides them."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[!-~]*")
_ORIGIN = re.compile(r"https?://[^/?#@\\\s]+(?=[/?#]|\Z)", re.IGNORECASE)


class DirectAnswer(Protocol):
    """An answer whose body is still to be read."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> CIMultiDictProxy[str]: ...

    @property
    def content(self) -> Content: ...

    def close(self) -> None:
        """Close the connection, unless the body's end was seen."""
        ...


class Content(Protocol):
    """A body that is read once. aiohttp's streams fit, too."""

    total_bytes: int

    async def readany(self) -> bytes: ...

    def read_nowait(self) -> bytes: ...

    def is_eof(self) -> bool: ...


class DirectWay:
    """Asks over the connections of one pool; belongs to the pool's loop."""

    def __init__(self, connector: aiohttp.TCPConnector, connect_timeout_s: float) -> None:
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s)
        self._origin = lru_cache(maxsize=256)(_request_to)

    async def ask(self, outbound: Outbound, decode: bool) -> DirectAnswer:
        """Send, and wait for the answer's headers. Raises what aiohttp raises; ValueError if HTTP cannot carry it."""
        origin, target = split_url(outbound.url)
        place = self._origin(origin)
        written = write_head(outbound, target, place.headers["Host"])
        try:
            connection = await self._connector.connect(place, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None:
            connection.close()
            raise aiohttp.ServerDisconnectedError
        answer = Conversation(connection, handler, transport)
        try:
            request = written + outbound.body if outbound.body else written
            await answer.ask(request, bodiless=outbound.method == "HEAD")
            if decode and answer.compression is not None:
                return _Unpacked(answer, UnpackedBody(answer, answer.compression))
        except BaseException:
            answer.close()
            raise
        return answer


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


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """A conversation whose body is unpacked on its way."""

    conversation: Conversation
    content: UnpackedBody

    @property
    def status(self) -> int:
        return self.conversation.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self.conversation.headers

    def close(self) -> None:
        self.conversation.close()


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
