"""The TypeScript example against a real gRPC server on loopback. Skipped where `make clients` has not run."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from isthmus.v1.chat_pb2 import ChatRequest
from isthmus.v1.chat_pb2_grpc import ChatServiceServicer, add_ChatServiceServicer_to_server
from isthmus.v1.chat_stream_pb2 import ChatChunk, ChatEvent
from isthmus.v1.stream_pb2 import TextDelta
from isthmus.v1.usage_pb2 import Usage

TYPESCRIPT = Path(__file__).parents[2] / "clients/typescript"

pytestmark = pytest.mark.skipif(
    not (TYPESCRIPT / "node_modules/.ready").exists() or shutil.which("node") is None,
    reason="`make clients` installs what the example needs",
)


class Echo(ChatServiceServicer):
    """Streams the last message word by word after the caller's key; refuses the model `none`."""

    async def StreamChatCompletion(self, request: ChatRequest, context: Any) -> None:
        if request.model == "none":
            await context.abort(grpc.StatusCode.NOT_FOUND, "try demo/echo")
        key = dict(context.invocation_metadata())["authorization"]
        for word in (key, *request.messages[-1].parts[0].text.split()):
            await context.write(ChatChunk(events=[ChatEvent(text_delta=TextDelta(text=f"{word}|"))]))
        await context.write(ChatChunk(events=[ChatEvent(usage=Usage(output_tokens=2))]))


@pytest.fixture
async def url() -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_ChatServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def run_example(url: str, model: str) -> tuple[int | None, str, str]:
    settings = {"ISTHMUS_URL": url, "ISTHMUS_MODEL": model, "ISTHMUS_API_KEY": "isk_1"}
    example = await asyncio.create_subprocess_exec(
        "node_modules/.bin/tsx",
        "example.mts",
        "sky blue",
        cwd=TYPESCRIPT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(example.communicate(), 60)
    return example.returncode, out.decode(), err.decode()


async def test_example_prints_the_stream_as_it_comes(url: str) -> None:
    code, out, err = await run_example(url, "demo/echo")

    assert (code, out) == (0, "Bearer isk_1|sky|blue|"), err
    assert "2 tokens written" in err


async def test_example_reports_an_error_with_its_code(url: str) -> None:
    code, out, err = await run_example(url, "none")

    assert (code, out) == (1, "")
    assert "[not_found] try demo/echo" in err
