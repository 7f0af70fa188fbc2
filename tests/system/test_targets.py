"""Several targets and credentials behind one model, and images by URL for a target that takes bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import grpc
import msgspec
import pytest
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from tests.fakes.answers import Answer, whole
from tests.fakes.provider import FakeProvider
from tests.system.background import in_background
from tests.system.pair import Pair, closed_port, running_pair
from tests.system.typed import chat_request, failure_of, text_of
from tests.system.wire import JSON_TYPE, Headers, Response, ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
BLUE, GREEN, ALSO = "sk-blue", "sk-green", "sk-also"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
ENDPOINTS = {"green": {"api_key": GREEN}}


@pytest.fixture(scope="module")
def web() -> Iterator[FakeProvider]:
    with in_background(FakeProvider()) as serving:
        yield serving


@pytest.fixture(scope="module")
def targets(web: FakeProvider) -> Iterator[Pair]:
    """Targets of these models fail in the ways that their names say, by a fake provider that looks at the model."""
    models = {
        "sturdy": {"targets": ["openai/e500", {"provider": "other", "model": "ok"}]},
        "unreachable": {"targets": ["gone/x", "other/ok"]},
        "busy": {"targets": [{"provider": "openai", "model": "r429", "endpoint": "green"}, "other/e500"]},
        "seen": {"provider": "google", "model": "gemini-2.5-flash"},
    }
    providers = {
        "openai": {"api_key": BLUE, "endpoint": "blue", "endpoints": ENDPOINTS},
        "other": {"api_key": ALSO},
        "gone": {"base_url": f"http://127.0.0.1:{closed_port()}/v1"},
        "google": {"api_key": "k"},
    }
    media = {"allow_private": ["127.0.0.1"], "ports": [web.port]}
    with running_pair(providers=providers, models=models, media=media) as running:
        yield running


def keys_since(pair: Pair, start: int) -> list[str]:
    return [
        (received.header("authorization") or "").removeprefix("Bearer ") for received in pair.provider.requests[start:]
    ]


async def answer_of(
    pair: Pair, model: str, *headers: tuple[str, str], stream: bool = False
) -> tuple[Response, list[str]]:
    start = len(pair.provider.requests)
    named: Headers = (*JSON_TYPE, *headers)
    answer = await ask(pair.url, CHAT, chat(model, stream=stream), headers=named)
    return answer, keys_since(pair, start)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failing_target_makes_room_for_the_next(targets: Pair, stream: bool) -> None:
    answer, keys = await answer_of(targets, "sturdy", stream=stream)

    assert answer.status == 200
    assert keys == [BLUE, GREEN, ALSO]
    assert answer.headers["x-isthmus-attempts"] == "3"
    assert "x-isthmus-endpoint" not in answer.headers


async def test_a_host_that_is_gone_makes_room_for_the_next(targets: Pair) -> None:
    answer, keys = await answer_of(targets, "unreachable")

    assert (answer.status, keys, answer.headers["x-isthmus-attempts"]) == (200, [ALSO], "2")


@pytest.mark.parametrize("header", ["x-isthmus-endpoint", "x-bt-endpoint-name"])
async def test_the_caller_picks_a_credential(targets: Pair, header: str) -> None:
    answer, keys = await answer_of(targets, "ok", (header, "green"))
    default, default_keys = await answer_of(targets, "ok")

    assert (keys, default_keys) == ([GREEN], [BLUE])
    assert answer.headers["x-isthmus-endpoint"] == answer.headers["x-bt-used-endpoint"] == "green"
    assert default.headers["x-isthmus-endpoint"] == "blue"


async def test_an_unknown_credential_is_refused_with_the_known_ones(targets: Pair) -> None:
    answer, keys = await answer_of(targets, "ok", ("x-isthmus-endpoint", "red"))

    assert (answer.status, answer.error["param"], keys) == (400, "x-isthmus-endpoint", [])
    assert "known: blue, green" in answer.error["message"]


async def test_forward_uses_the_picked_credential_and_no_other(targets: Pair) -> None:
    start = len(targets.provider.requests)

    picked = await ask(targets.url, "/v1/files", method="GET", headers=(("x-isthmus-endpoint", "green"),))
    await ask(targets.url, "/v1/moderate", chat("sturdy"))

    assert (picked.status, picked.headers["x-isthmus-endpoint"]) == (200, "green")
    assert keys_since(targets, start) == [GREEN, BLUE]


async def test_a_busy_provider_speaks_when_every_target_failed(targets: Pair) -> None:
    answer, keys = await answer_of(targets, "busy")

    assert (answer.status, answer.headers["retry-after"], answer.headers["x-should-retry"]) == (429, "7", "true")
    assert answer.error["type"] == "rate_limit_error"
    assert sorted(keys) == sorted([GREEN, ALSO])


def test_over_grpc_too(targets: Pair) -> None:
    start = len(targets.provider.requests)
    with targets.channel() as channel:
        stub = chat_pb2_grpc.ChatServiceStub(channel)
        answer, call = stub.CreateChatCompletion.with_call(chat_request("sturdy"), timeout=30)
        pieces = stub.StreamChatCompletion(chat_request("ok"), timeout=30, metadata=(("x-isthmus-endpoint", "green"),))
        text = text_of(pieces)
        unknown = failure_of(
            lambda: stub.CreateChatCompletion(chat_request("ok"), timeout=30, metadata=(("x-isthmus-endpoint", "red"),))
        )
        busy = failure_of(lambda: stub.CreateChatCompletion(chat_request("busy"), timeout=30))

    assert answer.choices
    assert dict(call.initial_metadata())["x-isthmus-attempts"] == "3"
    assert dict(pieces.initial_metadata())["x-isthmus-endpoint"] == "green"
    assert text
    assert keys_since(targets, start)[:4] == [BLUE, GREEN, ALSO, GREEN]
    assert (unknown.grpc, unknown.param) == ("INVALID_ARGUMENT", "x-isthmus-endpoint")
    assert (busy.grpc, busy.retry_after) == ("RESOURCE_EXHAUSTED", 7)


def google_answer() -> Answer:
    parts = [{"text": "a cat"}]
    return whole({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]})


def image_request(url: str) -> bytes:
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return msgspec.json.encode({"model": "seen", "messages": [{"role": "user", "content": parts}]})


async def test_an_image_by_url_reaches_a_target_that_takes_bytes(targets: Pair, web: FakeProvider) -> None:
    web.reply_with(Answer(headers=(("content-type", "image/png"),), pieces=(PNG,)))
    targets.provider.reply_with(google_answer())

    answer = await ask(targets.url, CHAT, image_request(f"http://127.0.0.1:{web.port}/cat.png"))

    assert answer.status == 200, answer
    assert base64.b64encode(PNG) in targets.provider.last.body
    assert web.last.path == "/cat.png"
    assert b"127.0.0.1" not in targets.provider.last.body


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data/", "http://localhost:1/", "http://127.0.0.2/"]
)
async def test_an_image_that_must_not_be_fetched_is_the_callers_error(targets: Pair, url: str) -> None:
    start = len(targets.provider.requests)

    answer = await ask(targets.url, CHAT, image_request(url))

    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[1]")
    assert "as base64" in answer.error["message"]
    assert len(targets.provider.requests) == start


def test_an_image_over_grpc_too(targets: Pair, web: FakeProvider) -> None:
    web.reply_with(Answer(headers=(("content-type", "image/png"),), pieces=(PNG,)))
    targets.provider.reply_with(google_answer())
    image = chat_pb2.Part(image=chat_pb2.Image(url=f"http://127.0.0.1:{web.port}/cat.png"))
    request = chat_pb2.ChatRequest(model="seen", messages=[chat_pb2.Message(role="user", parts=[image])])

    with targets.channel() as channel:
        answer = chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(request, timeout=30)
        refused = chat_pb2.Part(image=chat_pb2.Image(url="http://10.0.0.1/"))
        bad = chat_pb2.ChatRequest(model="seen", messages=[chat_pb2.Message(role="user", parts=[refused])])
        with pytest.raises(grpc.RpcError) as refusal:
            chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(bad, timeout=30)

    assert answer.choices[0].message.parts[0].text == "a cat"
    assert base64.b64encode(PNG) in targets.provider.last.body
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
