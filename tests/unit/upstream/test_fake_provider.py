"""The fake provider keeps its promises: each model's fault, as it arrives over HTTP."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from isthmusd.core.errors import Interrupted
from isthmusd.core.request import Outbound
from isthmusd.upstream.http import HttpReply, HttpUpstream

from tests.fakes.answers import TEXT
from tests.fakes.faults import SLOW_S
from tests.fakes.provider import FakeProvider


@asynccontextmanager
async def asked(model: str, *, stream: bool = False) -> AsyncIterator[tuple[FakeProvider, HttpReply]]:
    body = msgspec.json.encode({"model": model, "stream": stream, "messages": [{"role": "user", "content": "é"}]})
    async with FakeProvider() as provider, HttpUpstream() as upstream:
        url = f"{provider.url}/chat/completions"
        async with upstream.send(Outbound(method="POST", url=url, headers=(("x-a", "b"),), body=body)) as reply:
            yield provider, reply


async def drained(reply: HttpReply) -> bytes:
    pieces: list[bytes] = []
    while piece := await reply.next_chunk():
        pieces.append(piece)
    return b"".join(pieces)


def text_of(content: bytes) -> str:
    events = [line.removeprefix(b"data: ") for line in content.splitlines() if line.startswith(b"data: {")]
    deltas = [msgspec.json.decode(event)["choices"][0]["delta"] for event in events]
    return "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.parametrize("model", ["ok", "any/ok", "gpt-4o-mini", "split", "crlf", "nonascii", "reason"])
async def test_healthy_streams_say_the_same(model: str) -> None:
    async with asked(model, stream=True) as (_, reply):
        content = await drained(reply)

    assert text_of(content) == TEXT
    assert content.rstrip().endswith(b"data: [DONE]")
    assert (b"\r\n" in content) is (model == "crlf")
    assert (b"reasoning_content" in content) is (model == "reason")


@pytest.mark.parametrize("model", ["ok", "split", "crlf", "nonascii", "reason"])
async def test_healthy_whole_answers_say_the_same(model: str) -> None:
    async with asked(model) as (_, reply):
        answer = msgspec.json.decode(await reply.read(2**20))

    assert answer["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize(("model", "status"), [("r429", 429), ("e401", 401), ("n404", 404), ("e500", 500)])
async def test_refusals(model: str, status: int) -> None:
    async with asked(model, stream=True) as (_, reply):
        answer = msgspec.json.decode(await reply.read(2**20))

    assert reply.status == status
    assert answer["error"]["message"]
    assert ("retry-after" in reply.headers) is (model == "r429")


async def test_cut_breaks_the_stream_in_its_middle() -> None:
    async with asked("cut", stream=True) as (_, reply):
        assert text_of(await reply.next_chunk()) != TEXT
        with pytest.raises(Interrupted):
            await drained(reply)


async def test_stall_says_nothing_more_until_the_client_leaves() -> None:
    async with asked("stall", stream=True) as (provider, reply):
        assert await reply.next_chunk()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drained(reply), 0.1)
        assert provider.last.header("x-a") == "b"


async def test_slow_takes_its_time_to_the_first_byte() -> None:
    started_at = time.monotonic()
    async with asked("slow") as (_, reply):
        took_s = time.monotonic() - started_at
        await reply.read(2**20)

    assert took_s >= SLOW_S


async def test_broken_contents() -> None:
    async with asked("badjson", stream=True) as (_, reply):
        assert b'data: {"id": "chatcmpl-fake", \n\n' in await drained(reply)
    async with asked("inband", stream=True) as (_, reply):
        content = await drained(reply)
        assert b'data: {"error":' in content
        assert b"[DONE]" not in content
    async with asked("html") as (_, reply):
        assert (await reply.read(2**20)).startswith(b"<html>")


async def test_echo_shows_the_request() -> None:
    async with asked("echo") as (provider, reply):
        answer = msgspec.json.decode(await reply.read(2**20))

    assert answer["choices"][0]["message"]["content"].encode() == provider.last.body
    assert answer["echo"]["path"] == "/v1/chat/completions"
    assert ["x-a", "b"] in answer["echo"]["headers"]


async def test_runs_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.provider", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        url = line.removeprefix("fake provider at ").strip()
        async with HttpUpstream() as upstream:
            outbound = Outbound(method="GET", url=f"{url}/models", headers=())
            async with upstream.send(outbound) as reply:
                models = msgspec.json.decode(await reply.read(2**20))
    finally:
        process.terminate()
        await process.wait()

    assert {"ok", "cut", "nonascii"} <= {model["id"] for model in models["data"]}
