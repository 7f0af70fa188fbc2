"""Fetches images and files from URLs that callers name, for targets that take bytes only.

Whoever chooses a URL must not choose what this machine can reach. So: http and https on listed ports only; names are
resolved by `_PublicResolver` and every address is checked, which is the address that is dialled (no cache and no second
lookup stands between, so a name that changes its mind gains nothing); the socket is opened only for an address that
passes once more, literals included; redirects are followed here, each checked like the first URL. No proxy, cookie,
credential or referrer is sent. What is read is bounded in size, also after decompression, and in time. Messages say
nothing of addresses.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from isthmusd.core.addresses import Network, is_public, is_within
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.media import Fetched
from isthmusd.upstream.lookup import OwnResolver
from isthmusd.upstream.options import MediaOptions

MAX_REDIRECT_COUNT = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {"user-agent": "isthmus/0.1", "accept": "*/*", "accept-encoding": "identity"}
NOT_PUBLIC = "is not at a public address"
UNREACHABLE = "cannot be reached at its URL"
BAD_URL = "has no valid http or https URL"
CODINGS = {"": 0, "identity": 0, "gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""Content coding to zlib's window; 0: as it is."""


class Resolver(Protocol):
    """Finds the addresses of a name; `OwnResolver` unless a test brings another."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = ...) -> list[ResolveResult]: ...

    async def close(self) -> None: ...


class MediaClient:
    """One per worker. `start` before the first `fetch`, `aclose` after the last."""

    def __init__(self, options: MediaOptions | None = None, resolver: Resolver | None = None) -> None:
        self._options = options or MediaOptions()
        self._resolver = resolver
        self._resources = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the session; it belongs to the running loop."""
        allowed = self._options.allow_private
        resolver = _PublicResolver(self._resolver or OwnResolver(), allowed)
        # A connector closes only a resolver that it made.
        self._resources.push_async_callback(resolver.close)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver,
                use_dns_cache=False,
                # A kept connection would answer for an address that was checked for another call.
                force_close=True,
                limit=self._options.connection_count,
                socket_factory=PublicSockets(allowed).open,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        self._session = await self._resources.enter_async_context(session)

    async def aclose(self) -> None:
        """Close every connection."""
        self._session = None
        await self._resources.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def fetch(self, url: str, limit: int) -> Fetched:
        """Give what is there; see `pipeline.ports.MediaFetcher`. Raises InvalidRequest."""
        if self._session is None:
            raise InvalidRequest("cannot be fetched while the gateway is shutting down")
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await self._follow(self._session, self._checked(url), limit)
        except TimeoutError:
            raise InvalidRequest(f"did not arrive within {self._options.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError):
            # What the client says names addresses.
            raise InvalidRequest(UNREACHABLE) from None

    async def _follow(self, session: aiohttp.ClientSession, url: URL, limit: int) -> Fetched:
        for _ in range(MAX_REDIRECT_COUNT + 1):
            async with session.get(url, headers=HEADERS, allow_redirects=False) as answer:
                if answer.status not in REDIRECTS:
                    return await _read(answer, limit)
                url = self._checked(answer.headers.get("location", ""), url)
        raise InvalidRequest(f"is behind more than {MAX_REDIRECT_COUNT} redirects")

    def _checked(self, text: str, base: URL | None = None) -> URL:
        """Parse a URL and refuse what may not be dialled. The addresses of a name are seen when it is resolved."""
        try:
            url = _parsed(text.strip())
            url = url if base is None else base.join(url)
            host, port = url.host, url.port
        except (ValueError, IndexError):
            # yarl looks for the end of some bracketed hosts beyond it: `https://[]@`.
            raise InvalidRequest(BAD_URL) from None
        if url.scheme not in {"http", "https"} or not host or port is None:
            raise InvalidRequest(BAD_URL)
        if url.user is not None or url.password is not None:
            raise InvalidRequest("has a URL with a user name or password, which is not sent")
        if port not in self._options.ports:
            raise InvalidRequest("is at a port that is not allowed")
        if _is_literal(host) and not _may_dial(host, self._options.allow_private):
            raise InvalidRequest(NOT_PUBLIC)
        return url


class _PublicResolver(AbstractResolver):
    """Gives the addresses of names that have public ones only: one of another kind among them is a trap."""

    def __init__(self, resolver: Resolver, allowed: Sequence[Network]) -> None:
        self._resolver = resolver
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not all(_may_dial(address["host"], self._allowed) for address in found):
            raise InvalidRequest(NOT_PUBLIC)
        return found

    async def close(self) -> None:
        await self._resolver.close()


class PublicSockets:
    """Opens sockets for addresses that may be dialled. The last one to ask, whatever way an address came here."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    def open(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, peer = address
        if not _may_dial(peer[0], self._allowed):
            raise OSError("not a public address")
        return socket.socket(family, kind, protocol)


def _may_dial(address: str, allowed: Sequence[Network]) -> bool:
    return is_public(address) or is_within(address, allowed)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> URL:
    """Read a URL; one that is encoded already stays as it is, since servers sign what they give out."""
    if not text:
        raise InvalidRequest("is behind a redirect that leads nowhere")
    return URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)


async def _read(answer: aiohttp.ClientResponse, limit: int) -> Fetched:
    if answer.status != 200:
        raise InvalidRequest(f"cannot be fetched: its server answered HTTP {answer.status}")
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding not in CODINGS:
        raise InvalidRequest("comes in a content coding that was not asked for")
    if (answer.content_length or 0) > limit:
        raise _too_large(limit)
    unpack = _Unpacking(CODINGS[coding], limit)
    while piece := await answer.content.readany():
        unpack.feed(piece)
    return Fetched(content=unpack.close(), content_type=answer.headers.get("content-type"))


class _Unpacking:
    """Collects a body and undoes its coding, never holding more than the limit."""

    def __init__(self, window: int, limit: int) -> None:
        self._inflate = zlib.decompressobj(window) if window else None
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take a piece. Raises InvalidRequest over the limit."""
        if self._inflate is None:
            self._keep(data)
            return
        try:
            # One byte more than may come is enough to know that there is too much.
            self._keep(self._inflate.decompress(data, self._limit - self._size + 1))
        except zlib.error:
            raise InvalidRequest("comes in a broken content coding") from None

    def close(self) -> bytes:
        """Give the whole. Raises InvalidRequest if its coding has no end."""
        if self._inflate is not None and not self._inflate.eof:
            raise InvalidRequest("comes in a broken content coding")
        return b"".join(self._pieces)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise _too_large(self._limit)
        self._pieces.append(piece)


def _too_large(limit: int) -> InvalidRequest:
    return InvalidRequest(f"is larger than {limit} bytes")
