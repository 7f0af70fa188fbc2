"""Both clients against a real gRPC server on loopback: keys, streams and errors as they come over a socket."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import isthmus
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status
from isthmus.v1.chat_pb2 import ChatChoice, ChatRequest, ChatResponse
from isthmus.v1.chat_pb2_grpc import ChatServiceServicer, add_ChatServiceServicer_to_server
from isthmus.v1.chat_stream_pb2 import ChatChunk, ChatEvent
from isthmus.v1.stream_pb2 import TextDelta

REFUSAL = (
    ErrorInfo(reason="RATE_LIMIT_EXCEEDED", domain="isthmus.v1", metadata={"provider": "demo"}),
    RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
    BadRequest(field_violations=[BadRequest.FieldViolation(field="model", description="is busy")]),
)


class Echo(ChatServiceServicer):
    """Answers with the last message and the caller's authorization; refuses the model `busy`."""

    async def CreateChatCompletion(self, request: ChatRequest, context: Any) -> ChatResponse:
        if request.model == "busy":
            await refuse(context, REFUSAL)
        if request.model == "garbled":
            context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
            await context.abort(grpc.StatusCode.INTERNAL, "garbled")
        if request.model == "large":
            return ChatResponse(choices=[ChatChoice(message=isthmus.assistant("x" * 5 * 1024 * 1024))])
        key = dict(context.invocation_metadata()).get("authorization", "")
        text = f"{request.messages[-1].parts[0].text} {key}"
        return ChatResponse(choices=[ChatChoice(message=isthmus.assistant(text))])

    async def StreamChatCompletion(self, request: ChatRequest, context: Any) -> None:
        for word in request.messages[-1].parts[0].text.split():
            await context.write(ChatChunk(events=[ChatEvent(text_delta=TextDelta(text=word))]))
        if request.model == "busy":
            await refuse(context, REFUSAL)


async def refuse(context: Any, details: tuple[Any, ...]) -> None:
    packed = [AnyMessage() for _ in details]
    for place, detail in zip(packed, details, strict=True):
        place.Pack(detail)
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    await context.abort_with_status(to_status(Status(code=code.value[0], message="Slow down.", details=packed)))


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server(options=(("grpc.max_send_message_length", -1),))
    add_ChatServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def ask(text: str, model: str = "demo/echo") -> ChatRequest:
    return ChatRequest(model=model, messages=[isthmus.user(text)])


async def test_async_call_carries_the_key(address: str) -> None:
    async with isthmus.AsyncClient(f"http://{address}", api_key="isk_1") as client:
        response = await client.chat.CreateChatCompletion(ask("hello"), timeout=10)

    assert isthmus.text_of(response) == "hello Bearer isk_1"


async def test_async_stream_yields_texts_before_its_error(address: str) -> None:
    async with isthmus.AsyncClient(address, api_key="isk_1") as client:
        texts: list[str] = []
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for text in isthmus.async_texts_of(client.chat.StreamChatCompletion(ask("a b", "busy"), timeout=10)):
                texts.append(text)

    assert texts == ["a", "b"]
    assert isthmus.error_of(raised.value).reason == "RATE_LIMIT_EXCEEDED"


async def test_error_details_are_values(address: str) -> None:
    async with isthmus.AsyncClient(address) as client:
        with pytest.raises(grpc.RpcError) as raised:
            await client.chat.CreateChatCompletion(ask("hello", "busy"), timeout=10)

    assert isthmus.error_of(raised.value) == isthmus.Failure(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        message="Slow down.",
        reason="RATE_LIMIT_EXCEEDED",
        domain="isthmus.v1",
        metadata={"provider": "demo"},
        retry_after_s=1.5,
        violations=(isthmus.Violation(field="model", description="is busy"),),
    )


async def test_unreadable_details_leave_code_and_message(address: str) -> None:
    async with isthmus.AsyncClient(address) as client:
        with pytest.raises(grpc.RpcError) as raised:
            await client.chat.CreateChatCompletion(ask("hello", "garbled"), timeout=10)

    assert isthmus.error_of(raised.value) == isthmus.Failure(code=grpc.StatusCode.INTERNAL, message="garbled")


async def test_answers_above_grpcs_default_limit_arrive(address: str) -> None:
    async with isthmus.AsyncClient(address) as client:
        response = await client.chat.CreateChatCompletion(ask("hello", "large"), timeout=10)

    assert len(isthmus.text_of(response)) == 5 * 1024 * 1024


BLOCKING = """
import sys, warnings
warnings.simplefilter("error")
import isthmus.v1.chat_pb2 as chat
assert "grpc" not in sys.modules, "messages alone pulled grpc in"
import grpc, isthmus
with isthmus.Client(sys.argv[1], api_key="isk_1") as client:
    ask = lambda model: chat.ChatRequest(model=model, messages=[isthmus.user("a b")])
    print(isthmus.text_of(client.chat.CreateChatCompletion(ask("demo/echo"), timeout=10)))
    print("|".join(isthmus.texts_of(client.chat.StreamChatCompletion(ask("demo/echo"), timeout=10))))
    for call in (client.chat.CreateChatCompletion, lambda *a, **k: list(client.chat.StreamChatCompletion(*a, **k))):
        try:
            call(ask("busy"), timeout=10)
        except grpc.RpcError as error:
            print(isthmus.error_of(error).retry_after_s)
"""


async def test_blocking_client_in_a_process_of_its_own(address: str) -> None:
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", BLOCKING, address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.stdout.splitlines() == ["a b Bearer isk_1", "a|b", "1.5", "1.5"], run.stderr
