"""One admin address for two servers: gRPC goes on to a worker, everything else to the supervisor's own HTTP. It carries
bytes and reads none but the first: who may do what is decided where they arrive.

A connection that opens with HTTP/2's preface is gRPC; HTTP/1.1 begins otherwise. Each direction holds at most what the
transports buffer (about 192 KiB): who reads slowly slows down who writes. Either side may end its direction first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from isthmusd.edge.admin_socket import listening
from isthmusd.edge.errors import AddressInUse
from isthmusd.edge.options import Address, AdminAddress

PREFACE = b"PRI * HTTP/2.0"
OPENING_S = 10.0
"""How long the first bytes may take."""
QUIET_S = 120.0
"""So long nothing may pass on a connection of HTTP: longer than between two scrapes. Of gRPC's, workers take care."""
CLOSING_S = 5.0
"""How long the last bytes may take."""
MOST = 256
"""Connections at once."""
CHUNK = 64 * 1024

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Splice:
    """Accepts at the admin address. Served once, from one loop; it owns every connection's task."""

    def __init__(
        self,
        http: Path,
        workers: Sequence[Path],
        *,
        most: int = MOST,
        opening_s: float = OPENING_S,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._http = http
        self._workers = tuple(workers)
        self._most = most
        self._opening_s = opening_s
        self._quiet_s = quiet_s
        self._turn = 0
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def connection_count(self) -> int:
        """How many connections are carried now."""
        return len(self._carrying)

    @asynccontextmanager
    async def serving(self, address: AdminAddress) -> AsyncGenerator[None]:
        """Accept while the block runs, then cut what is still open. Raises AddressInUse."""
        async with AsyncExitStack() as stack:
            server = await self._listen(address, stack)
            try:
                yield
            finally:
                server.close()
                for task in self._carrying:
                    task.cancel()
                await asyncio.gather(*self._carrying, return_exceptions=True)
                await server.wait_closed()

    async def _listen(self, address: AdminAddress, stack: AsyncExitStack) -> asyncio.Server:
        match address:
            case Address(host=host, port=port):
                try:
                    return await asyncio.start_server(self._arrived, host, port, limit=CHUNK)
                except OSError as error:
                    raise AddressInUse(f"--admin {address} cannot be served: {error.strerror}") from error
            case _:
                listener = stack.enter_context(listening(address))
                return await asyncio.start_unix_server(self._arrived, sock=listener, limit=CHUNK)

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._carrying) >= self._most:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._carry((reader, writer)))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, caller: Stream) -> None:
        reader, writer = caller
        try:
            opening = await self._opening(reader)
            server = await self._server(opening)
            if server is None:
                return
            try:
                server[1].write(opening)
                async with asyncio.timeout(None if opening == PREFACE else self._quiet_s) as quiet:
                    await _both_ways(caller, server, _prolonging(quiet, self._quiet_s))
            finally:
                await _close(server[1])
        except (OSError, TimeoutError):
            # Nobody is left to be told.
            pass
        finally:
            await _close(writer)

    async def _opening(self, reader: asyncio.StreamReader) -> bytes:
        """Read until it is certain what is spoken; empty if the caller has left."""
        opening = b""
        async with asyncio.timeout(self._opening_s):
            while len(opening) < len(PREFACE) and PREFACE.startswith(opening):
                piece = await reader.read(len(PREFACE) - len(opening))
                if not piece:
                    break
                opening += piece
        return opening

    async def _server(self, opening: bytes) -> Stream | None:
        """Connect to whom it is for: of the workers to the next one that lives."""
        if not opening:
            return None
        if opening != PREFACE:
            return await asyncio.open_unix_connection(str(self._http), limit=CHUNK)
        self._turn += 1
        count = len(self._workers)
        for place in range(self._turn, self._turn + count):
            with contextlib.suppress(OSError):
                return await asyncio.open_unix_connection(str(self._workers[place % count]), limit=CHUNK)
        return None


def _prolonging(quiet: asyncio.Timeout, by_s: float) -> Callable[[], None]:
    """Give what lets a timeout begin anew, if there is one and it is not over."""
    now = asyncio.get_running_loop().time

    def prolong() -> None:
        if quiet.when() is not None and not quiet.expired():
            quiet.reschedule(now() + by_s)

    return prolong


async def _both_ways(caller: Stream, server: Stream, moved: Callable[[], None]) -> None:
    """Carry until both have ended; an error in one direction ends the other. `moved` hears of every piece."""
    try:
        async with asyncio.TaskGroup() as directions:
            directions.create_task(_pump(caller[0], server[1], moved))
            directions.create_task(_pump(server[0], caller[1], moved))
    except* OSError:
        pass


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, moved: Callable[[], None]) -> None:
    while piece := await source.read(CHUNK):
        moved()
        sink.write(piece)
        await sink.drain()
    sink.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Send what is left, but not for ever."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSING_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
