"""The server around the services: health, reflection, what only Envoy may say, and bugs that stay opaque."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from isthmus.v1 import chat_pb2_grpc
from isthmusd.app import running
from isthmusd.core.record import EndReason
from isthmusd.core.request import Outbound
from isthmusd.rpc.openai import BROKEN
from isthmusd.rpc.server import SERVICES, ServerOptions
from isthmusd.settings import load

from tests.fakes.answers import chat_events
from tests.unit.pipeline.gateway import chat_request
from tests.unit.pipeline.targets import EVENTS, Answer
from tests.unit.rpc.serving import Serving, provisioned, refusal_of, serving
from tests.unit.rpc.test_typed import chat

SECRET = "sk-inner-secret"
Status = health_pb2.HealthCheckResponse


class FaultyUpstream:
    """Has a bug: at once, or after the first event."""

    def __init__(self, *steps: bytes) -> None:
        self._answer = Answer(headers=EVENTS, steps=(*steps, ZeroDivisionError(SECRET)))
        self._at_once = not steps

    @asynccontextmanager
    async def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AsyncIterator[Answer]:
        if self._at_once:
            raise ZeroDivisionError(SECRET)
        yield self._answer


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_every_service_is_healthy(service: str) -> None:
    async with serving() as gateway:
        stub = health_pb2_grpc.HealthStub(gateway.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))

    assert answer.status == Status.SERVING


async def test_health_says_so_before_the_server_stops() -> None:
    async with serving() as gateway, asyncio.TaskGroup() as tasks:
        watch = health_pb2_grpc.HealthStub(gateway.channel).Watch(health_pb2.HealthCheckRequest())
        before = await watch.read()
        tasks.create_task(gateway.server.stop(5.0))
        after = await watch.read()
        watch.cancel()

    assert (before.status, after.status) == (Status.SERVING, Status.NOT_SERVING)


async def test_calls_in_flight_finish_before_the_server_stops() -> None:
    async with serving() as gateway:
        call = chat_pb2_grpc.ChatServiceStub(gateway.channel).StreamChatCompletion(chat("slow"))
        await gateway.provider.received()
        stopping = asyncio.create_task(gateway.server.stop(10.0))
        chunks = [chunk async for chunk in call]
        await stopping

    assert chunks
    assert gateway.record.end is EndReason.COMPLETE


async def test_reflection_lists_the_services() -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    async with serving() as gateway:
        stub = reflection_pb2_grpc.ServerReflectionStub(gateway.channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]

    listed = {service.name for service in answers[0].list_services_response.service}
    assert listed == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_is_off_where_it_is_not_wanted() -> None:
    options = ServerOptions(bind="127.0.0.1:0", edge=False, reflection=False)

    async with (
        running(provisioned(load(None, {}, {"cache.url": "memory"})), options) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        refusal = await refusal_of(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest()])))

    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_server_listens_on_a_unix_socket(tmp_path: Any) -> None:
    path = tmp_path / "s"

    async with (
        running(provisioned(load(None, {}, {"cache.url": "memory"})), ServerOptions(bind=f"unix:{path}", edge=True)),
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    assert answer.status == Status.SERVING


async def test_two_servers_never_share_a_port() -> None:
    async with serving() as gateway:
        options = ServerOptions(bind=f"127.0.0.1:{gateway.server.port}", edge=False)
        with pytest.raises(RuntimeError):
            async with running(provisioned(load(None, {}, {"cache.url": "memory"})), options):
                pytest.fail("it started")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_is_opaque_to_typed_callers(stream: bool) -> None:
    async with serving(upstream=FaultyUpstream()) as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        call = stub.StreamChatCompletion(chat()) if stream else stub.CreateChatCompletion(chat())
        refusal = await refusal_of(call)

    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refusal.details["RequestInfo"].request_id == gateway.record.request_id
    _opaque_but_recorded(refusal.message, gateway)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_is_opaque_over_http(stream: bool) -> None:
    async with serving(upstream=FaultyUpstream()) as gateway:
        answered = await gateway.post("ChatCompletions", chat_request(model="ok", stream=stream))

    assert answered.status == 500
    assert (answered.json()["error"]["type"], answered.json()["error"]["code"]) == ("server_error", "internal")
    assert answered.metadata["x-request-id"] == gateway.record.request_id
    _opaque_but_recorded(str(answered.body), gateway)


async def test_a_bug_within_a_stream_ends_it_for_typed_callers() -> None:
    async with serving(upstream=FaultyUpstream(*chat_events("ok")[:2])) as gateway:
        call = chat_pb2_grpc.ChatServiceStub(gateway.channel).StreamChatCompletion(chat())
        assert (await call.read()).events
        refusal = await refusal_of(call)

    assert refusal.code is grpc.StatusCode.INTERNAL
    _opaque_but_recorded(refusal.message, gateway)


@pytest.mark.parametrize("forwarded", [False, True])
async def test_a_bug_within_a_stream_breaks_the_connection_over_http(forwarded: bool) -> None:
    async with serving(upstream=FaultyUpstream(*chat_events("ok")[:2])) as gateway:
        if forwarded:
            answered = await gateway.forward("/v1/responses/r", method="GET")
        else:
            answered = await gateway.post("ChatCompletions", chat_request(model="ok", stream=True))

    assert answered.messages[-1] == BROKEN
    assert answered.status == 200
    _opaque_but_recorded(str(answered.messages), gateway)


def _opaque_but_recorded(shown: str, gateway: Serving) -> None:
    assert SECRET not in shown
    assert "ZeroDivision" not in shown
    assert gateway.record.end is EndReason.BUG
    assert SECRET in (gateway.record.detail or "")
