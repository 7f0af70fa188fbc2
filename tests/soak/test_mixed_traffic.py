"""Minutes of mixed traffic over both protocols, with callers who leave: memory stays where it was, and nothing is left
open. Not a benchmark: it makes no claim about speed.

ISTHMUS_SOAK_S sets the seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.request import urlopen

import grpc.aio
import pytest
from isthmus.v1 import chat_pb2_grpc

from tests.edge.gateway import Gateway
from tests.fakes.answers import TEXT
from tests.system.pair import GRPC_OPTIONS, Pair, eventually, running_pair
from tests.system.typed import chat_request, text_of
from tests.system.wire import chat, connected, request

SOAK_S = float(os.environ.get("ISTHMUS_SOAK_S", "120"))
CALLERS = 16
GROWTH = 1.15
"""Resident memory at the end, as a multiple of that after the first quarter, when caches and pools are full."""
SLACK_KIB = 8 * 1024
UPLOAD = b"x" * 300_000
# A connection for each caller, as separate processes have: Envoy's HTTP/2 closes one that has many cancelled calls.
CHANNEL = (*GRPC_OPTIONS, ("grpc.use_local_subchannel_pool", 1))

pytestmark = [pytest.mark.edge, pytest.mark.soak, pytest.mark.timeout(SOAK_S * 2 + 180)]

Work = Callable[[Pair, grpc.aio.Channel], Awaitable[None]]


async def stream_over_http(pair: Pair, _channel: grpc.aio.Channel) -> None:
    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, "/v1/chat/completions", chat(stream=True)))
        assert await exchange.head() == 200
        assert (await exchange.rest()).endswith(b"data: [DONE]\n\n")


async def whole_over_http(pair: Pair, _channel: grpc.aio.Channel) -> None:
    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, "/v1/chat/completions", chat(stream=False)))
        assert await exchange.head() == 200
        await exchange.rest()


async def upload_over_http(pair: Pair, _channel: grpc.aio.Channel) -> None:
    async with connected(pair.url) as exchange:
        headers = (("content-type", "application/octet-stream"),)
        await exchange.send(request(pair.url, "/v1/files", UPLOAD, headers=headers))
        assert await exchange.head() == 200
        await exchange.rest()


async def refused_over_http(pair: Pair, _channel: grpc.aio.Channel) -> None:
    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, "/v1/chat/completions", b'{"model":'))
        assert await exchange.head() == 400
        await exchange.rest()


async def leave_over_http(pair: Pair, _channel: grpc.aio.Channel) -> None:
    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, "/v1/chat/completions", chat(model="stall", stream=True)))
        await exchange.head()
        await exchange.until(b"content")
        exchange.leave()


async def stream_over_grpc(_pair: Pair, channel: grpc.aio.Channel) -> None:
    call = chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request(), timeout=30)
    assert text_of([chunk async for chunk in call]) == TEXT


async def broken_over_grpc(_pair: Pair, channel: grpc.aio.Channel) -> None:
    call = chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request("cut"), timeout=30)
    with pytest.raises(grpc.aio.AioRpcError):
        async for _chunk in call:
            pass


async def leave_over_grpc(_pair: Pair, channel: grpc.aio.Channel) -> None:
    call = chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request("stall"), timeout=30)
    await call.read()
    call.cancel()


WORK: tuple[Work, ...] = (
    stream_over_http,
    whole_over_http,
    upload_over_http,
    refused_over_http,
    leave_over_http,
    stream_over_grpc,
    broken_over_grpc,
    leave_over_grpc,
)


def resident_kib(gateway: Gateway) -> dict[int, int]:
    """Of the supervisor and its children."""
    pages = {pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in processes(gateway)}
    return {pid: count * os.sysconf("SC_PAGE_SIZE") // 1024 for pid, count in pages.items()}


def open_files(gateway: Gateway) -> dict[int, int]:
    return {pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in processes(gateway)}


def processes(gateway: Gateway) -> tuple[int, ...]:
    return (gateway.process.pid, *gateway.children())


def is_idle(gateway: Gateway) -> bool:
    """Whether no call is under way, as the gateway itself counts them."""
    with urlopen(f"{gateway.admin_url}/metrics", timeout=10) as answer:
        return b"\nisthmus_calls_active 0.0\n" in answer.read()


async def drive(pair: Pair, until: float) -> int:
    """Make calls of every kind until then; give how many."""
    calls = 0

    async def caller(seed: int) -> None:
        nonlocal calls
        choice = random.Random(seed)
        async with grpc.aio.insecure_channel(pair.gateway.grpc_target, options=CHANNEL) as channel:
            while time.monotonic() < until:
                await choice.choice(WORK)(pair, channel)
                calls += 1
                if seed == 0:
                    pair.provider.requests.clear()  # it keeps them for ever, with their bodies

    async with asyncio.TaskGroup() as group:
        for seed in range(CALLERS):
            group.create_task(caller(seed))
    return calls


def drive_for(pair: Pair, seconds: float) -> int:
    """Make calls for so long, and wait until the gateway has none left."""
    calls = asyncio.run(drive(pair, time.monotonic() + seconds))
    assert eventually(lambda: is_idle(pair.gateway)), "calls are under way that nobody waits for"
    return calls


def test_mixed_traffic_leaves_nothing_behind() -> None:
    with running_pair() as pair:
        drive_for(pair, SOAK_S / 4)
        warm, held = resident_kib(pair.gateway), open_files(pair.gateway)

        calls = drive_for(pair, SOAK_S * 3 / 4)

        assert calls > CALLERS * 10
        grown = {pid: (warm.get(pid), now) for pid, now in resident_kib(pair.gateway).items()}
        assert grown.keys() == warm.keys(), "a process was replaced"
        assert all(now <= warm[pid] * GROWTH + SLACK_KIB for pid, (_, now) in grown.items()), (calls, grown)
        # Idle connections to the provider are kept for the next call: at most one per caller.
        opened = {pid: (held[pid], now) for pid, now in open_files(pair.gateway).items()}
        assert all(now <= before + CALLERS for before, now in opened.values()), (calls, opened)
        print(f"{calls} calls; KiB {grown}; files {opened}")  # noqa: T201 the figures are why one runs this
