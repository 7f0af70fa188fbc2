"""What a provider sends unasked to an idle connection must not answer the next caller, whichever way that one asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from isthmusd.core.errors import Garbled
from isthmusd.core.request import Outbound
from isthmusd.upstream.conversation import MAX_HEAD_BYTES
from isthmusd.upstream.http import HttpUpstream

FOR_ANYBODY = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nOTHER"
FIRST = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nFIRST"
OWN = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nOWN"
LIMIT = 1000


class Talker:
    """A provider whose first answer is followed by one that nobody asked for."""

    def __init__(self) -> None:
        self.connection_count = 0
        self.may_talk = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        is_first = self.connection_count == 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(FIRST if is_first else OWN)
                if is_first:
                    await self.may_talk.wait()
                    writer.write(FOR_ANYBODY)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def talker() -> AsyncIterator[Talker]:
    made = Talker()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def uploaded() -> AsyncIterator[bytes]:
    yield b"upload"


@pytest.mark.parametrize("uploads", [False, True])
async def test_bytes_that_came_to_an_idle_connection_answer_nobody(talker: Talker, uploads: bool) -> None:
    outbound = Outbound(method="POST", url=f"http://127.0.0.1:{talker.port}/", headers=())

    async with HttpUpstream() as upstream:
        async with upstream.send(outbound) as reply:
            assert await reply.read(LIMIT) == b"FIRST"
        talker.may_talk.set()
        await asyncio.sleep(0.1)
        async with upstream.send(outbound, uploaded() if uploads else None) as reply:
            assert await reply.read(LIMIT) == b"OWN"

    assert talker.connection_count == 2


async def test_interim_answers_without_end_are_refused() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: " + b"x" * 60_000 + b"\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(3 * MAX_HEAD_BYTES // len(hint)):
                writer.write(hint)
                await writer.drain()
            writer.write(OWN)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    outbound = Outbound(method="GET", url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", headers=())
    async with server, HttpUpstream() as upstream:
        with pytest.raises(Garbled):
            async with upstream.send(outbound):
                pass
