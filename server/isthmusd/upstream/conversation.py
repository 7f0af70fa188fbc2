"""One request's answer, read off a connection of aiohttp's pool. What is sent, and where to, is `direct.py`.

For as long as an answer lasts this takes the place of the connection's own protocol: heads go through aiohttp's parser,
bodies through `framing/http1.py`, and their bytes wait here for the one who reads them. aiohttp's way of the same keeps
boundaries of chunks, restarts its parser at each read and wakes its reader twice, which was a fifth of a stream's cost.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpResponseParser, RawResponseMessage
from multidict import CIMultiDictProxy

from isthmusd.framing.http1 import Body, ChunkedBody, EndlessBody, SizedBody

MAX_HEADER_BYTES = 65_536
"""Of one line of a head."""
MAX_HEAD_BYTES = 1_048_576
HIGH_WATER_BYTES = 262_144
"""What may wait here; then reading pauses, so that a slow caller's back-pressure reaches the provider."""
BODILESS = frozenset({204, 304})

_HEAD_END = re.compile(rb"\n\r?\n")


class Conversation(asyncio.Protocol):
    """Made when a request is about to be written; read by one task. The connection returns to the pool by itself at the
    body's end; `close` takes it out at any other time.
    """

    def __init__(self, connection: Connection, handler: ResponseHandler, transport: asyncio.Transport) -> None:
        self._connection: Connection | None = connection
        self._handler = handler
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._bodiless = False
        self._held = b""
        """The beginning of a head."""
        self._interim_bytes = 0
        """Of answers before the one that counts: without a bound they would come for ever."""
        self._message: RawResponseMessage | None = None
        self._body: Body = SizedBody(0)
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.total_bytes = 0
        """Of the body, so far."""

    @property
    def status(self) -> int:
        """The answer's status, once `head` has returned."""
        return 0 if self._message is None else self._message.code

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The answer's headers, once `head` has returned."""
        if self._message is None:
            raise aiohttp.ClientConnectionError("no answer yet")
        return self._message.headers

    @property
    def content(self) -> Conversation:
        """What the body is read from."""
        return self

    @property
    def compression(self) -> str | None:
        """How the body is packed, if aiohttp can unpack it."""
        return None if self._message is None else self._message.compression

    async def ask(self, request: bytes, *, bodiless: bool) -> None:
        """Write a request and wait for its answer's head; to a `bodiless` one, HEAD, no body follows."""
        self._bodiless = bodiless
        self._transport.set_protocol(self)
        self._transport.write(request)
        while self._message is None:
            if self._failure is not None:
                raise self._failure
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def readany(self) -> bytes:
        """Give what has arrived of the body; b"" at its end. Raises ClientError, OSError."""
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.read_nowait()

    def read_nowait(self) -> bytes:
        """Give what is here."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def is_eof(self) -> bool:
        """Tell whether all of the body is here."""
        return self._ended

    def close(self) -> None:
        """Close the connection, unless the body's end was seen."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._message is None:
            self._feed_head(data)
        else:
            self._feed_body(data)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, once."""
        self._handler.connection_lost(exc)
        if not self._ended and self._failure is None:
            self._lose(exc)
        self._wake()

    def pause_writing(self) -> None:
        """Called by the loop."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._handler.resume_writing()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _feed_head(self, data: bytes) -> None:
        held = (self._held + data).lstrip(b"\r\n")
        while (end := _HEAD_END.search(held)) is not None:
            try:
                message = _parse(held[: end.end()], self._handler, self._loop)
            except HttpProcessingError as error:
                self._fail(error)
                return
            held = held[end.end() :]
            if message.code < 100 or message.code == 101:
                self._fail(HttpProcessingError(code=502, message="no status that answers this request"))
                return
            # Interim answers (100 Continue, 103 Early Hints) precede the one that counts.
            if message.code >= 200:
                self._begin(message, held)
                return
            self._interim_bytes += end.end()
        self._held = held
        if len(held) + self._interim_bytes > MAX_HEAD_BYTES:
            self._fail(HttpProcessingError(code=400, message="the head is too long"))

    def _begin(self, message: RawResponseMessage, rest: bytes) -> None:
        self._message = message
        self._held = b""
        if message.should_close or message.upgrade:
            self._handler.force_close()
        self._body = _body_of(message, self._bodiless)
        if self._body.ended:
            if rest:
                self._handler.force_close()
            self._end()
        elif rest:
            self._feed_body(rest)

    def _feed_body(self, data: bytes) -> None:
        if self._ended or self._failure is not None:
            self._handler.force_close()  # nobody asked for what comes now
            return
        try:
            piece = self._body.feed(data)
        except ValueError as error:
            self._fail(aiohttp.ClientPayloadError(str(error)))
            return
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self.total_bytes += len(piece)
        if self._body.ended:
            if self._body.surplus:
                self._handler.force_close()
            self._end()
        elif self._size > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _lose(self, error: Exception | None) -> None:
        if self._message is not None and error is None and self._body.close():
            self._end()
        elif self._message is not None:
            reason = "" if error is None else f": {error}"
            self._fail(aiohttp.ClientPayloadError(f"the connection ended within the body{reason}"))
        elif isinstance(error, OSError):
            self._fail(aiohttp.ClientOSError(*error.args))
        else:
            self._fail(aiohttp.ServerDisconnectedError())

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._handler.force_close()

    def _end(self) -> None:
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if connection.protocol is not None and connection.transport is not None:
            self._transport.set_protocol(self._handler)
        connection.release()


def _parse(head: bytes, handler: ResponseHandler, loop: asyncio.AbstractEventLoop) -> RawResponseMessage:
    # A parser per head: without a body to wait for it is cheap, and remembers nothing of the answer before.
    parser: Any = HttpResponseParser(
        handler,
        loop,
        HIGH_WATER_BYTES,
        payload_exception=aiohttp.ClientPayloadError,
        response_with_body=False,
        read_until_eof=True,
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    messages, _, _ = parser.feed_data(head)
    if not messages:
        raise HttpProcessingError(code=400, message="the head is not complete")
    return messages[0][0]


def _body_of(message: RawResponseMessage, bodiless: bool) -> Body:
    """RFC 9112, section 6.3. The parser has refused heads that say more than one thing."""
    if bodiless or message.code in BODILESS:
        return SizedBody(0)
    if message.chunked:
        return ChunkedBody()
    length = message.headers.get("content-length")
    return EndlessBody() if length is None else SizedBody(int(length))
