"""The whole gateway's processes under load: the real workers behind the real Envoy. What only the supervisor and Envoy
do is tested with stub workers in `tests/edge`."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
import time
from collections.abc import AsyncIterator

import aiohttp
import grpc.aio
import msgspec
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from tests.edge.gateway import Gateway, running_gateway
from tests.system.pair import eventually

CHAT = "/v1/chat/completions"
TYPED = "/isthmus.v1.ChatService/CreateChatCompletion"
MESSAGES = [{"role": "user", "content": "hello"}]
STREAMED = msgspec.json.encode({"model": "demo/echo", "stream": True, "messages": MESSAGES})
WHOLE = msgspec.json.encode({"model": "demo/echo", "messages": MESSAGES})
JSON = {"content-type": "application/json"}
REQUEST = chat_pb2.ChatRequest(
    model="demo/echo", messages=[chat_pb2.Message(role="user", parts=[chat_pb2.Part(text="hello")])]
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


async def ask(http: aiohttp.ClientSession, gateway: Gateway, body: bytes = WHOLE) -> tuple[int, bytes]:
    async with http.post(gateway.url + CHAT, data=body, headers=JSON) as response:
        return response.status, await response.read()


def worker_pids(gateway: Gateway) -> set[int]:
    return {pid for pid, line in gateway.children().items() if "isthmusd.worker" in line}


async def counted_calls(http: aiohttp.ClientSession, gateway: Gateway) -> float:
    async with http.get(gateway.admin_url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("isthmus_calls_total{"))


async def count_reaches(http: aiohttp.ClientSession, gateway: Gateway, expected: int) -> float:
    """Records are counted in batches, a moment after their calls."""
    counted = 0.0
    for _ in range(50):
        counted = await counted_calls(http, gateway)
        if counted >= expected:
            break
        await asyncio.sleep(0.1)
    return counted


async def test_a_killed_worker_is_replaced_and_the_metrics_of_both_add_up(http: aiohttp.ClientSession) -> None:
    with running_gateway({}, workers=2) as gateway:
        assert {(await ask(http, gateway))[0] for _ in range(40)} == {200}
        assert await count_reaches(http, gateway, 40) == 40
        before = worker_pids(gateway)
        victim = min(before)

        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()

        assert await asyncio.to_thread(eventually, lambda: len(worker_pids(gateway) - {victim}) == 2, 2.0)
        assert time.monotonic() - killed_at < 2
        statuses = [(await ask(http, gateway))[0] for _ in range(20)]
        assert statuses[-10:] == [200] * 10
        answered = 40 + statuses.count(200)
        counted = await count_reaches(http, gateway, answered)
    assert len(before) == 2
    assert counted == answered


async def test_no_call_fails_when_the_gateway_is_told_to_stop_under_load(http: aiohttp.ClientSession) -> None:
    failed: list[str] = []
    finished = 0
    leave_at = time.monotonic() + 60
    with running_gateway({}, workers=2) as gateway:

        async def client() -> None:
            nonlocal finished, leave_at
            while time.monotonic() < leave_at:
                async with http.post(gateway.url + CHAT, data=STREAMED, headers=JSON) as response:
                    if response.headers.get("connection") == "close":
                        leave_at = min(leave_at, time.monotonic() + 0.4)  # connections are taken a while longer
                    body = await response.read()
                if response.status != 200 or not body.endswith(b"data: [DONE]\n\n"):
                    failed.append(f"{response.status} {body[-100:]!r}")
                finished += 1

        clients = [asyncio.create_task(client()) for _ in range(30)]
        await asyncio.sleep(2)
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*clients)
        code = await asyncio.to_thread(gateway.process.wait, 20)

    assert failed == []
    assert finished > 60
    assert code == 0


async def test_thirteen_hundred_streams_at_once(http: aiohttp.ClientSession) -> None:
    with running_gateway({}, workers=2) as gateway:

        async def stream() -> tuple[int, bytes]:
            await asyncio.sleep(random.random())
            return await ask(http, gateway, STREAMED)

        answers = await asyncio.gather(*(stream() for _ in range(1300)))

    assert {status for status, _ in answers} == {200}
    assert all(body.endswith(b"data: [DONE]\n\n") for _, body in answers)
    assert len({body.count(b"data: ") for _, body in answers}) == 1


async def test_grpc_web_connect_and_reflection_answer_on_the_same_port(http: aiohttp.ClientSession) -> None:
    message = REQUEST.SerializeToString()
    with running_gateway({}) as gateway:
        web_headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
        framed = struct.pack(">BI", 0, len(message)) + message
        async with http.post(gateway.url + TYPED, data=framed, headers=web_headers) as response:
            web = await response.read()
        connect_headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
        async with http.post(gateway.url + TYPED, data=message, headers=connect_headers) as response:
            connect = await response.read()
        async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
            native = await chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(REQUEST)
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            listed = [reply async for reply in stub.ServerReflectionInfo(iter([asked]))]

    (size,) = struct.unpack(">I", web[1:5])
    assert chat_pb2.ChatResponse.FromString(web[5 : 5 + size]) == native
    assert chat_pb2.ChatResponse.FromString(connect) == native
    assert native.provider == "demo"
    names = {service.name for service in listed[0].list_services_response.service}
    assert {"isthmus.v1.ChatService", "isthmus.v1.ForwardService", "grpc.health.v1.Health"} <= names
