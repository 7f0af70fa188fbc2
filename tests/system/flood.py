"""A provider for big bodies: it counts what it reads and writes while it does so, which the scripted one cannot. It
takes any upload, answers any `GET` with as many bytes as the path's last segment says, and a chat with a stream of as
many events as its `max_tokens`.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = b"x" * 2**16
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"flood","choices":'
    b'[{"index":0,"delta":{"content":"' + PIECE + b'"},"finish_reason":null}]}\n\n'
)
END = EVENT.replace(PIECE, b"").replace(b"null", b'"stop"') + b"data: [DONE]\n\n"
MAX_TOKENS = re.compile(rb'"max_tokens":\s*(\d+)')


class FloodProvider:
    """One instance serves one event loop; the counters may be read from anywhere."""

    def __init__(self) -> None:
        self.read_bytes = 0
        self.written_bytes = 0
        self.ended = False
        """Whether the last upload was read to its end."""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # Cancelled by __aexit__; swallowed, or the streams protocol would report it as an unhandled error.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            self.read_bytes, self.written_bytes, self.ended = 0, 0, False
            path = head.split(" ")[1]
            if head.startswith("get "):
                whole, rest = divmod(int(path.rsplit("/", 1)[1]), len(PIECE))
                await self._flood(writer, "application/octet-stream", [PIECE] * whole + [PIECE[:rest]])
            elif path.endswith("/chat/completions"):
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                asked = MAX_TOKENS.search(await reader.readexactly(length))
                assert asked is not None
                await self._flood(writer, "text/event-stream", [EVENT] * int(asked[1]) + [END])
            else:
                await self._drain(reader, head)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        self._tasks.discard(task)
        writer.close()

    async def _drain(self, reader: asyncio.StreamReader, head: str) -> None:
        if "transfer-encoding: chunked" in head:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
                self.read_bytes += size
            await reader.readline()
        else:
            left = int(head.split("content-length: ")[1].split("\r\n", maxsplit=1)[0])
            while left and (piece := await reader.read(min(left, 2**16))):
                left -= len(piece)
                self.read_bytes += len(piece)
        self.ended = True

    async def _flood(self, writer: asyncio.StreamWriter, kind: str, pieces: list[bytes]) -> None:
        length = sum(map(len, pieces))
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            self.written_bytes += len(piece)
