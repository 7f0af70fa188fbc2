"""Sends to targets over HTTP/1.1 with aiohttp. Which host, which headers and for how long is decided above: nothing is
added here, no redirect is followed, no cookie kept, no proxy read from the environment, no deadline of its own set.

A kept-alive connection may be closed by the provider at the very moment we reuse it. aiohttp repeats idempotent
requests itself; a POST is repeated here, if the connection looks as if the provider never read it (`_is_stale`).
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from isthmusd.core.errors import Garbled, GatewayError, Interrupted, Unreachable
from isthmusd.core.headers import Headers, collect_headers
from isthmusd.core.request import Outbound
from isthmusd.upstream.conversation import HIGH_WATER_BYTES, MAX_HEADER_BYTES
from isthmusd.upstream.direct import Content, DirectAnswer, DirectWay
from isthmusd.upstream.failure import READ_FAILURES, SEND_FAILURES, told_by, translate
from isthmusd.upstream.options import UpstreamOptions
from isthmusd.upstream.quiet import QuietConnector

STALE_WITHIN_S = 1.0
"""A connection that was dead before we used it says so within a round trip; later, the provider died while working."""
MAX_STALE_COUNT = 3
"""How many dead connections of the pool one call may meet. They leave the pool, so the next one is rarely dead."""
LARGE_BODY_BYTES = 2**20
"""Above it a body is written in pieces: in one piece it would hold the loop, and aiohttp warns of it."""
NOT_ADDED = ("accept", "accept-encoding", "user-agent", "content-type")


class HttpUpstream:
    """One pool of connections; one instance per worker. `start` before the first `send`, `aclose` after the last."""

    def __init__(self, options: UpstreamOptions | None = None) -> None:
        self._options = options or UpstreamOptions()
        self._resources = AsyncExitStack()
        self._ways: _Ways | None = None

    async def start(self) -> None:
        """Open the pool; it belongs to the running loop."""
        connector = QuietConnector(
            limit=0,
            limit_per_host=0,
            keepalive_timeout=self._options.keep_alive_s,
            ttl_dns_cache=self._options.dns_cache_s,
            socket_factory=_open_socket,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._options.connect_timeout_s),
            skip_auto_headers=NOT_ADDED,
            read_bufsize=HIGH_WATER_BYTES // 2,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        await self._resources.enter_async_context(session)
        self._ways = _Ways(session, DirectWay(connector, self._options.connect_timeout_s))

    async def aclose(self) -> None:
        """Close every connection, used or idle."""
        self._ways = None
        await self._resources.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def send(self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True) -> Exchange:
        """Send when the context is entered; leaving it before the body's clean end closes the connection."""
        if self._ways is None:
            raise Unreachable("the gateway is shutting down; try again")
        return Exchange(self._ways, outbound, None if upload is None else _Upload(upload), decode)


class HttpReply:
    """An answer whose body is read once: whole or in chunks."""

    __slots__ = ("_content", "headers", "status")

    def __init__(self, response: _Response, headers: Headers) -> None:
        self.status: int = response.status
        self.headers: Headers = headers
        """Bytes outside ASCII are as `surrogateescape` leaves them."""
        self._content: Content = response.content

    async def read(self, limit: int) -> bytes:
        """Read the whole body. Raises Garbled over `limit` bytes, Unreachable if the connection breaks."""
        content = self._content
        pieces: list[bytes] = []
        size = 0
        try:
            if content.is_eof() and content.total_bytes <= limit:
                return content.read_nowait()
            while piece := await content.readany():
                size += len(piece)
                if size > limit:
                    raise Garbled("the provider's answer is too large for this gateway")
                pieces.append(piece)
        except READ_FAILURES as error:
            raise Unreachable("the connection to the provider broke within its answer", told=told_by(error)) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def next_chunk(self) -> bytes:
        """Give what has arrived; b"" at a clean end. Raises Interrupted when cut."""
        try:
            return await self._content.readany()
        except READ_FAILURES as error:
            raise Interrupted("the provider's stream broke before its end", told=told_by(error)) from error


class Exchange:
    """One request and its answer. Entered once, by one task."""

    __slots__ = ("_decode", "_outbound", "_response", "_upload", "_ways", "fresh")

    def __init__(self, ways: _Ways, outbound: Outbound, upload: _Upload | None, decode: bool) -> None:
        self._ways = ways
        self._outbound = outbound
        self._upload = upload
        self._decode = decode
        self._response: _Response | None = None
        self.fresh = False
        """A socket was opened for the running attempt, so it does not use a kept-alive connection."""

    async def __aenter__(self) -> HttpReply:
        token = _current.set(self)
        try:
            response = self._response = await self._request()
        finally:
            _current.reset(token)
        headers = collect_headers(response.headers.items())
        if self._decode and "content-encoding" in headers:
            # They describe the bytes on the wire, which the caller never sees.
            headers = {k: v for k, v in headers.items() if k not in {"content-encoding", "content-length"}}
        return HttpReply(response, headers)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # At the body's end the connection is back in the pool already, and this does nothing.
        if self._response is not None:
            self._response.close()

    async def _request(self) -> _Response:
        loop = asyncio.get_running_loop()
        stale_count = 0
        while True:
            self.fresh = False
            sent_at = loop.time()
            try:
                return await self._try()
            except SEND_FAILURES as error:
                if self._upload is not None and self._upload.failure is not None:
                    raise self._upload.failure from None
                if stale_count == MAX_STALE_COUNT or not self._is_stale(error, loop.time() - sent_at):
                    raise translate(error) from error
                stale_count += 1

    async def _try(self) -> _Response:
        outbound = self._outbound
        body: _Upload | io.BytesIO
        if self._upload is not None:
            body = self._upload
        elif outbound.body is not None and len(outbound.body) > LARGE_BODY_BYTES:
            body = io.BytesIO(outbound.body)
        else:
            return await self._ways.direct.ask(outbound, self._decode)
        return await self._ways.session.request(
            outbound.method,
            URL(outbound.url, encoded=True),
            headers=outbound.headers,
            data=body,
            allow_redirects=False,
            auto_decompress=self._decode,
        )

    def _is_stale(self, error: BaseException, after_s: float) -> bool:
        """Tell whether the provider closed the kept-alive connection before it read the request.

        Certainty is impossible; a reused connection that dies at once, without one byte of an answer, is how it looks.
        A body that streams is gone by then and cannot be repeated.
        """
        died = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError))
        return died and not self.fresh and self._upload is None and after_s < STALE_WITHIN_S


class _Upload:
    """A streamed body. aiohttp hides what goes wrong in the iterator, so its failure is kept here."""

    __slots__ = ("_source", "failure")

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.failure: GatewayError | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._source:
                if piece:  # an empty chunk would end the body
                    yield piece
        except GatewayError as error:
            self.failure = error
            raise


_Response = aiohttp.ClientResponse | DirectAnswer


@dataclass(frozen=True, slots=True)
class _Ways:
    """Two ways of asking over one pool of connections."""

    session: aiohttp.ClientSession
    direct: DirectWay


_current: ContextVar[Exchange | None] = ContextVar("isthmus_exchange", default=None)


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """Open a socket for the pool and tell the exchange that runs in this context; aiohttp has no cheaper hook."""
    exchange = _current.get()
    if exchange is not None:
        exchange.fresh = True
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return opened
