"""A caller who leaves takes the provider along, within a tenth of a second, whatever phase the call is in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from isthmus.v1 import chat_pb2_grpc, forward_pb2, forward_pb2_grpc
from isthmusd.core.record import EndReason

from tests.fakes import answers
from tests.fakes.answers import STALL, Answer, chat_events
from tests.unit.pipeline.gateway import chat_request
from tests.unit.rpc.serving import SERVICE, Serving, serving
from tests.unit.rpc.test_typed import chat

WITHIN_S = 0.1
TRIES = 4
"""The machine may be busy with other things; the gateway is quick enough if it is quick once."""

SILENT_HEAD = Answer(delay_s=60.0)
SILENT_STREAM = answers.stream(*chat_events("ok")[:2], STALL)
SILENT_BEFORE_EVENT = answers.stream(STALL)
SILENT_BODY = Answer(headers=(("content-type", "application/json"),), pieces=(b'{"id": ', STALL), framing="chunked")


def whole(gateway: Serving) -> Any:
    return chat_pb2_grpc.ChatServiceStub(gateway.channel).CreateChatCompletion(chat())


def stream(gateway: Serving) -> Any:
    return chat_pb2_grpc.ChatServiceStub(gateway.channel).StreamChatCompletion(chat())


def openai(*, streamed: bool) -> Callable[[Serving], Any]:
    def call(gateway: Serving) -> Any:
        post = gateway.channel.unary_stream(
            SERVICE + "ChatCompletions", request_serializer=HttpBody.SerializeToString, response_deserializer=None
        )
        return post(HttpBody(content_type="application/json", data=chat_request(model="ok", stream=streamed)))

    return call


def forwarded(gateway: Serving) -> Any:
    head = forward_pb2.ForwardRequestHead(method="GET", path="/v1/files/f/content")
    return forward_pb2_grpc.ForwardServiceStub(gateway.channel).Forward(iter([forward_pb2.ForwardRequest(head=head)]))


def forwarded_over_http(gateway: Serving) -> Any:
    metadata = (("x-envoy-original-path", "/v1/files/f/content"), ("x-envoy-original-method", "GET"))
    call = gateway.channel.stream_stream(
        SERVICE + "Forward", request_serializer=HttpBody.SerializeToString, response_deserializer=None
    )
    return call(iter([HttpBody()]), metadata=metadata)


@pytest.mark.parametrize(
    ("call", "answer", "reads"),
    [
        (whole, SILENT_HEAD, False),
        (whole, SILENT_BODY, False),
        (stream, SILENT_HEAD, False),
        (stream, SILENT_BEFORE_EVENT, False),
        (stream, SILENT_STREAM, True),
        (openai(streamed=False), SILENT_HEAD, False),
        (openai(streamed=False), SILENT_BODY, False),
        (openai(streamed=True), SILENT_BEFORE_EVENT, False),
        (openai(streamed=True), SILENT_STREAM, True),
        (forwarded, SILENT_HEAD, False),
        (forwarded, SILENT_BODY, True),
        (forwarded_over_http, SILENT_HEAD, False),
        (forwarded_over_http, SILENT_BODY, True),
    ],
)
async def test_leaving_reaches_the_provider(call: Callable[[Serving], Any], answer: Answer, reads: bool) -> None:
    delays: list[float] = []

    async with serving() as gateway:
        gateway.provider.reply_always(answer)
        for count in range(1, TRIES + 1):
            running = call(gateway)
            reading = asyncio.ensure_future(running.read()) if reads else None
            received = await gateway.provider.received(count)
            if reading is not None:
                await reading
            left_at = time.monotonic()
            running.cancel()
            await asyncio.wait_for(received.aborted.wait(), 5)
            delays.append((received.aborted_at or 0) - left_at)
            if min(delays) < WITHIN_S:
                break
        await gateway.journal.holds(count)

    assert min(delays) < WITHIN_S
    assert {record.end for record in gateway.journal.records} == {EndReason.CANCELLED}
    assert {record.status for record in gateway.journal.records} == {499}


async def test_a_lost_connection_is_a_caller_who_left() -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(SILENT_STREAM)
        running = stream(gateway)
        await running.read()
        await gateway.channel.close()
        await asyncio.wait_for(gateway.provider.last.aborted.wait(), 5)
        await gateway.journal.holds(1)

    assert gateway.record.end is EndReason.CANCELLED
    assert gateway.record.usage is not None


@pytest.mark.parametrize("size", [10, 2**20])
async def test_half_an_upload_never_looks_whole_to_the_provider(size: int) -> None:
    metadata = (("x-envoy-original-path", "/v1/files"), ("x-envoy-original-method", "POST"))

    async with serving() as gateway:
        for count in range(1, 9):
            call = gateway.channel.stream_stream(
                SERVICE + "Forward", request_serializer=HttpBody.SerializeToString, response_deserializer=None
            )(metadata=metadata)
            await call.write(HttpBody(data=b"x" * size))
            await asyncio.sleep(0.02)
            call.cancel()
            await gateway.journal.holds(count)

    assert {record.end for record in gateway.journal.records} == {EndReason.CANCELLED}
    assert gateway.provider.requests == []
