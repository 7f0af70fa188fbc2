"""The typed services whole and streamed, over real sockets on both sides."""

from __future__ import annotations

import grpc
import pytest
from isthmus.v1 import (
    chat_pb2,
    chat_pb2_grpc,
    completion_pb2,
    completion_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
)
from isthmusd.core.record import EndReason

from tests.fakes.answers import TEXT, chat_body, whole
from tests.unit.rpc.serving import refusal_of, serving

MESSAGES = [chat_pb2.Message(role="user", parts=[chat_pb2.Part(text="hi")])]


def chat(model: str = "ok") -> chat_pb2.ChatRequest:
    return chat_pb2.ChatRequest(model=model, messages=MESSAGES)


def completion(*prompts: str) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model="ok", prompt=[completion_pb2.Prompt(text=text) for text in prompts])


async def test_a_chat_is_answered_whole() -> None:
    async with serving() as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        call = stub.CreateChatCompletion(chat(), metadata=[("x-request-id", "my-id")])
        answer = await call
        metadata = dict(await call.initial_metadata())

    assert answer.choices[0].message.parts[0].text == TEXT
    assert answer.usage.total_tokens == 8
    assert (answer.provider, answer.model) == ("openai", "ok")
    assert metadata["x-request-id"] == "my-id"
    assert metadata["x-isthmus-upstream-request-id"] == "req-fake"
    assert gateway.provider.last.path == "/v1/chat/completions"
    assert gateway.provider.last.header("authorization") == "Bearer sk-ours"
    record = gateway.record
    assert (record.end, record.surface, record.operation) == (EndReason.COMPLETE, "typed", "chat")
    assert record.request_id == "my-id"


async def test_a_chat_is_streamed() -> None:
    async with serving() as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        call = stub.StreamChatCompletion(chat())
        steps = [event async for chunk in call for event in chunk.events]
        metadata = dict(await call.initial_metadata())

    kinds = [step.WhichOneof("event") for step in steps]
    assert kinds[0] == "start"
    assert steps[0].start.provider == "openai"
    assert "".join(step.text_delta.text for step in steps if step.WhichOneof("event") == "text_delta") == TEXT
    assert [step.usage.total_tokens for step in steps if step.WhichOneof("event") == "usage"] == [8]
    assert metadata["x-isthmus-upstream-request-id"] == "req-fake"
    assert (gateway.record.end, gateway.record.stream) == (EndReason.COMPLETE, True)


async def test_calls_without_a_request_id_are_given_the_one_that_is_recorded() -> None:
    async with serving() as gateway:
        call = chat_pb2_grpc.ChatServiceStub(gateway.channel).CreateChatCompletion(chat())
        await call
        given = dict(await call.initial_metadata())["x-request-id"]

    assert given.startswith("req_")
    assert gateway.record.request_id == given


async def test_a_named_credential_is_shown() -> None:
    async with serving(providers__openai__endpoint="main") as gateway:
        call = chat_pb2_grpc.ChatServiceStub(gateway.channel).CreateChatCompletion(
            chat(), metadata=[("x-isthmus-endpoint", "main")]
        )
        await call
        metadata = dict(await call.initial_metadata())

    assert metadata["x-isthmus-endpoint"] == metadata["x-bt-used-endpoint"] == "main"


async def test_completions_are_answered_whole_and_streamed() -> None:
    async with serving() as gateway:
        stub = completion_pb2_grpc.CompletionServiceStub(gateway.channel)
        answer = await stub.CreateCompletion(completion("Once"))
        steps = [event async for chunk in stub.StreamCompletion(completion("Once")) for event in chunk.events]

    assert answer.choices[0].text == TEXT
    assert "".join(step.text_delta.text for step in steps) == TEXT
    assert [record.operation for record in gateway.journal.records] == ["completion", "completion"]


async def test_embeddings_are_answered() -> None:
    request = embedding_pb2.EmbeddingRequest(
        model="ok", input=[embedding_pb2.EmbeddingInput(text="a"), embedding_pb2.EmbeddingInput(text="b")]
    )

    async with serving() as gateway:
        answer = await embedding_pb2_grpc.EmbeddingServiceStub(gateway.channel).CreateEmbedding(request)

    assert len(answer.embeddings) == 2
    assert answer.usage.total_tokens == 8


async def test_models_are_listed_in_order_and_shown() -> None:
    providers = {"providers__box__base_url": "http://127.0.0.1:9/v1", "providers__box__models": ["zeta", "alpha"]}

    async with serving(**providers, models__fast={"provider": "openai", "model": "gpt-1"}) as gateway:
        stub = model_pb2_grpc.ModelServiceStub(gateway.channel)
        listed = (await stub.ListModels(model_pb2.ListModelsRequest())).models
        shown = (await stub.GetModel(model_pb2.GetModelRequest(id="box/zeta"))).model
        unknown = await refusal_of(stub.GetModel(model_pb2.GetModelRequest(id="none")))
        unnamed = await refusal_of(stub.GetModel(model_pb2.GetModelRequest()))

    ids = [model.id for model in listed]
    assert ids == sorted(ids)
    assert {"box/alpha", "box/zeta", "fast"} <= set(ids)
    assert (shown.id, shown.provider, shown.owned_by) == ("box/zeta", "box", "box")
    assert (unknown.code, unknown.info.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    assert (unnamed.code, unnamed.info.metadata["param"]) == (grpc.StatusCode.INVALID_ARGUMENT, "id")
    assert [record.operation for record in gateway.journal.records] == ["models"] * 4


@pytest.mark.parametrize("listing", [True, False])
async def test_models_are_for_those_who_may_call(listing: bool) -> None:
    async with serving(auth__anonymous=False) as gateway:
        stub = model_pb2_grpc.ModelServiceStub(gateway.channel)
        call = stub.ListModels(model_pb2.ListModelsRequest())
        refusal = await refusal_of(call if listing else stub.GetModel(model_pb2.GetModelRequest(id="x")))

    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_slow_target_is_waited_for_in_silence() -> None:
    async with serving(limits__keep_alive_s=0.1) as gateway:
        stub = chat_pb2_grpc.ChatServiceStub(gateway.channel)
        chunks = [chunk async for chunk in stub.StreamChatCompletion(chat("slow"))]

    assert all(chunk.events for chunk in chunks)
    assert gateway.record.end is EndReason.COMPLETE


async def test_headers_of_a_provider_leave_room_for_ours() -> None:
    many = tuple((f"x-ratelimit-{place}", "v" * 100) for place in range(80))
    answer = whole(chat_body("ok"), headers=many)
    async with serving() as gateway:
        gateway.provider.reply_always(answer)
        call = chat_pb2_grpc.ChatServiceStub(gateway.channel).CreateChatCompletion(chat())
        await call
        metadata = dict(await call.initial_metadata())

    assert {"x-request-id", "x-isthmus-upstream-request-id", "x-ratelimit-0"} <= metadata.keys()
    assert sum(len(name) + len(value) + 32 for name, value in metadata.items()) < 7 * 1024
