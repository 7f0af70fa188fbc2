"""The blocking client over grpcio-testing's channel: what it sends, what it makes of answers. Not for the network."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import isthmus
import pytest
from isthmus.channel import address_of
from isthmus.v1 import (
    chat_pb2,
    chat_stream_pb2,
    completion_pb2,
    credential_pb2,
    embedding_pb2,
    forward_pb2,
    model_pb2,
    stream_pb2,
)

FILES = (chat_pb2, completion_pb2, credential_pb2, embedding_pb2, forward_pb2, model_pb2)
SERVICES = {service.name: service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()}
REQUEST = chat_pb2.ChatRequest(model="demo/echo", messages=[isthmus.system("Be brief."), isthmus.user("hi")])


@pytest.fixture
def channel() -> Any:
    return grpc_testing.channel(list(SERVICES.values()), grpc_testing.strict_real_time())


@pytest.fixture
def caller() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def method(service: str, name: str) -> Any:
    return SERVICES[service].methods_by_name[name]


def test_unary_call_carries_the_request_and_the_key(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = isthmus.Client(api_key="isk_1", channel=channel)
    answer = chat_pb2.ChatResponse(id="a", choices=[chat_pb2.ChatChoice(message=isthmus.assistant("hello"))])

    pending = caller.submit(client.chat.CreateChatCompletion, REQUEST, timeout=5)
    metadata, received, call = channel.take_unary_unary(method("ChatService", "CreateChatCompletion"))
    call.send_initial_metadata(())
    call.terminate(answer, (), grpc.StatusCode.OK, "")

    assert received == REQUEST
    assert ("authorization", "Bearer isk_1") in metadata
    assert isthmus.text_of(pending.result(5)) == "hello"


def test_own_metadata_is_kept_and_own_authorization_wins(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = isthmus.Client(api_key="isk_1", channel=channel)
    own = (("authorization", "Bearer other"), ("x-isthmus-cache", "never"))

    pending = caller.submit(client.models.ListModels, model_pb2.ListModelsRequest(), metadata=own, timeout=5)
    metadata, _, call = channel.take_unary_unary(method("ModelService", "ListModels"))
    call.terminate(model_pb2.ListModelsResponse(), (), grpc.StatusCode.OK, "")
    pending.result(5)

    assert [pair for pair in metadata if pair[0] == "authorization"] == [("authorization", "Bearer other")]
    assert ("x-isthmus-cache", "never") in metadata


def test_without_a_key_there_is_no_authorization(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = isthmus.Client(channel=channel)

    pending = caller.submit(client.models.ListModels, model_pb2.ListModelsRequest(), timeout=5)
    metadata, _, call = channel.take_unary_unary(method("ModelService", "ListModels"))
    call.terminate(model_pb2.ListModelsResponse(), (), grpc.StatusCode.OK, "")
    pending.result(5)

    assert "authorization" not in dict(metadata)


def test_stream_yields_the_text_of_one_choice(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = isthmus.Client(api_key="isk_1", channel=channel)
    event = chat_stream_pb2.ChatEvent
    chunks = [
        chat_stream_pb2.ChatChunk(events=[event(start=stream_pb2.StreamStart(id="a"))]),
        chat_stream_pb2.ChatChunk(
            events=[
                event(text_delta=stream_pb2.TextDelta(text="he")),
                event(thinking_delta=chat_stream_pb2.ThinkingDelta(text="hmm")),
                event(text_delta=stream_pb2.TextDelta(choice=1, text="other")),
                event(text_delta=stream_pb2.TextDelta(text="llo")),
            ]
        ),
        chat_stream_pb2.ChatChunk(events=[event(choice_end=stream_pb2.ChoiceEnd())]),
    ]

    stream = client.chat.StreamChatCompletion(REQUEST, timeout=5)
    pending = caller.submit(lambda: list(isthmus.texts_of(stream)))
    metadata, received, call = channel.take_unary_stream(method("ChatService", "StreamChatCompletion"))
    call.send_initial_metadata(())
    for chunk in chunks:
        call.send_response(chunk)
    call.terminate((), grpc.StatusCode.OK, "")

    assert received == REQUEST
    assert ("authorization", "Bearer isk_1") in metadata
    assert pending.result(5) == ["he", "llo"]


def test_forward_streams_both_ways(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = isthmus.Client(api_key="isk_1", channel=channel)
    head = forward_pb2.ForwardRequest(head=forward_pb2.ForwardRequestHead(method="GET", path="/v1/files?limit=2"))
    answer = forward_pb2.ForwardResponse(head=forward_pb2.ForwardResponseHead(status=200))

    stream = client.forward.Forward(iter([head]), timeout=5)
    pending = caller.submit(lambda: list(stream))
    metadata, call = channel.take_stream_stream(method("ForwardService", "Forward"))
    received = call.take_request()
    call.requests_closed()
    call.send_response(answer)
    call.terminate((), grpc.StatusCode.OK, "")

    assert received == head
    assert ("authorization", "Bearer isk_1") in metadata
    assert pending.result(5) == [answer]


@pytest.mark.parametrize(
    ("stub", "service"),
    [
        ("chat", "ChatService"),
        ("completions", "CompletionService"),
        ("credentials", "CredentialService"),
        ("embeddings", "EmbeddingService"),
        ("forward", "ForwardService"),
        ("models", "ModelService"),
    ],
)
def test_every_service_has_its_stub(channel: Any, stub: str, service: str) -> None:
    client = isthmus.Client(channel=channel)

    names = set(vars(getattr(client, stub)))

    assert names == set(SERVICES[service].methods_by_name)


def test_an_injected_channel_is_left_open() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as shared:
        with isthmus.Client(channel=shared):
            pass

        with pytest.raises(grpc.RpcError) as raised:  # a closed channel raises ValueError
            isthmus.Client(channel=shared).models.ListModels(model_pb2.ListModelsRequest(), timeout=5)

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1:8080", False)),
        ("unix:/run/isthmus.sock", ("unix:/run/isthmus.sock", False)),
        ("dns:///gateway:8080", ("dns:///gateway:8080", False)),
        ("http://gateway", ("gateway:80", False)),
        ("http://gateway:8080/", ("gateway:8080", False)),
        ("https://gateway", ("gateway:443", True)),
        ("https://[::1]", ("[::1]:443", True)),
        ("https://[::1]:8443", ("[::1]:8443", True)),
    ],
)
def test_targets_are_urls_or_grpc_names(target: str, address: tuple[str, bool]) -> None:
    assert address_of(target) == address


def test_a_target_with_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="has a path"):
        address_of("https://gateway/v1")


def test_text_of_leaves_thinking_and_other_choices_out() -> None:
    thinking = chat_pb2.Part(thinking=chat_pb2.Thinking(text="hmm"))
    answer = chat_pb2.ChatResponse(
        choices=[
            chat_pb2.ChatChoice(
                index=0, message=chat_pb2.Message(parts=[thinking, chat_pb2.Part(text="a"), chat_pb2.Part(text="b")])
            ),
            chat_pb2.ChatChoice(index=1, message=isthmus.assistant("c")),
        ]
    )

    assert isthmus.text_of(answer) == "ab"
    assert isthmus.text_of(answer, choice=1) == "c"
    assert isthmus.text_of(answer, choice=2) == ""
    completion = completion_pb2.CompletionResponse(choices=[completion_pb2.CompletionChoice(text="d")])
    assert isthmus.text_of(completion) == "d"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = isthmus.nonsense  # pyright: ignore[reportAttributeAccessIssue]  # that is the test
