"""Answers read off a connection by hand: where they end, what never reaches the next, compression, back-pressure."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from isthmusd.core.errors import Garbled, Interrupted, Unreachable
from isthmusd.core.request import Outbound
from isthmusd.upstream.conversation import HIGH_WATER_BYTES, MAX_HEAD_BYTES
from isthmusd.upstream.http import HttpReply, HttpUpstream

from tests.fakes.answers import STALL, Answer, stream
from tests.fakes.provider import FakeProvider

LIMIT = 2**24
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    async with HttpUpstream() as made:
        yield made


def written(*pieces: bytes | float) -> Answer:
    return Answer(pieces=pieces, framing="raw")


def asked(provider: FakeProvider) -> Outbound:
    return Outbound(method="POST", url=provider.url + "/chat/completions", headers=(), body=b'{"model":"ok"}')


async def read(upstream: HttpUpstream, provider: FakeProvider) -> bytes:
    async with upstream.send(asked(provider)) as reply:
        return await reply.read(LIMIT)


async def drain(reply: HttpReply) -> bytes:
    return b"".join([piece async for piece in pieces_of(reply)])


async def pieces_of(reply: HttpReply) -> AsyncIterator[bytes]:
    while piece := await reply.next_chunk():
        yield piece


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"content-length: 5\r\n\r\nhello",
        b"\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
        OK.replace(b"\r", b"") + b"content-length: 5\n\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-a: b\r\n\r\n",
    ],
    ids=["length", "empty line first", "bare line feeds", "chunks and trailers"],
)
async def test_answer_is_the_same_however_it_is_cut(
    provider: FakeProvider, upstream: HttpUpstream, wire: bytes
) -> None:
    apart: list[bytes | float] = []
    for place in range(len(wire)):
        apart += [wire[place : place + 1], 0.0]
    provider.reply_with(written(wire), written(*apart), written(wire[:30], 0.01, wire[30:]))

    for _ in range(3):
        assert await read(upstream, provider) == b"hello"

    assert provider.connection_count == 1


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"content-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)
async def test_what_follows_an_answer_is_never_taken_for_the_next(
    provider: FakeProvider, upstream: HttpUpstream, wire: bytes
) -> None:
    provider.reply_with(written(wire))

    await read(upstream, provider)
    second = await read(upstream, provider)

    assert b"evil" not in second
    assert provider.connection_count == 2


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        OK + b"content-length: +5\r\n\r\nhello",
        OK + b"x-long: " + b"a" * (MAX_HEAD_BYTES + 1),
    ],
    ids=["two lengths", "length and chunks", "signed length", "endless head"],
)
async def test_head_that_says_two_things_is_garbled(
    provider: FakeProvider, upstream: HttpUpstream, wire: bytes
) -> None:
    provider.reply_with(written(wire))

    with pytest.raises(Garbled):
        await read(upstream, provider)


async def test_chunks_that_are_none_break_the_answer(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(written(OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n", 0.05, b"-1\r\n"))

    async with upstream.send(asked(provider)) as reply:
        assert await reply.next_chunk() == b"he"
        with pytest.raises(Interrupted):
            await reply.next_chunk()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"a" * 600_000)),
        ("gzip", gzip.compress(b"a" * 300_000) + gzip.compress(b"a" * 300_000)),
        ("deflate", zlib.compress(b"a" * 600_000)),
        ("deflate", zlib.compress(b"a" * 600_000, wbits=-15)),
    ],
    ids=["gzip", "two members", "deflate", "bare deflate"],
)
async def test_compressed_answer_is_unpacked(
    provider: FakeProvider, upstream: HttpUpstream, coding: str, packed: bytes
) -> None:
    head = OK + b"content-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (coding.encode(), len(packed))
    provider.reply_with(written(head + packed), written(head, 0.01, packed[:10], 0.01, packed[10:]))

    for _ in range(2):
        async with upstream.send(asked(provider)) as reply:
            assert await drain(reply) == b"a" * 600_000

    assert provider.connection_count == 1


async def test_small_answer_does_not_become_a_large_one(provider: FakeProvider, upstream: HttpUpstream) -> None:
    packed = gzip.compress(b"a" * (2 * LIMIT))
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    provider.reply_with(written(head + packed))

    with pytest.raises(Garbled, match="too large"):
        await read(upstream, provider)


@pytest.mark.parametrize("packed", [gzip.compress(b"hello")[:-9], b"no gzip at all"])
async def test_what_cannot_be_unpacked_breaks_the_answer(
    provider: FakeProvider, upstream: HttpUpstream, packed: bytes
) -> None:
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    provider.reply_with(written(head + packed))

    with pytest.raises(Unreachable):
        await read(upstream, provider)


async def test_slow_reader_holds_up_the_provider(provider: FakeProvider, upstream: HttpUpstream) -> None:
    chunk = b"x" * 65_536
    provider.reply_with(stream(*[chunk] * 400))

    async with upstream.send(asked(provider)) as reply:
        await asyncio.sleep(0.3)
        waiting = await reply.next_chunk()
        rest = await drain(reply)

    assert len(waiting) < 4 * HIGH_WATER_BYTES
    assert len(waiting) + len(rest) == 400 * len(chunk)


async def test_reader_that_leaves_while_reading_is_paused_closes_the_connection(
    provider: FakeProvider, upstream: HttpUpstream
) -> None:
    provider.reply_with(stream(*[b"x" * 65_536] * 40, STALL))

    async with upstream.send(asked(provider)):
        await asyncio.sleep(0.1)

    await asyncio.wait_for(provider.last.aborted.wait(), 5)
    assert await read(upstream, provider)
    assert provider.connection_count == 2
