"""Stands between a gateway and its Postgres, passes bytes on, and swallows or refuses them when told to. It is no
database: whatever is answered comes from the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.fakes.postgres import OWNER

PIECE = 65536


class StoreProxy:
    """A port of the loopback interface. What disturbs it may be called from any thread."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def connection_count(self) -> int:
        return len(self._serving)

    def url(self, database: str) -> str:
        """Where a database is behind the proxy."""
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def stall(self) -> None:
        """Pass nothing, and tell nobody."""
        self._do(self._flowing.clear)

    def cut(self) -> None:
        """Send away who comes, and take the connection from who is there."""
        self._do(self._cut.set)

    def mend(self) -> None:
        """Pass on everything again."""
        self._do(self._flowing.set)
        self._do(self._cut.clear)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StoreProxy]:
        """Serve until the context is left."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._cut.set()
            while self._serving:
                await asyncio.wait(self._serving)
            await asyncio.sleep(0)  # aborted connections close in the loop's next turn

    def _enter(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _do(self, change: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(change)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._enter()
        try:
            if not self._cut.is_set():
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._server)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._pass(reader, back)),
            asyncio.create_task(self._pass(there, writer)),
            asyncio.create_task(self._cut.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            back.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._flowing.wait()
                writer.write(piece)
                await writer.drain()
