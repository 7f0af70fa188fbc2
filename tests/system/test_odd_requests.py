"""Requests that are unusual rather than broken: each gets an answer or a clear refusal, and never a bug of ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import grpc
import msgspec
import pytest
from isthmus.v1 import chat_pb2, embedding_pb2, embedding_pb2_grpc
from isthmus.v1.chat_pb2_grpc import ChatServiceStub

from tests.system.pair import Pair
from tests.system.typed import chat_request, failure_of
from tests.system.wire import JSON_TYPE, Headers, ask, chat, connected, request

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
MIB = 1024 * 1024
CHAT_MODEL = "openai/gpt-4o-mini"

ODD_MODELS = {
    "prefix only": "openai/",
    "no prefix": "/x",
    "slashes": "///",
    "unknown demo": "demo/nosuch",
    "line break": "a\r\nx-injected: 1",
    "null character": "a\x00b",
    "unicode": "模型/☕",
    "long": "m" * 100_000,
    "traversal": "../../etc/passwd",
    "spaces": "  ",
    "query": "ok?x=1#y",
    "percent": "ok%2e%2e",
    "surrogate": "SURROGATE",
}


@pytest.mark.parametrize("model", ODD_MODELS.values(), ids=ODD_MODELS.keys())
@pytest.mark.parametrize("path", [CHAT, "/v1/rerank"])
async def test_odd_model(pair: Pair, model: str, path: str) -> None:
    body = chat(model).replace(b"SURROGATE", rb"\ud83d")

    answer = await ask(pair.url, path, body)

    assert answer.status in (200, 400, 404), answer
    assert "x-injected" not in answer.headers
    if answer.status != 200:
        assert len(answer.body) < 4096, "an error does not repeat what was sent at length"
        assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("model", ["a\r\nb", "☕", "m" * 10_000, "openai/", "  "])
async def test_odd_model_described(pair: Pair, channel: grpc.Channel, model: str) -> None:
    failure_or_none: list[str] = []
    try:
        ChatServiceStub(channel).CreateChatCompletion(chat_request(model), timeout=30)
    except grpc.RpcError as error:
        failure_or_none.append(error.code().name)

    assert failure_or_none in ([], ["NOT_FOUND"], ["INVALID_ARGUMENT"])


ODD_PROMPTS: dict[str, Any] = {
    "null": None,
    "number": 7,
    "true": True,
    "object": {"text": "x"},
    "empty list": [],
    "list of empty list": [[]],
    "mixed": [1, "a"],
    "nested": [["a"]],
    "negative token": [-1],
    "huge token": [10**20],
    "list of null": [None],
    "float token": [1.5],
}


@pytest.mark.parametrize("prompt", ODD_PROMPTS.values(), ids=ODD_PROMPTS.keys())
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/auto"])
async def test_odd_prompt_to_a_chat_model(pair: Pair, prompt: Any, path: str) -> None:
    answer = await ask(pair.url, path, msgspec.json.encode({"model": CHAT_MODEL, "prompt": prompt}))

    assert answer.status == 400, answer
    assert answer.error["type"] == "invalid_request_error"


async def test_missing_prompt_to_a_chat_model(pair: Pair) -> None:
    answer = await ask(pair.url, "/v1/completions", msgspec.json.encode({"model": CHAT_MODEL}))

    assert answer.status == 400
    assert answer.error["param"] == "prompt"


async def test_two_prompts_to_a_chat_model_are_two_calls_and_one_answer(pair: Pair) -> None:
    start = len(pair.provider.requests)

    answer = await ask(pair.url, "/v1/completions", msgspec.json.encode({"model": CHAT_MODEL, "prompt": ["a", "b"]}))

    sent = sorted(received.json()["messages"][0]["content"] for received in pair.provider.requests[start:])
    assert answer.status == 200, answer
    assert sent == ["a", "b"]
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1]
    assert answer.json()["object"] == "text_completion"
    assert answer.json()["usage"]["total_tokens"] == 16


async def test_losses_are_told_and_strict_calls_refuse_them(pair: Pair) -> None:
    body = msgspec.json.encode({"model": CHAT_MODEL, "prompt": "a", "best_of": 3})

    lax = await ask(pair.url, "/v1/completions", body)
    strict = await ask(pair.url, "/v1/completions", body, headers=(*JSON_TYPE, ("x-isthmus-strict", "true")))

    assert lax.status == 200
    assert "best_of" in lax.headers["x-isthmus-losses"]
    assert strict.status == 400
    assert "best_of" in (strict.error["param"] or strict.error["message"])


async def test_suffix_on_a_chat_model_is_refused(pair: Pair) -> None:
    body = msgspec.json.encode({"model": CHAT_MODEL, "prompt": "a", "suffix": "z"})

    answer = await ask(pair.url, "/v1/completions", body)

    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == ("unsupported_feature", "suffix")


Spoil = Callable[[chat_pb2.ChatRequest], object]
ODD_TYPED: dict[str, Spoil] = {
    "temperature NaN": lambda request: setattr(request, "temperature", math.nan),
    "temperature infinite": lambda request: setattr(request, "temperature", math.inf),
    "bias infinite": lambda request: request.logit_bias.update({"1": -math.inf}),
    "bias NaN": lambda request: request.logit_bias.update({"x": math.nan}),
}


@pytest.mark.parametrize("spoil", ODD_TYPED.values(), ids=ODD_TYPED.keys())
def test_number_that_json_cannot_say(channel: grpc.Channel, spoil: Spoil) -> None:
    spoiled = chat_request()
    spoil(spoiled)

    failure = failure_of(lambda: ChatServiceStub(channel).CreateChatCompletion(spoiled, timeout=30))

    assert failure.grpc == "INVALID_ARGUMENT", failure


def test_extreme_numbers_pass(pair: Pair, channel: grpc.Channel) -> None:
    spoiled = chat_request()
    spoiled.seed, spoiled.max_tokens, spoiled.n, spoiled.temperature = -(2**63), -(2**31), 0, 5e-324

    ChatServiceStub(channel).CreateChatCompletion(spoiled, timeout=30)

    sent = pair.provider.last.json()
    assert (sent["seed"], sent["max_tokens"], sent["n"], sent["temperature"]) == (-(2**63), -(2**31), 0, 5e-324)


def test_extra_json_replaces_members(pair: Pair, channel: grpc.Channel) -> None:
    spoiled = chat_request()
    spoiled.temperature = 0.5
    spoiled.extra_json = '{"temperature":null,"max_tokens":7}'

    ChatServiceStub(channel).CreateChatCompletion(spoiled, timeout=30)

    sent = pair.provider.last.json()
    assert sent["temperature"] is None
    assert sent["max_tokens"] == 7


@pytest.mark.parametrize("name", ["model", "stream", "messages"])
def test_extra_json_cannot_go_around_the_gateway(pair: Pair, channel: grpc.Channel, name: str) -> None:
    spoiled = chat_request()
    value = {"model": "box/other", "stream": True, "messages": []}[name]
    spoiled.extra_json = msgspec.json.encode({name: value}).decode()
    codes: list[str] = []
    try:
        ChatServiceStub(channel).CreateChatCompletion(spoiled, timeout=30)
    except grpc.RpcError as error:
        codes.append(error.code().name)

    assert codes == ["INVALID_ARGUMENT"] or pair.provider.last.json()["model"] == "ok"
    assert codes in ([], ["INVALID_ARGUMENT"])


def test_embedding_as_bytes(channel: grpc.Channel) -> None:
    encoding = embedding_pb2.EMBEDDING_ENCODING_FLOAT32_LE
    inputs = [embedding_pb2.EmbeddingInput(text="x")]
    asked = embedding_pb2.EmbeddingRequest(model="ok", input=inputs, encoding=encoding)

    answer = embedding_pb2_grpc.EmbeddingServiceStub(channel).CreateEmbedding(asked, timeout=30)

    assert len(answer.embeddings[0].float32_le) == 12


async def test_chunked_json_body(pair: Pair) -> None:
    body = chat("fast")
    chunked = b"".join(b"%x\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body))) + b"0\r\n\r\n"
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n"

    async with connected(pair.url) as exchange:
        await exchange.send(head.encode() + chunked)
        assert await exchange.head() == 200

    assert pair.provider.last.body == body.replace(b'"fast"', b'"ok"')


async def test_expect_continue(pair: Pair) -> None:
    body = chat(padding="x" * 2 * MIB)
    written = request(pair.url, CHAT, body, headers=(*JSON_TYPE, ("expect", "100-continue")))

    async with connected(pair.url) as exchange:
        await exchange.send(written)
        assert await exchange.head() == 200


@pytest.mark.parametrize(
    "headers",
    [
        (("content-type", "application/json; charset=utf-8"),),
        (("content-type", "application/json;charset=UTF-8; x=y"),),
        (("content-type", "APPLICATION/JSON"),),
        (),
    ],
    ids=["charset", "parameters", "capitals", "none"],
)
async def test_content_type_variants(pair: Pair, headers: Headers) -> None:
    answer = await ask(pair.url, CHAT, chat(), headers=headers)

    assert answer.status == 200, answer


async def test_unknown_endpoint_name(pair: Pair) -> None:
    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("x-isthmus-endpoint", "nosuch")))
    named = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("x-isthmus-endpoint", "main")))

    assert answer.status in (400, 404)
    assert answer.error["type"] == "invalid_request_error"
    assert (named.status, named.headers["x-isthmus-endpoint"]) == (200, "main")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "FOO"])
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/fast", "/healthz"])
async def test_other_methods_are_no_bug(pair: Pair, method: str, path: str) -> None:
    answer = await ask(pair.url, path, method=method, headers=())

    assert answer.status < 500 or answer.status == 501, answer


async def test_alias_with_slashes_and_odd_characters_in_the_models_route(pair: Pair) -> None:
    prefixed = await ask(pair.url, "/v1/models/box/tiny", method="GET", headers=())
    encoded = await ask(pair.url, "/v1/models/box%2Ftiny?x=1", method="GET", headers=())
    unknown = await ask(pair.url, "/v1/models/%00%0d%0ax", method="GET", headers=())

    assert prefixed.json()["id"] == "box/tiny"
    assert encoded.json()["id"] == "box/tiny"
    assert unknown.status in (400, 404)
