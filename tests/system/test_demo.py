"""A newcomer without any key: the built-in provider answers curl and a stub, and errors point to it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import msgspec
import pytest
from isthmus.v1 import embedding_pb2, embedding_pb2_grpc

from tests.edge.gateway import Gateway, running_gateway
from tests.system.typed import chat_stream, chat_whole, text_of
from tests.system.wire import Headers, ask

pytestmark = pytest.mark.edge
CURL: Headers = (("user-agent", "curl/7.88.1"), ("accept", "*/*"), ("content-type", "application/json"))
QUESTION = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Gateway]:
    with running_gateway({}, env={"XDG_DATA_HOME": ""}) as gateway:
        yield gateway


@pytest.fixture
def stub_channel(newcomer: Gateway) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(newcomer.grpc_target) as opened:
        yield opened


def question(**members: object) -> bytes:
    return msgspec.json.encode({"model": "demo/echo", "messages": QUESTION, **members})


async def test_curl_gets_an_answer(newcomer: Gateway) -> None:
    first = await ask(newcomer.url, "/v1/chat/completions", question(), headers=CURL)
    again = await ask(newcomer.url, "/v1/chat/completions", question(), headers=CURL)

    text = first.json()["choices"][0]["message"]["content"]
    assert first.status == 200
    assert "one two three" in text
    assert again.json()["choices"][0]["message"]["content"] == text
    assert first.json()["usage"]["total_tokens"] > 0


async def test_curl_gets_a_stream_word_by_word(newcomer: Gateway) -> None:
    answer = await ask(newcomer.url, "/v1/chat/completions", question(stream=True), headers=CURL)

    events = [event[6:] for event in answer.body.split(b"\n\n") if event]
    words = [
        choice["delta"].get("content") or ""
        for event in events[:-1]
        for choice in msgspec.json.decode(event)["choices"]
    ]
    assert events[-1] == b"[DONE]"
    assert len([word for word in words if word.strip()]) >= 3


async def test_curl_completes_and_embeds(newcomer: Gateway) -> None:
    completion = await ask(newcomer.url, "/v1/completions", b'{"model":"demo/echo","prompt":"one two"}', headers=CURL)
    embedding = await ask(newcomer.url, "/v1/embeddings", b'{"model":"demo/embed","input":["a","b"]}', headers=CURL)

    assert "one two" in completion.json()["choices"][0]["text"]
    assert len(embedding.json()["data"]) == 2


def test_stub_gets_the_same(stub_channel: grpc.Channel) -> None:
    whole = chat_whole(stub_channel, "demo/echo")
    chunks = list(chat_stream(stub_channel, "demo/echo"))
    embed = embedding_pb2_grpc.EmbeddingServiceStub(stub_channel).CreateEmbedding
    request = embedding_pb2.EmbeddingRequest(model="demo/embed", input=[embedding_pb2.EmbeddingInput(text="a")])

    assert text_of(chunks) == whole.choices[0].message.parts[0].text
    assert embed(request, timeout=30).embeddings[0].floats.values


async def test_model_without_a_key_points_to_the_demo(newcomer: Gateway) -> None:
    answer = await ask(newcomer.url, "/v1/chat/completions", question(model="gpt-4o"), headers=CURL)

    assert answer.status in (401, 404)
    assert "demo/echo" in answer.error["message"]


async def test_demo_is_listed_and_the_gateway_is_ready(newcomer: Gateway) -> None:
    models = await ask(newcomer.url, "/v1/models", method="GET", headers=CURL)
    ready = await ask(newcomer.url, "/readyz", method="GET", headers=CURL)
    healthy = await ask(newcomer.url, "/healthz", method="GET", headers=CURL)

    assert "demo/echo" in [model["id"] for model in models.json()["data"]]
    assert (ready.status, healthy.status) == (200, 200)


async def test_unknown_fields_are_taken(newcomer: Gateway) -> None:
    answer = await ask(newcomer.url, "/v1/chat/completions", question(vendor_knob={"a": None}, seed=1), headers=CURL)

    assert answer.status == 200
