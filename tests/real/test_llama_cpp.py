"""A real llama.cpp server as upstream, over HTTP and over gRPC: not our idea of what a provider says, but one's own.

The vendor knob `grammar` keeps the random model to letters; it also shows that such knobs arrive.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import grpc
import msgspec
import openai
import pytest
from isthmus.v1 import (
    chat_pb2,
    chat_pb2_grpc,
    completion_pb2,
    completion_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    stream_pb2,
)

from tests.edge.gateway import Gateway, running_gateway

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
GRAMMAR = "root ::= [a-z ]+"
LETTERS = re.compile(r"[a-z ]+")
WIDTH = 64
QUESTION = [{"role": "user", "content": "What is an isthmus?"}]
EXTRA = {"grammar": GRAMMAR}


@contextmanager
def llama_server(model: Path, purpose: str, log: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "tests.real.llama_server", str(model), purpose]
    pipe = subprocess.PIPE
    with (
        log.open("w") as said,
        subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=said, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            assert address, log.read_text()
            yield f"{address}/v1"
        finally:
            server.kill()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    for package in ("gguf", "xllamacpp"):
        pytest.importorskip(package, reason="the extra `real` is not installed")
    from tests.real.tiny_gguf import write_model  # noqa: PLC0415 its packages are those that may be missing

    folder = tmp_path_factory.mktemp("llama")
    model = write_model(folder / "tiny.gguf")
    with ExitStack() as stack:
        providers = {
            purpose: {
                "dialect": "openai",
                "base_url": stack.enter_context(llama_server(model, purpose, folder / f"{purpose}.log")),
                "api_key": "none",
                "models": ["tiny"],
            }
            for purpose in ("chat", "embed")
        }
        yield stack.enter_context(running_gateway({"providers": providers}))


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0, timeout=30.0) as client:
        yield client


@pytest.fixture
def channel(gateway: Gateway) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway.grpc_target) as opened:
        yield opened


def chat_request() -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role="user", parts=[chat_pb2.Part(text="What is an isthmus?")])
    extra = msgspec.json.encode(EXTRA).decode()
    return chat_pb2.ChatRequest(model="chat/tiny", messages=[message], max_tokens=8, extra_json=extra)


def test_chat(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="chat/tiny", messages=QUESTION, max_tokens=8, extra_body=EXTRA)

    assert LETTERS.fullmatch(answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 8


def test_chat_stream(sdk: openai.OpenAI) -> None:
    chunks = list(
        sdk.chat.completions.create(
            model="chat/tiny",
            messages=QUESTION,
            max_tokens=8,
            extra_body=EXTRA,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    words = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert LETTERS.fullmatch("".join(words))
    assert len([word for word in words if word]) > 1
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens > 0


async def test_chat_stream_without_usage_is_clean(gateway: Gateway) -> None:
    body = {"model": "chat/tiny", "messages": QUESTION, "max_tokens": 4, "stream": True, **EXTRA}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/v1/chat/completions", json=body) as response,
    ):
        content = await response.read()

    assert content.endswith(b"\n\ndata: [DONE]\n\n")
    assert b'"usage":{' not in content


def test_completion(sdk: openai.OpenAI) -> None:
    answer = sdk.completions.create(model="chat/tiny", prompt="An isthmus is", max_tokens=4, extra_body=EXTRA)

    assert LETTERS.fullmatch(answer.choices[0].text)


def test_embeddings(sdk: openai.OpenAI) -> None:
    answer = sdk.embeddings.create(model="embed/tiny", input=["one", "two"])

    assert [len(one.embedding) for one in answer.data] == [WIDTH, WIDTH]
    assert math.isclose(sum(x * x for x in answer.data[0].embedding), 1.0, rel_tol=1e-3)


def test_error(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="chat/tiny", messages="none")  # type: ignore[arg-type]  # wrong on purpose

    assert "messages" in caught.value.message


def test_typed_chat(channel: grpc.Channel) -> None:
    answer = chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(chat_request(), timeout=30)

    assert LETTERS.fullmatch(answer.choices[0].message.parts[0].text)
    assert answer.choices[0].finish_reason in (stream_pb2.FINISH_REASON_LENGTH, stream_pb2.FINISH_REASON_STOP)
    assert 0 < answer.usage.output_tokens <= 8
    assert answer.provider == "chat"


def test_typed_chat_stream(channel: grpc.Channel) -> None:
    chunks = chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request(), timeout=30)

    events = [event for chunk in chunks for event in chunk.events]

    assert events[0].WhichOneof("event") == "start"
    assert LETTERS.fullmatch("".join(event.text_delta.text for event in events))
    assert [event.usage.input_tokens > 0 for event in events if event.HasField("usage")] == [True]


def test_typed_completion_and_embedding(channel: grpc.Channel) -> None:
    prompt = completion_pb2.CompletionRequest(
        model="chat/tiny",
        prompt=[completion_pb2.Prompt(text="An isthmus is")],
        max_tokens=4,
        extra_json=msgspec.json.encode(EXTRA).decode(),
    )
    inputs = embedding_pb2.EmbeddingRequest(model="embed/tiny", input=[embedding_pb2.EmbeddingInput(text="one")])

    completion = completion_pb2_grpc.CompletionServiceStub(channel).CreateCompletion(prompt, timeout=30)
    embedding = embedding_pb2_grpc.EmbeddingServiceStub(channel).CreateEmbedding(inputs, timeout=30)

    assert LETTERS.fullmatch(completion.choices[0].text)
    assert len(embedding.embeddings[0].floats.values) == WIDTH


def test_typed_error(channel: grpc.Channel) -> None:
    request = chat_request()
    request.extra_json = '{"response_format": {"type": "nonsense"}}'

    with pytest.raises(grpc.RpcError) as caught:
        chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(request, timeout=30)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
