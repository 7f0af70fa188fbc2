"""HTTP/1.1 by hand: requests exactly as written, answers exactly as they came. No client library would send what some
tests must send, and none shows when each byte arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

LIMIT_S = 30.0
Headers = Sequence[tuple[str, str | bytes]]
JSON_TYPE: Headers = (("content-type", "application/json"),)
UNCACHED: Headers = (*JSON_TYPE, ("x-isthmus-cache", "never"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    """Names in lower case; the last of repeated ones."""
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object; a failed assertion if the answer is none in OpenAI's shape."""
        assert self.headers.get("content-type", "").startswith("application/json"), self
        error = self.json()["error"]
        assert error.keys() >= {"message", "type", "param", "code"}, error
        assert error["message"].strip(), error
        return error


class Exchange:
    """One request and its answer, on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = False
        self._left: int | None = None
        self.status = 0
        self.headers: dict[str, str] = {}

    async def send(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def head(self) -> int:
        """Read status and headers; interim answers are skipped."""
        while True:
            first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
            self.status = int(first.split(" ")[1])
            if self.status >= 200:
                break
        pairs = (line.split(":", 1) for line in lines)
        self.headers = {name.lower(): value.strip() for name, value in pairs}
        self._chunked = self.headers.get("transfer-encoding") == "chunked"
        length = self.headers.get("content-length")
        self._left = None if length is None else int(length)
        return self.status

    async def piece(self) -> bytes:
        """Read the next bytes of the body; empty at its clean end. A dirty end raises."""
        if self._chunked:
            size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
            content = await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            return content
        content = await self._reader.read(2**16 if self._left is None else min(self._left, 2**16))
        if self._left is not None:
            assert content or not self._left, "the body is shorter than promised"
            self._left -= len(content)
        return content

    async def rest(self) -> bytes:
        """Read the body to its end."""
        pieces: list[bytes] = []
        while content := await self.piece():
            pieces.append(content)
        return b"".join(pieces)

    async def until(self, mark: bytes) -> bytes:
        """Read the body until it holds `mark`."""
        content = b""
        while mark not in content:
            content += (piece := await self.piece())
            assert piece, content
        return content

    def leave(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()


@asynccontextmanager
async def connected(url: str, limit_s: float = LIMIT_S) -> AsyncIterator[Exchange]:
    """Open a connection for one exchange, which must end in time."""
    where = urlsplit(url)
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**20)
        try:
            yield Exchange(reader, writer)
        finally:
            writer.transport.abort()


def request(url: str, path: str, body: bytes = b"", *, method: str = "POST", headers: Headers = JSON_TYPE) -> bytes:
    """Write a request. A `host` in `headers` takes the place of the right one."""
    lines = [f"{method} {path} HTTP/1.1".encode()]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(b"host: " + urlsplit(url).netloc.encode())
    lines += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers
    ]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def ask(
    url: str,
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    headers: Headers = JSON_TYPE,
    limit_s: float = LIMIT_S,
) -> Response:
    """Make one request and read the whole answer."""
    async with connected(url, limit_s) as exchange:
        with suppress(ConnectionError):  # refused before it was read: the answer may be there already
            await exchange.send(request(url, path, body, method=method, headers=headers))
        status = await exchange.head()
        content = b"" if method == "HEAD" or status in (204, 304) else await exchange.rest()
        return Response(status=status, headers=exchange.headers, body=content)


def chat(model: str = "ok", **members: Any) -> bytes:
    """A small chat request."""
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hi"}], **members})
