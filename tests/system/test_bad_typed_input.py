"""Typed input that the contract's types cannot refuse: a clear status with ErrorInfo, and the gateway lives on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from isthmus.v1 import (
    chat_pb2,
    completion_pb2,
    completion_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
)
from isthmus.v1.chat_pb2_grpc import ChatServiceStub

from tests.conformance.outcome import Fault
from tests.system.pair import Pair
from tests.system.typed import chat_request, chat_whole, failure_of

pytestmark = pytest.mark.edge
MIB = 1024 * 1024
Request = chat_pb2.ChatRequest
Spoil = Callable[[Request], object]


@pytest.fixture(autouse=True)
def survivor(pair: Pair, channel: grpc.Channel) -> Iterator[None]:
    """After whatever a test does, the same processes still answer."""
    before = set(pair.gateway.children())
    yield
    assert chat_whole(channel).choices
    assert set(pair.gateway.children()) == before


def set_extra(text: str) -> Spoil:
    return lambda request: setattr(request, "extra_json", text)


BAD_REQUESTS: dict[str, tuple[Spoil, str | None]] = {
    "no model": (lambda request: request.ClearField("model"), "model"),
    "no messages": (lambda request: request.ClearField("messages"), "messages"),
    "message without role": (lambda request: request.messages.add(parts=[chat_pb2.Part(text="x")]), None),
    "part without kind": (lambda request: request.messages.add(role="user", parts=[chat_pb2.Part()]), None),
    "part of bad JSON": (
        lambda request: request.messages.add(role="user", parts=[chat_pb2.Part(raw_json='{"type":')]),
        None,
    ),
    "tool without kind": (lambda request: request.tools.add(), None),
    "tool of bad JSON": (lambda request: request.tools.add(raw_json="[1"), None),
    "schema of bad JSON": (
        lambda request: request.tools.add(function=chat_pb2.Function(name="f", parameters_json="{")),
        None,
    ),
    "unknown tool choice": (lambda request: setattr(request.tool_choice, "mode", 99), None),
    "empty tool choice": (lambda request: request.tool_choice.SetInParent(), None),
    "empty response format": (lambda request: request.response_format.SetInParent(), None),
    "image without source": (
        lambda request: request.messages.add(role="user", parts=[chat_pb2.Part(image=chat_pb2.Image())]),
        None,
    ),
    "extra is no JSON": (set_extra("{"), "extra_json"),
    "extra is no object": (set_extra("[1]"), "extra_json"),
    "extra is too deep": (set_extra('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "extra_json"),
    "prediction is no JSON": (lambda request: setattr(request, "prediction_json", "{"), None),
}


def demand_clear(failure: Fault) -> None:
    assert failure.grpc == "INVALID_ARGUMENT", failure
    assert failure.reason, failure
    assert failure.message, failure


@pytest.mark.parametrize(("spoil", "param"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_request(pair: Pair, channel: grpc.Channel, spoil: Spoil, param: str | None) -> None:
    request, start = chat_request(), len(pair.provider.requests)
    spoil(request)

    whole = failure_of(lambda: ChatServiceStub(channel).CreateChatCompletion(request, timeout=30))
    stream = failure_of(lambda: list(ChatServiceStub(channel).StreamChatCompletion(request, timeout=30)))

    demand_clear(whole)
    demand_clear(stream)
    assert param is None or (whole.param or "").startswith(param), whole
    assert len(pair.provider.requests) == start, "the provider must not see it"


def test_bad_completion_and_embedding(channel: grpc.Channel) -> None:
    completion = completion_pb2.CompletionRequest(model="ok", prompt=[completion_pb2.Prompt()])
    embedding = embedding_pb2.EmbeddingRequest(model="ok")
    wrong_enum = embedding_pb2.EmbeddingRequest(model="ok", input=[embedding_pb2.EmbeddingInput(text="x")], encoding=77)  # type: ignore[arg-type]  # wrong on purpose

    complete = completion_pb2_grpc.CompletionServiceStub(channel).CreateCompletion
    embed = embedding_pb2_grpc.EmbeddingServiceStub(channel).CreateEmbedding

    demand_clear(failure_of(lambda: complete(completion, timeout=30)))
    demand_clear(failure_of(lambda: embed(embedding, timeout=30)))
    demand_clear(failure_of(lambda: embed(wrong_enum, timeout=30)))


def test_message_over_the_limit(pair: Pair) -> None:
    start = len(pair.provider.requests)
    with pair.channel() as channel:
        request = chat_request(text="x" * 65 * MIB)
        failure = failure_of(lambda: ChatServiceStub(channel).CreateChatCompletion(request, timeout=60))

    assert failure.grpc in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")
    assert len(pair.provider.requests) == start


def test_metadata_over_the_limit(pair: Pair) -> None:
    with pair.channel() as channel:
        ask = ChatServiceStub(channel).CreateChatCompletion

        def asked(size: int) -> object:
            return ask(chat_request(), metadata=(("x-padding", "p" * size),), timeout=60)

        failures = [failure_of(lambda size=size: asked(size)) for size in (200_000, 66_000) * 3]
        asked(60_000)

    assert {(failure.grpc, failure.reason) for failure in failures} == {("INVALID_ARGUMENT", "HEADERS_TOO_LARGE")}


def test_bytes_that_are_no_message(pair: Pair, channel: grpc.Channel) -> None:
    call = channel.unary_unary("/isthmus.v1.ChatService/CreateChatCompletion")

    failure = failure_of(lambda: call(b"\xff\xff\xff not a message", timeout=30))

    demand_clear(failure)
    assert "DecodeError" not in failure.message


def test_unknown_method(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/isthmus.v1.ChatService/NoSuchMethod")

    assert failure_of(lambda: call(b"", timeout=30)).grpc == "UNIMPLEMENTED"


def test_http_surface_is_not_for_stubs(pair: Pair, channel: grpc.Channel) -> None:
    start = len(pair.provider.requests)
    call = channel.unary_stream("/isthmus.v1.OpenAIService/ChatCompletions")
    spoofed = (("x-envoy-original-path", "/v1/chat/completions"), ("x-envoy-original-method", "POST"))

    failure = failure_of(lambda: list(call(b"", metadata=spoofed, timeout=30)))

    assert failure.grpc not in ("OK", "INTERNAL", "UNKNOWN"), failure
    assert len(pair.provider.requests) == start


def test_spoofed_metadata_has_no_effect(pair: Pair, channel: grpc.Channel) -> None:
    metadata = (("x-envoy-original-path", "/v1/models"), ("x-isthmus-int-tenant", "other"), ("x-http-code", "418"))

    answer = ChatServiceStub(channel).CreateChatCompletion(chat_request(), metadata=metadata, timeout=30)

    assert answer.choices[0].message.parts
    assert not [name for name, _ in pair.provider.last.headers if name.lower().startswith(("x-isthmus", "x-envoy"))]


@pytest.mark.parametrize("value", ["Basic eDp5", "Bearer", "Bearer a b", ""])
def test_malformed_authorization(channel: grpc.Channel, value: str) -> None:
    call = ChatServiceStub(channel).CreateChatCompletion

    failure = failure_of(lambda: call(chat_request(), metadata=(("authorization", value),), timeout=30))

    assert (failure.grpc, failure.reason) == ("UNAUTHENTICATED", "INVALID_API_KEY")
