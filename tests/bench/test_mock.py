"""The benchmark's mock and its own reader: figures are worth nothing when these bend the protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from bench.canned import CHUNKS_PER_STREAM, STAMP
from bench.load import run
from bench.mock import Connection
from bench.plan import Endpoint, Load
from bench.wire import MessageReader


@asynccontextmanager
async def mock_port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def post(port: int, body: bytes) -> tuple[int, str, bytes]:
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as reply:
        return reply.status, reply.content_type, await reply.read()


def events_of(stream: bytes) -> list[Any]:
    *events, done, after = stream.split(b"\n\n")
    assert (done, after) == (b"data: [DONE]", b"")
    assert all(event.startswith(b"data: ") for event in events)
    return [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]


async def test_whole_reply_is_a_chat_completion() -> None:
    async with mock_port() as port:
        status, content_type, body = await post(port, b'{"model":"m","messages":[],"stream":false}')

    reply = msgspec.json.decode(body)
    assert (status, content_type) == (200, "application/json")
    assert reply["object"] == "chat.completion"
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["total_tokens"] == 141


async def test_stream_has_usage_only_when_asked() -> None:
    plain_ask = b'{"model":"m","messages":[],"stream":true}'
    usage_ask = b'{"model":"m","messages":[],"stream": true,"stream_options":{"include_usage": true}}'

    async with mock_port() as port:
        plain, counted = await asyncio.gather(post(port, plain_ask), post(port, usage_ask))

    assert plain[:2] == counted[:2] == (200, "text/event-stream")
    *chunks, last = events_of(plain[2])
    assert len(chunks) == CHUNKS_PER_STREAM
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert not any("usage" in event for event in [*chunks, last])
    *events, usage = events_of(counted[2])
    assert len(events) == CHUNKS_PER_STREAM + 1
    assert all(event["usage"] is None for event in events)
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 100)


async def test_stamps_advance_by_twenty_milliseconds() -> None:
    async with mock_port() as port:
        _, _, stream = await post(port, b'{"model":"m","messages":[],"stream":true}')

    stamps = [int(stamp[1]) for stamp in STAMP.finditer(stream)]
    assert stamps == sorted(stamps)
    assert (stamps[-1] - stamps[0]) / 1e9 == pytest.approx(1.98, abs=0.3)


@pytest.mark.parametrize("body", [b"{", b'{"stream":"yes"}'])
async def test_refuses_what_is_not_a_request(body: bytes) -> None:
    async with mock_port() as port:
        status, _, reply = await post(port, body)

    assert status == 400
    assert msgspec.json.decode(reply)["error"]["type"] == "invalid_request_error"


async def test_load_counts_every_chunk_and_request() -> None:
    async with mock_port() as port:
        endpoint = Endpoint(host="127.0.0.1", port=port, path="/v1/chat/completions", model="m")
        (streams,), (whole,) = await asyncio.gather(
            run(Load(shape="streams", endpoints=[endpoint], connections=2, rounds=1)),
            run(Load(shape="closed", endpoints=[endpoint], connections=2, seconds=0.2)),
        )

    assert (streams.requests, streams.errors, streams.chunks) == (2, 0, 2 * CHUNKS_PER_STREAM)
    assert streams.chunk_delay is not None
    assert 0 < streams.chunk_delay.p50 <= streams.chunk_delay.p99
    assert (whole.errors, whole.requests > 2) == (0, True)


async def test_load_counts_a_refused_call_as_an_error() -> None:
    async with mock_port() as port:
        nowhere = Endpoint(host="127.0.0.1", port=port, path="/v1/nothing", model="m")
        (tally,) = await run(Load(shape="paced", endpoints=[nowhere], seconds=0.1, rate=50))

    assert (tally.requests, tally.errors) == (5, 5)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_reader_gives_equal_bodies_however_cut(message: bytes, expected: bytes, size: int) -> None:
    reader = MessageReader()
    twice = message + message

    for start in (0, len(message)):
        end = start + len(message)
        bodies = [reader.feed(twice[at : min(at + size, end)]) for at in range(start, end, size)]

        assert b"".join(bodies) == expected
        assert reader.complete
        assert reader.first_line == b"HTTP/1.1 200 OK"
