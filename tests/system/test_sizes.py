"""Big bodies pass, and none is held where it can be streamed: uploads, and streams with a slow reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import grpc
import msgspec
import pytest
from isthmus.v1 import embedding_pb2, embedding_pb2_grpc
from isthmus.v1.chat_pb2_grpc import ChatServiceStub

from tests.edge.gateway import Gateway, running_gateway
from tests.fakes.answers import whole
from tests.system.background import in_background
from tests.system.flood import PIECE, FloodProvider
from tests.system.pair import GRPC_OPTIONS, Pair, eventually
from tests.system.typed import chat_request, text_of
from tests.system.wire import ask, chat, connected, request

pytestmark = pytest.mark.edge
MIB = 1024 * 1024
UPLOAD = 60 * MIB
GROWTH = 64 * MIB
STREAM = 96 * MIB
HELD = 32 * MIB
"""What a slow reader's stream may take between provider and reader: our buffers, Envoy's and the kernel's."""


def resident(gateway: Gateway) -> int:
    """Bytes in memory of the server processes: what else runs carries no bodies."""
    workers = [pid for pid, line in gateway.children().items() if "isthmusd.worker" in line]
    assert workers, gateway.children()
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in workers]
    return sum(int(status.split("VmRSS:")[1].split()[0]) * 1024 for status in statuses)


@pytest.fixture(scope="module")
def flood() -> Iterator[FloodProvider]:
    with in_background(FloodProvider()) as provider:
        yield provider


@pytest.fixture(scope="module")
def flooded(flood: FloodProvider) -> Iterator[Gateway]:
    with running_gateway({"providers": {"openai": {"base_url": flood.url, "api_key": "sk-flood"}}}) as gateway:
        yield gateway


@pytest.mark.parametrize("size", [1 * MIB, 20 * MIB])
async def test_big_embedding_request_passes(pair: Pair, size: int) -> None:
    body = msgspec.json.encode({"model": "ok", "input": ["x" * 1000] * (size // 1000)})

    answer = await ask(pair.url, "/v1/embeddings", body)

    assert answer.status == 200
    assert pair.provider.last.body == body


def test_big_typed_embedding_request_passes(pair: Pair) -> None:
    inputs = [embedding_pb2.EmbeddingInput(text="x" * 1000)] * (20 * MIB // 1000)

    with pair.channel() as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        answer = stub.CreateEmbedding(embedding_pb2.EmbeddingRequest(model="ok", input=inputs), timeout=60)

    assert len(answer.embeddings) == len(inputs)
    assert len(pair.provider.last.body) > 20 * MIB


def vectors(size: int) -> bytes:
    vector = [0.125] * 1536
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(size // (1536 * 6))]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return msgspec.json.encode({"object": "list", "data": data, "model": "ok", "usage": usage})


async def test_big_embedding_reply_passes(pair: Pair) -> None:
    reply = vectors(8 * MIB)
    pair.provider.reply_with(whole(reply))

    answer = await ask(pair.url, "/v1/embeddings", b'{"model":"ok","input":"x"}')

    assert len(reply) >= 8 * MIB
    assert answer.body == reply


def test_big_typed_embedding_reply_passes(pair: Pair, channel: grpc.Channel) -> None:
    reply = vectors(8 * MIB)
    pair.provider.reply_with(whole(reply))
    request = embedding_pb2.EmbeddingRequest(model="ok", input=[embedding_pb2.EmbeddingInput(text="x")])

    answer = embedding_pb2_grpc.EmbeddingServiceStub(channel).CreateEmbedding(request, timeout=60)

    assert len(answer.embeddings) == 8 * MIB // (1536 * 6)


async def test_big_chat_reply_passes(pair: Pair) -> None:
    pair.provider.reply_with(whole({"id": "c", "model": "ok", "choices": [], "padding": "x" * 8 * MIB}))

    answer = await ask(pair.url, "/v1/chat/completions", chat())

    assert answer.status == 200
    assert len(answer.body) > 8 * MIB


async def test_upload_is_streamed_and_not_held(flooded: Gateway, flood: FloodProvider) -> None:
    before = resident(flooded)
    seen_early: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"u" * MIB
        seen_early.append(await asyncio.to_thread(eventually, lambda: flood.read_bytes > 0))
        for _ in range(UPLOAD // MIB - 1):
            yield b"u" * MIB

    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
        session.post(f"{flooded.url}/v1/files", data=pieces(), headers=headers) as response,
    ):
        peak = resident(flooded)
        assert response.status == 200

    assert seen_early == [True], "the provider gets the first bytes before the caller has sent the last"
    assert flood.ended
    assert flood.read_bytes == UPLOAD
    assert peak - before < GROWTH


@pytest.mark.parametrize("is_chat", [True, False], ids=["chat stream", "forward"])
async def test_slow_reader_holds_the_provider_back(flooded: Gateway, flood: FloodProvider, is_chat: bool) -> None:
    before = resident(flooded)
    download = request(flooded.url, f"/v1/files/{STREAM}", method="GET", headers=())
    conversation = request(flooded.url, "/v1/chat/completions", chat(stream=True, max_tokens=STREAM // len(PIECE)))
    async with connected(flooded.url, limit_s=90) as exchange:
        await exchange.send(conversation if is_chat else download)
        assert await exchange.head() == 200
        await asyncio.to_thread(stalls, flood)
        ahead, growth = flood.written_bytes, resident(flooded) - before

        content = await exchange.rest()

    assert ahead < HELD, "the reader's pace reaches the provider"
    assert growth < HELD
    assert len(content) == flood.written_bytes >= STREAM
    assert content.endswith(b"data: [DONE]\n\n" if is_chat else PIECE)


def test_slow_typed_reader_holds_the_provider_back(flooded: Gateway, flood: FloodProvider) -> None:
    before = resident(flooded)
    asked = chat_request("flood")
    asked.max_tokens = STREAM // len(PIECE)
    with grpc.insecure_channel(flooded.grpc_target, options=GRPC_OPTIONS) as channel:
        chunks = ChatServiceStub(channel).StreamChatCompletion(asked, timeout=90)
        next(chunks)
        stalls(flood)
        ahead, growth = flood.written_bytes, resident(flooded) - before

        length = len(text_of(chunks))

    assert ahead < HELD, "the reader's pace reaches the provider"
    assert growth < HELD
    assert length > STREAM - 2 * MIB


def stalls(flood: FloodProvider) -> None:
    """Wait until the provider has not got rid of anything for a while."""
    seen = [-1]

    def quiet() -> bool:
        seen.append(flood.written_bytes)
        return len(seen) > 250 and seen[-1] == seen[-250]

    assert eventually(quiet, within_s=30)
