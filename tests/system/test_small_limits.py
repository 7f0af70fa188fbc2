"""Sizes with limits small enough to reach: uploads, replies, events; and providers that read slowly or answer early."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from isthmus.v1 import forward_pb2, forward_pb2_grpc

from tests.edge.gateway import running_gateway
from tests.fakes.answers import chat_body, chat_events, sse, stream, whole
from tests.system.background import in_background
from tests.system.pair import Pair, running_pair
from tests.system.typed import chat_whole, failure_of
from tests.system.wire import ask, chat, connected, request

pytestmark = pytest.mark.edge
KIB = 1024
MIB = 1024 * KIB
CHAT = "/v1/chat/completions"
LIMITS = {"request_bytes": 64 * KIB, "upload_bytes": MIB, "reply_bytes": 256 * KIB}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@pytest.fixture(scope="module")
def small() -> Iterator[Pair]:
    """A pair whose limits are small."""
    with running_pair(limits=LIMITS) as running:
        yield running


async def test_json_body_over_its_limit(small: Pair) -> None:
    start = len(small.provider.requests)

    answer = await ask(small.url, CHAT, chat(x="y" * 65 * KIB))

    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert len(small.provider.requests) == start


@pytest.mark.parametrize("chunked", [False, True])
async def test_upload_over_its_limit(small: Pair, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * 256 * KIB

    async with aiohttp.ClientSession() as session:
        sent = pieces() if chunked else io.BytesIO(b"x" * 2 * MIB)
        headers = {"content-type": "application/octet-stream"}
        async with session.post(f"{small.url}/v1/files", data=sent, headers=headers) as answer:
            body = await answer.json()

    assert answer.status == 413
    assert body["error"]["code"] == "request_too_large"


def test_typed_upload_over_its_limit(small: Pair) -> None:
    pieces = [forward_pb2.ForwardRequest(head=forward_pb2.ForwardRequestHead(method="POST", path="/v1/files"))]
    pieces += [forward_pb2.ForwardRequest(body=b"x" * 256 * KIB)] * 8

    with small.channel() as channel:
        stub = forward_pb2_grpc.ForwardServiceStub(channel)
        failure = failure_of(lambda: list(stub.Forward(iter(pieces), timeout=30)))

    assert (failure.grpc, failure.reason) == ("INVALID_ARGUMENT", "REQUEST_TOO_LARGE")


async def test_whole_reply_over_its_limit(small: Pair) -> None:
    small.provider.reply_always(whole(chat_body("ok", "x" * 300 * KIB)))

    answer = await ask(small.url, CHAT, chat())
    with small.channel() as channel:
        failure = await asyncio.to_thread(failure_of, lambda: chat_whole(channel))
    small.provider.reply_always(None)

    assert answer.status == 502
    assert answer.error["type"] == "upstream_error"
    assert failure.grpc == "UNAVAILABLE"


async def test_event_without_an_end_is_not_held(small: Pair) -> None:
    endless = [b"data: " + b"x" * 64 * KIB, *[b"x" * 64 * KIB] * 200]
    small.provider.reply_with(stream(*chat_events("ok")[:2], *endless, sse(b"[DONE]")))

    answer = await ask(small.url, CHAT, chat(stream=True))

    assert b'"content":"Hel"' in answer.body
    assert b'data: {"error":' in answer.body
    assert len(answer.body) < 16 * MIB


@asynccontextmanager
async def odd_server(serve: Serve) -> AsyncIterator[str]:
    """A provider that is written in the test itself."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # Swallowed, or the streams protocol would report it as an unhandled error.
        with suppress(asyncio.CancelledError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse as soon as the head is there, and hang up on the rest."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        await writer.drain()


async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the connection and nothing from it."""
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio has no public way to stop reading
    await asyncio.sleep(60)
    writer.close()


async def test_provider_that_refuses_an_upload_early() -> None:
    with (
        in_background(odd_server(answer_early)) as url,
        running_gateway({"providers": {"openai": {"base_url": url, "api_key": "sk-x"}}}) as gateway,
    ):
        statuses: list[int] = []
        async with aiohttp.ClientSession() as http:  # it reads while it sends
            for _ in range(3):
                async with http.post(gateway.url + "/v1/files", data=io.BytesIO(b"x" * 8 * MIB)) as response:
                    statuses.append(response.status)
                    await response.read()

    assert set(statuses) <= {403, 502}, statuses


async def test_provider_that_does_not_read_holds_the_uploader_back() -> None:
    sent = 0
    with (
        in_background(odd_server(never_read)) as url,
        running_gateway({"providers": {"openai": {"base_url": url, "api_key": "sk-x"}}}) as gateway,
    ):
        async with connected(gateway.url) as exchange:
            length = 256 * MIB
            head = request(gateway.url, "/v1/files", headers=(("content-type", "application/octet-stream"),))
            await exchange.send(head.replace(b"content-length: 0", f"content-length: {length}".encode()))
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while sent < length:
                        await asyncio.wait_for(exchange.send(b"x" * MIB), 2)
                        sent += MIB

    assert sent < 64 * MIB, "the provider's pace reaches the uploader"
