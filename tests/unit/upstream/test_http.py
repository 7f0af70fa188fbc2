"""HTTP towards targets, against a provider that writes raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.errors import Garbled, Interrupted, InvalidRequest, RequestTooLarge, Unreachable, UpstreamError
from isthmusd.core.request import Outbound
from isthmusd.upstream.http import HttpReply, HttpUpstream
from isthmusd.upstream.options import UpstreamOptions

from tests.fakes.answers import CUT, STALL, Answer, raw, stream, whole
from tests.fakes.provider import FakeProvider

LIMIT = 2**20
NOTICED_WITHIN_S = 0.1


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    async with HttpUpstream() as made:
        yield made


def outbound_to(provider: FakeProvider, path: str = "/chat/completions", **changes: Any) -> Outbound:
    usual = Outbound(
        method="POST",
        url=provider.url + path,
        headers=(("content-type", "application/json"), ("accept-encoding", "identity")),
        body=b'{"model": "ok"}',
    )
    return replace(usual, **changes)


async def drain(reply: HttpReply) -> bytes:
    pieces: list[bytes] = []
    while piece := await reply.next_chunk():
        pieces.append(piece)
    return b"".join(pieces)


async def test_request_goes_out_as_it_is(provider: FakeProvider, upstream: HttpUpstream) -> None:
    body = b'{ "model" : "ok", "big": 123456789012345678901 }'
    outbound = outbound_to(provider, "/chat/completions?a=%2F&b=%7E&a=x%20y", body=body)

    async with upstream.send(outbound) as reply:
        await reply.read(LIMIT)

    seen = provider.last
    assert seen.path == "/v1/chat/completions?a=%2F&b=%7E&a=x%20y"
    assert seen.body == body
    assert {name.lower(): value for name, value in seen.headers} == {
        "host": f"127.0.0.1:{provider.port}",
        "content-type": "application/json",
        "accept-encoding": "identity",
        "content-length": str(len(body)),
    }


@pytest.mark.parametrize("path", ["/a%2Fb", "/a/../b", "/%2e%2e/b", "//b", "/a;b=c", "/%C3%A9?q=%zz+"])
async def test_path_is_never_normalised(provider: FakeProvider, upstream: HttpUpstream, path: str) -> None:
    async with upstream.send(outbound_to(provider, path, method="GET", body=None)) as reply:
        await reply.read(LIMIT)

    assert provider.last.path == "/v1" + path


async def test_bodiless_get_sends_no_body_headers(provider: FakeProvider, upstream: HttpUpstream) -> None:
    async with upstream.send(outbound_to(provider, "/models", method="GET", body=None, headers=())) as reply:
        assert reply.status == 200

    assert [name.lower() for name, _ in provider.last.headers] == ["host"]


async def test_large_body_arrives_whole(provider: FakeProvider, upstream: HttpUpstream) -> None:
    body = b"x" * (20 * 2**20)
    provider.reply_with(whole({}))

    async with upstream.send(outbound_to(provider, body=body)) as reply:
        await reply.read(LIMIT)

    assert provider.last.body == body
    assert provider.last.header("content-length") == str(len(body))


async def test_large_answer_is_read_whole(provider: FakeProvider, upstream: HttpUpstream) -> None:
    content = b"y" * (8 * 2**20)
    provider.reply_with(whole(content))

    async with upstream.send(outbound_to(provider)) as reply:
        assert await reply.read(16 * LIMIT) == content


async def test_answer_over_the_limit_is_garbled(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(whole(b"y" * 1001))

    with pytest.raises(Garbled):
        async with upstream.send(outbound_to(provider)) as reply:
            await reply.read(1000)


async def test_clean_ends_return_the_connection(provider: FakeProvider, upstream: HttpUpstream) -> None:
    for _ in range(5):
        async with upstream.send(outbound_to(provider)) as reply:
            await reply.read(LIMIT)
        async with upstream.send(outbound_to(provider, body=b'{"model":"ok","stream":true}')) as reply:
            assert (await drain(reply)).endswith(b"data: [DONE]\n\n")

    assert provider.connection_count == 1


async def test_leaving_early_closes_the_connection(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(stream(b"data: 1\n\n", STALL))

    async with upstream.send(outbound_to(provider)) as reply:
        await reply.next_chunk()
    left_at = time.monotonic()

    await asyncio.wait_for(provider.last.aborted.wait(), 5)
    assert provider.last.aborted_at is not None
    assert provider.last.aborted_at - left_at < NOTICED_WITHIN_S
    async with upstream.send(outbound_to(provider)) as reply:
        await reply.read(LIMIT)
    assert provider.connection_count == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(pieces=(STALL,), framing="raw"),
        stream(b"data: 1\n\n", STALL),
        Answer(headers=(("content-length", "100"),), pieces=(b"12345678", STALL), framing="close"),
    ],
    ids=["before headers", "silent stream", "within a whole body"],
)
async def test_cancellation_reaches_the_provider_at_once(
    provider: FakeProvider, upstream: HttpUpstream, answer: Answer
) -> None:
    provider.reply_with(answer)

    async def call() -> None:
        async with upstream.send(outbound_to(provider)) as reply:
            await reply.read(LIMIT)

    task = asyncio.create_task(call())
    received = await asyncio.wait_for(provider.received(), 5)
    await asyncio.sleep(0.05)
    cancelled_at = time.monotonic()
    task.cancel()

    await asyncio.wait_for(received.aborted.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert received.aborted_at is not None
    assert received.aborted_at - cancelled_at < NOTICED_WITHIN_S


async def test_first_chunk_is_given_before_the_second_arrives(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(stream(b"data: 1\n\n", STALL))

    async with upstream.send(outbound_to(provider)) as reply:
        assert await asyncio.wait_for(reply.next_chunk(), 5) == b"data: 1\n\n"


@pytest.mark.parametrize(
    "answer",
    [
        stream(b"data: 1\n\n", 0.02, CUT),
        Answer(headers=(("content-length", "100"),), pieces=(b"short", 0.02, CUT), framing="close"),
        Answer(headers=(("content-length", "100"),), pieces=(b"short",), framing="close", closes=True),
        Answer(headers=(("transfer-encoding", "chunked"),), pieces=(b"5\r\nshort\r\n",), framing="close", closes=True),
    ],
    ids=["reset", "length and reset", "length and end", "chunked and end"],
)
async def test_cut_body_is_an_error(provider: FakeProvider, upstream: HttpUpstream, answer: Answer) -> None:
    provider.reply_with(answer, answer)

    with pytest.raises(Interrupted):
        async with upstream.send(outbound_to(provider)) as reply:
            await drain(reply)
    with pytest.raises(Unreachable):
        async with upstream.send(outbound_to(provider)) as reply:
            await reply.read(LIMIT)


async def test_body_until_the_connection_ends_is_whole(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(Answer(pieces=(b"all ", b"of it"), framing="close", closes=True))

    async with upstream.send(outbound_to(provider)) as reply:
        assert await reply.read(LIMIT) == b"all of it"


async def test_refused_connection_is_unreachable_and_names_no_host(upstream: HttpUpstream) -> None:
    async with FakeProvider() as gone:
        outbound = outbound_to(gone)

    with pytest.raises(Unreachable) as caught:
        async with upstream.send(outbound):
            pass

    assert "127.0.0.1" not in caught.value.message
    assert caught.value.told.detail


async def test_connection_that_is_never_accepted_times_out() -> None:
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        outbound = Outbound(method="GET", url=f"http://127.0.0.1:{full.getsockname()[1]}/", headers=())

        async with HttpUpstream(UpstreamOptions(connect_timeout_s=0.1)) as upstream:
            with pytest.raises(Unreachable, match="in time"):
                async with upstream.send(outbound):
                    pass


async def test_what_is_not_http_is_garbled(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(raw(b"SSH-2.0-OpenSSH_9\r\n\r\n"))

    with pytest.raises(UpstreamError) as caught:
        async with upstream.send(outbound_to(provider)):
            pass

    assert isinstance(caught.value, Garbled)
    assert "127.0.0.1" not in caught.value.message


async def test_header_values_outside_ascii_survive(provider: FakeProvider, upstream: HttpUpstream) -> None:
    async with upstream.send(outbound_to(provider, body=b'{"model":"nonascii"}')) as reply:
        await reply.read(LIMIT)

    assert reply.headers["x-note"][0].encode("utf-8", "surrogateescape") == "café ☕".encode()
    assert reply.headers["x-latin"][0].encode("utf-8", "surrogateescape") == b"caf\xe9"


async def test_repeated_and_long_headers_are_kept(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(whole({}, headers=(("X-A", "1"), ("x-a", "2"), ("x-long", "z" * 30_000))))

    async with upstream.send(outbound_to(provider)) as reply:
        await reply.read(LIMIT)

    assert list(reply.headers["x-a"]) == ["1", "2"]
    assert len(reply.headers["x-long"][0]) == 30_000


@pytest.mark.parametrize("changes", [{"headers": (("x-a", "b\r\nx-evil: 1"),)}, {"method": "GE T"}])
async def test_what_http_cannot_carry_is_refused(
    provider: FakeProvider, upstream: HttpUpstream, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        async with upstream.send(outbound_to(provider, **changes)):
            pass

    assert provider.requests == []


async def test_redirects_are_returned_not_followed(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(whole(b"", 307, (("location", "/elsewhere"),)))

    async with upstream.send(outbound_to(provider)) as reply:
        await reply.read(LIMIT)

    assert reply.status == 307
    assert reply.headers["location"] == ["/elsewhere"]
    assert len(provider.requests) == 1


async def test_cookies_are_not_kept(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(whole({}, headers=(("set-cookie", "a=b; Path=/"),)))

    for _ in range(2):
        async with upstream.send(outbound_to(provider)) as reply:
            await reply.read(LIMIT)

    assert provider.last.header("cookie") is None


async def test_compressed_body_is_decoded_only_if_asked(provider: FakeProvider, upstream: HttpUpstream) -> None:
    packed = gzip.compress(b"hello")
    provider.reply_always(whole(packed, headers=(("content-encoding", "gzip"),)))

    async with upstream.send(outbound_to(provider)) as reply:
        assert await reply.read(LIMIT) == b"hello"
        assert "content-encoding" not in reply.headers
        assert "content-length" not in reply.headers
    async with upstream.send(outbound_to(provider), decode=False) as reply:
        assert await reply.read(LIMIT) == packed
        assert reply.headers["content-encoding"] == ["gzip"]


async def test_upload_streams_in_chunks(provider: FakeProvider, upstream: HttpUpstream) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"two"):
            yield piece

    async with upstream.send(outbound_to(provider, "/files", body=None), pieces()) as reply:
        await reply.read(LIMIT)

    assert provider.last.body == b"onetwo"
    assert provider.last.header("transfer-encoding") == "chunked"


async def test_failure_of_the_upload_is_what_the_caller_sees(provider: FakeProvider, upstream: HttpUpstream) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise RequestTooLarge("the upload is too large")

    with pytest.raises(RequestTooLarge):
        async with upstream.send(outbound_to(provider, "/files", body=None), pieces()):
            pass


async def test_dead_kept_alive_connection_is_replaced(provider: FakeProvider, upstream: HttpUpstream) -> None:
    for _ in range(2):
        async with upstream.send(outbound_to(provider)) as reply:
            await reply.read(LIMIT)
    provider.reply_with(Answer(pieces=(CUT,), framing="raw"))

    async with upstream.send(outbound_to(provider)) as reply:
        await reply.read(LIMIT)

    assert reply.status == 200
    assert len(provider.requests) == 4
    assert provider.connection_count == 2


async def test_fresh_connection_that_dies_is_not_repeated(provider: FakeProvider, upstream: HttpUpstream) -> None:
    provider.reply_with(Answer(pieces=(CUT,), framing="raw"))

    with pytest.raises(Unreachable):
        async with upstream.send(outbound_to(provider)):
            pass

    assert len(provider.requests) == 1


async def test_provider_that_dies_while_working_is_not_asked_twice(
    provider: FakeProvider, upstream: HttpUpstream
) -> None:
    async with upstream.send(outbound_to(provider)) as reply:
        await reply.read(LIMIT)
    provider.reply_with(Answer(pieces=(1.1, CUT), framing="raw"))

    with pytest.raises(Unreachable):
        async with upstream.send(outbound_to(provider)):
            pass

    assert len(provider.requests) == 2


async def test_streamed_body_is_never_sent_twice(provider: FakeProvider, upstream: HttpUpstream) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"

    async with upstream.send(outbound_to(provider)) as reply:
        await reply.read(LIMIT)
    provider.reply_with(Answer(pieces=(CUT,), framing="raw"))

    with pytest.raises(Unreachable):
        async with upstream.send(outbound_to(provider, body=None), pieces()):
            pass

    assert len(provider.requests) == 2


async def test_closed_upstream_refuses(provider: FakeProvider) -> None:
    upstream = HttpUpstream()

    with pytest.raises(Unreachable):
        upstream.send(outbound_to(provider))
