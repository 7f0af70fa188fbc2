"""A provider for big bodies: it counts what it reads and writes while it does so, which the scripted one cannot. It
takes any `POST` or `PUT` as an upload, and answers any `GET` with as many bytes as the path's last segment says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = b"data: " + b"x" * 65_528 + b"\n\n"


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
            if head.startswith("get "):
                await self._flood(writer, int(head.split(" ")[1].rsplit("/", 1)[1]))
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

    async def _flood(self, writer: asyncio.StreamWriter, length: int) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n"
        writer.write(head.encode())
        while self.written_bytes < length:
            piece = PIECE[: length - self.written_bytes]
            writer.write(piece)
            await writer.drain()
            self.written_bytes += len(piece)
