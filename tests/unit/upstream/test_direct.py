"""Requests written by hand: what leaves, what may not, and the parts of aiohttp that this leans on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpResponseParser
from isthmusd.core.errors import Garbled, InvalidRequest, Misconfigured, Unreachable
from isthmusd.core.request import Outbound
from isthmusd.upstream.direct import OURS, split_url, write_head
from isthmusd.upstream.http import HttpUpstream

from tests.fakes.answers import Answer, raw, whole
from tests.fakes.provider import FakeProvider

LIMIT = 2**20


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    async with HttpUpstream() as made:
        yield made


def asking(*headers: tuple[str, str], method: str = "POST", body: bytes | None = b"{}") -> Outbound:
    return Outbound(method=method, url="http://host/v1", headers=headers, body=body)


def test_head_is_written_as_given() -> None:
    head = write_head(asking(("x-a", "1"), ("x-a", "2")), "/v1?a=b", "host:1")

    assert head == b"POST /v1?a=b HTTP/1.1\r\nHost: host:1\r\nx-a: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("POST", None, b"Content-Length: 0\r\n"),
        ("DELETE", None, b"Content-Length: 0\r\n"),
        ("GET", None, b""),
        ("HEAD", None, b""),
        ("GET", b"1", b"Content-Length: 1\r\n"),
    ],
)
def test_length_is_said_where_a_body_could_be(method: str, body: bytes | None, length: bytes) -> None:
    head = write_head(asking(method=method, body=body), "/", "host")

    assert head == method.encode() + b" / HTTP/1.1\r\nHost: host\r\n" + length + b"\r\n"


def test_bytes_outside_ascii_are_written_back_as_they_were() -> None:
    value = b"caf\xe9 \xe2\x98\x95".decode("utf-8", "surrogateescape")

    assert b"x-a: caf\xe9 \xe2\x98\x95\r\n" in write_head(asking(("x-a", value)), "/", "host")


@pytest.mark.parametrize("evil", ["a\r\nx-evil: 1", "a\nx: 1", "a\rx: 1", "\r\n", "a\n", "a\0b", "\ud800"])
def test_value_cannot_begin_another_line(evil: str) -> None:
    with pytest.raises(ValueError, match=r"line end|surrogates"):
        write_head(asking(("x-a", evil)), "/", "host")


@pytest.mark.parametrize("name", ["", "x a", "x:a", "host: other\r\nx", "x\r\n", "x\0", "é", *OURS, "Host"])
def test_name_cannot_be_anything_but_a_free_token(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        write_head(asking((name, "1")), "/", "host")


@pytest.mark.parametrize("method", ["", "GE T", "GET /evil HTTP/1.1\r\nx:", "GET\n"])
def test_method_is_a_token(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        write_head(asking(method=method), "/", "host")


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://h:1/v1/a%2Fb?c=%7E", "http://h:1", "/v1/a%2Fb?c=%7E"),
        ("HTTPS://h", "HTTPS://h", "/"),
        ("http://h?a=1", "http://h", "/?a=1"),
        ("http://[::1]:80//a/../b#part", "http://[::1]:80", "//a/../b"),
    ],
)
def test_url_is_taken_apart_not_normalised(url: str, origin: str, target: str) -> None:
    assert split_url(url) == (origin, target)


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/\r\nx: 1", "http://h/é", "http://h/\x7f"])
def test_target_cannot_leave_its_line(url: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded"):
        split_url(url)


@pytest.mark.parametrize("url", ["ftp://h/", "/v1", "http:///v1", "http://user:key@h/v1", "http://h\\@evil/"])
async def test_address_that_is_none_is_the_operators_to_correct(upstream: HttpUpstream, url: str) -> None:
    with pytest.raises((Misconfigured, InvalidRequest)):
        async with upstream.send(Outbound(method="GET", url=url, headers=())):
            pass


async def test_small_requests_reuse_their_connection(provider: FakeProvider, upstream: HttpUpstream) -> None:
    outbound = Outbound(method="POST", url=provider.url + "/chat/completions", headers=(), body=b'{"model":"ok"}')

    for _ in range(3):
        async with upstream.send(outbound) as reply:
            await reply.read(LIMIT)

    assert provider.connection_count == 1
    assert len(provider.requests) == 3


async def test_interim_answers_are_not_the_answer(provider: FakeProvider, upstream: HttpUpstream) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    provider.reply_with(raw(interim + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))

    async with upstream.send(Outbound(method="GET", url=provider.url + "/models", headers=())) as reply:
        assert reply.status == 200
        assert await reply.read(LIMIT) == b"ok"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", Answer(pieces=(b"12345",))),
        ("GET", Answer(pieces=(b"HTTP/1.1 204 No Content\r\n\r\n",), framing="raw")),
        ("GET", Answer(pieces=(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",), framing="raw")),
    ],
    ids=["HEAD", "204", "304"],
)
async def test_answers_without_a_body_return_the_connection(
    provider: FakeProvider, upstream: HttpUpstream, method: str, answer: Answer
) -> None:
    provider.reply_with(answer)
    outbound = Outbound(method=method, url=provider.url + "/models", headers=())

    async with upstream.send(outbound) as reply:
        assert await reply.next_chunk() == b""
    async with upstream.send(Outbound(method="GET", url=provider.url + "/models", headers=())) as reply:
        await reply.read(LIMIT)

    assert provider.connection_count == 1


async def test_connection_that_the_provider_wants_closed_is_closed(
    provider: FakeProvider, upstream: HttpUpstream
) -> None:
    provider.reply_with(whole({}, headers=(("connection", "close"),)))

    for _ in range(2):
        async with upstream.send(Outbound(method="GET", url=provider.url + "/models", headers=())) as reply:
            await reply.read(LIMIT)

    assert provider.connection_count == 2


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", b"HTTP/1.1 099 What\r\n\r\n"],
    ids=["upgrade", "below 100"],
)
async def test_status_that_answers_nothing_is_refused_and_its_connection_not_used_again(
    provider: FakeProvider, upstream: HttpUpstream, head: bytes
) -> None:
    provider.reply_with(raw(head))

    with pytest.raises(Garbled):
        async with upstream.send(Outbound(method="GET", url=provider.url + "/models", headers=())):
            pass
    async with upstream.send(Outbound(method="GET", url=provider.url + "/models", headers=())) as reply:
        await reply.read(LIMIT)

    assert provider.connection_count == 2


async def test_closing_the_pool_ends_a_running_exchange(provider: FakeProvider) -> None:
    provider.reply_with(Answer(pieces=(5.0,), framing="raw"))
    upstream = HttpUpstream()
    await upstream.start()
    outbound = Outbound(method="GET", url=provider.url + "/models", headers=())

    async def call() -> None:
        async with upstream.send(outbound):
            pass

    task = asyncio.create_task(call())
    await asyncio.wait_for(provider.received(), 5)
    await upstream.aclose()

    with pytest.raises(Unreachable):
        await asyncio.wait_for(task, 5)


def test_aiohttp_still_has_the_parts_that_its_documentation_does_not_name() -> None:
    connect = inspect.signature(aiohttp.BaseConnector.connect)

    assert list(connect.parameters) == ["self", "req", "traces", "timeout"]
    assert "feed_data" in dir(HttpResponseParser)
    assert {"protocol", "transport", "release", "close"} <= set(dir(Connection))
    assert {"force_close", "connection_lost", "pause_writing", "resume_writing"} <= set(dir(ResponseHandler))
