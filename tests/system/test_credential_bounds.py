"""What a temporary credential that is bound to a model may do: on every surface that model, by exactly its name, and no
way round. What it is made of is `test_credentials.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import msgspec
import pytest
from isthmus.v1 import (
    chat_pb2_grpc,
    completion_pb2,
    completion_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    forward_pb2,
    forward_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
)

from tests.system.issuing import Scene, bearing, metadata, running_scene
from tests.system.pair import OUR_KEY
from tests.system.typed import LIMIT_S, chat_request, failure_of
from tests.system.wire import ask

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_scene(tmp_path_factory.mktemp("credentials") / "data") as running:
        yield running


@pytest.fixture
def channel(scene: Scene) -> Iterator[grpc.Channel]:
    with scene.pair.channel() as opened:
        yield opened


MESSAGES = [{"role": "user", "content": "Hi"}]
HTTP: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": MESSAGES}),
    "stream": (CHAT, {"messages": MESSAGES, "stream": True}),
    "proxied chat": ("/v1/proxy/chat/completions", {"messages": MESSAGES}),
    "completion": ("/v1/completions", {"prompt": "Hi"}),
    "auto by messages": ("/v1/auto", {"messages": MESSAGES}),
    "auto by prompt": ("/v1/proxy/auto", {"prompt": "Hi"}),
    "embedding": ("/v1/embeddings", {"input": "Hi"}),
    "responses": ("/v1/responses", {"input": "Hi"}),
    "moderation": ("/v1/moderations", {"input": "Hi"}),
    "forward": ("/v1/images/generations", {"prompt": "Hi"}),
    "proxied forward": ("/v1/proxy/images/generations", {"prompt": "Hi"}),
}


@pytest.mark.parametrize(("path", "body"), HTTP.values(), ids=HTTP.keys())
async def test_a_bound_credential_calls_its_model_only(scene: Scene, path: str, body: dict[str, Any]) -> None:
    token = await scene.credential(model="ok")
    start = len(scene.pair.provider.requests)

    refused = [
        await ask(scene.url, path, msgspec.json.encode({"model": other, **body}), headers=bearing(token))
        for other in ("r429", "OK", "openai/ok", "fast", "nobody/x", "ok ")
    ]
    reached = len(scene.pair.provider.requests) - start
    allowed = await ask(scene.url, path, msgspec.json.encode({"model": "ok", **body}), headers=bearing(token))

    assert {(answer.status, answer.error["code"]) for answer in refused} == {(403, "model_not_allowed")}
    assert reached == 0
    assert allowed.status == 200
    assert scene.pair.provider.last.header("authorization") == f"Bearer {OUR_KEY}"


BIG = b'{"model":"ok","pad":"' + b"x" * (3 * 2**20) + b'","model":"r429","messages":[]}'
MULTIPART = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nok\r\n--b--\r\n'
HIDDEN: dict[str, tuple[str, str, bytes, str]] = {
    "path without a model": ("GET", "/v1/files", b"", "application/json"),
    "model of a path": ("DELETE", "/v1/models/ok", b"", "application/json"),
    "query": ("POST", "/v1/images/generations?model=ok", b"{}", "application/json"),
    "moderation's default": ("POST", "/v1/moderations", b'{"input":"Hi"}', "application/json"),
    "multipart": ("POST", "/v1/audio/transcriptions", MULTIPART, "multipart/form-data; boundary=b"),
    "text": ("POST", "/v1/images/generations", b'{"model":"ok"}', "text/plain"),
    "another charset": ("POST", "/v1/images/generations", b'{"model":"ok"}', "application/json; charset=utf-7"),
    "twice": ("POST", "/v1/images/generations", b'{"model":"ok","model":"r429"}', "application/json"),
    "twice, first other": ("POST", "/v1/images/generations", b'{"model":"r429","model":"ok"}', "application/json"),
    "escaped twin": ("POST", "/v1/images/generations", b'{"model":"ok","\\u006dodel":"r429"}', "application/json"),
    "upper-case twin": ("POST", "/v1/images/generations", b'{"model":"ok","Model":"r429"}', "application/json"),
    "twin beyond the first mebibyte": ("POST", "/v1/images/generations", BIG, "application/json"),
    "another by the query": ("POST", "/v1/images/generations?model=r429", b'{"model":"ok"}', "application/json"),
    "another by the path": ("POST", "/v1/deployments/r429/images", b'{"model":"ok"}', "application/json"),
    "another to fall back on": ("POST", CHAT, b'{"model":"ok","models":["r429"],"messages":[{}]}', "application/json"),
    "another to fall back on, forwarded": (
        *("POST", "/v1/images/generations", b'{"model":"ok","models":["r429"]}', "application/json"),
    ),
    "twin in a chat": ("POST", CHAT, b'{"model":"ok","model":"r429","messages":[]}', "application/json"),
}


@pytest.mark.parametrize(("method", "path", "body", "kind"), HIDDEN.values(), ids=HIDDEN.keys())
async def test_a_bound_credential_has_no_way_round(
    scene: Scene, method: str, path: str, body: bytes, kind: str
) -> None:
    token = await scene.credential(model="ok")
    start = len(scene.pair.provider.requests)

    answer = await ask(
        scene.url, path, body, method=method, headers=(("content-type", kind), ("authorization", f"Bearer {token}"))
    )

    assert answer.status in (400, 403), answer
    assert len(scene.pair.provider.requests) == start


async def test_a_bound_credential_sees_its_model_only(scene: Scene, channel: grpc.Channel) -> None:
    token = await scene.credential(model="fast")
    stub = model_pb2_grpc.ModelServiceStub(channel)

    listed = await ask(scene.url, "/v1/models", method="GET", headers=bearing(token))
    shown = await ask(scene.url, "/v1/models/fast", method="GET", headers=bearing(token))
    hidden = await ask(scene.url, "/v1/models/gpt-4o", method="GET", headers=bearing(token))
    unknown = await ask(scene.url, "/v1/models/nobody", method="GET", headers=bearing(token))
    typed = stub.ListModels(model_pb2.ListModelsRequest(), metadata=metadata(token), timeout=LIMIT_S)
    failure = failure_of(
        lambda: stub.GetModel(model_pb2.GetModelRequest(id="gpt-4o"), metadata=metadata(token), timeout=LIMIT_S)
    )

    assert [model["id"] for model in listed.json()["data"]] == ["fast"]
    assert (shown.status, hidden.status, unknown.status) == (200, 404, 404)
    assert hidden.error["message"].replace("gpt-4o", "nobody") == unknown.error["message"], "r25"
    assert [model.id for model in typed.models] == ["fast"]
    assert failure.grpc == "NOT_FOUND"


def forward_of(model: str) -> Iterator[forward_pb2.ForwardRequest]:
    header = forward_pb2.Header(name="content-type", value="application/json")
    head = forward_pb2.ForwardRequestHead(method="POST", path="/v1/images/generations", headers=[header])
    yield forward_pb2.ForwardRequest(head=head)
    yield forward_pb2.ForwardRequest(body=msgspec.json.encode({"model": model}))


PROMPTS = [completion_pb2.Prompt(text="Hi")]
INPUTS = [embedding_pb2.EmbeddingInput(text="Hi")]
TYPED: dict[str, Callable[[grpc.Channel, str, Any], Any]] = {
    "chat": lambda channel, model, how: chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(
        chat_request(model), metadata=how, timeout=LIMIT_S
    ),
    "chat stream": lambda channel, model, how: list(
        chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request(model), metadata=how, timeout=LIMIT_S)
    ),
    "completion": lambda channel, model, how: completion_pb2_grpc.CompletionServiceStub(channel).CreateCompletion(
        completion_pb2.CompletionRequest(model=model, prompt=PROMPTS), metadata=how, timeout=LIMIT_S
    ),
    "completion stream": lambda channel, model, how: list(
        completion_pb2_grpc.CompletionServiceStub(channel).StreamCompletion(
            completion_pb2.CompletionRequest(model=model, prompt=PROMPTS), metadata=how, timeout=LIMIT_S
        )
    ),
    "embedding": lambda channel, model, how: embedding_pb2_grpc.EmbeddingServiceStub(channel).CreateEmbedding(
        embedding_pb2.EmbeddingRequest(model=model, input=INPUTS), metadata=how, timeout=LIMIT_S
    ),
    "forward": lambda channel, model, how: list(
        forward_pb2_grpc.ForwardServiceStub(channel).Forward(forward_of(model), metadata=how, timeout=LIMIT_S)
    ),
}


@pytest.mark.parametrize("extra", ['{"models":["r429"]}', '{"Model":"r429"}', '{"MODEL":"r429"}'])
async def test_a_bound_credential_has_no_way_round_over_grpc(scene: Scene, channel: grpc.Channel, extra: str) -> None:
    token = await scene.credential(model="ok")
    start = len(scene.pair.provider.requests)
    chat = chat_request("ok")
    chat.extra_json = extra
    completion = completion_pb2.CompletionRequest(model="ok", prompt=PROMPTS, extra_json=extra)
    embedding = embedding_pb2.EmbeddingRequest(model="ok", input=INPUTS, extra_json=extra)
    chats, completions, embeddings = (
        chat_pb2_grpc.ChatServiceStub(channel),
        completion_pb2_grpc.CompletionServiceStub(channel),
        embedding_pb2_grpc.EmbeddingServiceStub(channel),
    )
    how: dict[str, Any] = {"metadata": metadata(token), "timeout": LIMIT_S}

    failures = [
        failure_of(lambda: chats.CreateChatCompletion(chat, **how)),
        failure_of(lambda: list(chats.StreamChatCompletion(chat, **how))),
        failure_of(lambda: completions.CreateCompletion(completion, **how)),
        failure_of(lambda: embeddings.CreateEmbedding(embedding, **how)),
    ]

    assert {failure.grpc for failure in failures} <= {"PERMISSION_DENIED", "INVALID_ARGUMENT"}
    assert len(scene.pair.provider.requests) == start


@pytest.mark.parametrize("call", TYPED.values(), ids=TYPED.keys())
async def test_a_bound_credential_calls_its_model_only_over_grpc(
    scene: Scene, channel: grpc.Channel, call: Callable[..., Any]
) -> None:
    token = await scene.credential(model="ok")

    refused = failure_of(lambda: call(channel, "r429", metadata(token)))
    answered = call(channel, "ok", metadata(token))

    assert (refused.grpc, refused.reason) == ("PERMISSION_DENIED", "MODEL_NOT_ALLOWED")
    assert answered
