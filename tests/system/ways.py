"""Every way of calling a gateway, over both protocols, whole and streamed, with what the caller got word for word. It
asserts nothing; who calls, and with what in the body, is the test's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import msgspec
from isthmus.v1 import (
    chat_pb2,
    chat_pb2_grpc,
    completion_pb2,
    completion_pb2_grpc,
    credential_pb2,
    credential_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    forward_pb2,
    forward_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
)

from tests.system.wire import ask

LIMIT_S = 30.0
MODEL = "ok"
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All that a caller got."""

    status: int | str
    """HTTP's, or the name of gRPC's."""
    headers: Pairs
    """Trailing metadata too."""
    body: bytes
    """The bytes of all messages, and the text of a status."""

    @property
    def is_good(self) -> bool:
        return self.status in {200, "OK"}

    @property
    def everything(self) -> bytes:
        return repr(self.headers).encode() + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is called, and by whom."""

    url: str
    channel: grpc.aio.Channel
    token: str | None = None
    text: str = "Hi"
    """Somewhere in the body."""
    model: str = MODEL
    more: Pairs = ()
    """Headers, or metadata."""
    query: str = ""
    members: Mapping[str, Any] | None = None
    """Of the JSON body, over HTTP."""

    @property
    def pairs(self) -> Pairs:
        return (*((("authorization", f"Bearer {self.token}"),) if self.token is not None else ()), *self.more)


Way = Callable[[Wish], Awaitable[Heard]]


def over_http(path: str, method: str = "POST", **body: Any) -> Way:
    """Ask by HTTP/1.1; in the members of a body `{text}` is the wish's."""

    async def way(wish: Wish) -> Heard:
        given = {"model": wish.model, **_filled(body, wish.text), **(wish.members or {})}
        content = b"" if method == "GET" else msgspec.json.encode(given)
        headers = (("content-type", "application/json"), *wish.pairs)
        answer = await ask(wish.url, path + wish.query, content, method=method, headers=headers, limit_s=LIMIT_S)
        return Heard(status=answer.status, headers=tuple(answer.headers.items()), body=answer.body)

    return way


def _filled(value: Any, text: str) -> Any:
    match value:
        case str():
            return value.replace("{text}", text)
        case dict():
            return {name: _filled(each, text) for name, each in value.items()}
        case list():
            return [_filled(each, text) for each in value]
        case _:
            return value


def over_grpc(stub: Any, method: str, request: Callable[[Wish], Any]) -> Way:
    """Ask by native gRPC; streams are read to their end."""

    async def way(wish: Wish) -> Heard:
        call = getattr(stub(wish.channel), method)(request(wish), metadata=wish.pairs, timeout=LIMIT_S)
        return await heard(call)

    return way


async def heard(call: Any) -> Heard:
    """Read a call of native gRPC, whole or streamed, good or bad."""
    body, status, text = b"", "OK", ""
    try:
        match call:
            case grpc.aio.UnaryUnaryCall():
                body = (await call).SerializeToString()
            case _:
                async for piece in call:
                    body += piece.SerializeToString()
    except grpc.aio.AioRpcError as error:
        status, text = error.code().name, error.details() or ""
        told = (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ()))
    else:
        told = (*(await call.initial_metadata()), *(await call.trailing_metadata()))
    # The details of a status hold texts as they are: latin-1 shows every one of their bytes.
    shown = ((name, value if isinstance(value, str) else value.decode("latin-1")) for name, value in told)
    return Heard(status=status, headers=tuple(shown), body=body + text.encode())


async def over_grpc_web(wish: Wish) -> Heard:
    """A whole chat as browsers ask for it."""
    content = _chat(wish).SerializeToString()
    frame = b"\0" + len(content).to_bytes(4, "big") + content
    headers = (("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1"), *wish.pairs)
    answer = await ask(wish.url, "/isthmus.v1.ChatService/CreateChatCompletion", frame, headers=headers)
    failed = "grpc-status" in answer.headers and answer.headers["grpc-status"] != "0"
    status = answer.headers["grpc-status"] if failed else answer.status
    return Heard(status=status, headers=tuple(answer.headers.items()), body=answer.body)


def _chat(wish: Wish) -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role="user", parts=[chat_pb2.Part(text=wish.text)])
    return chat_pb2.ChatRequest(model=wish.model, messages=[message])


def _completion(wish: Wish) -> completion_pb2.CompletionRequest:
    return completion_pb2.CompletionRequest(model=wish.model, prompt=[completion_pb2.Prompt(text=wish.text)])


def _embedding(wish: Wish) -> embedding_pb2.EmbeddingRequest:
    return embedding_pb2.EmbeddingRequest(model=wish.model, input=[embedding_pb2.EmbeddingInput(text=wish.text)])


UNTOLD = b"Internal error from Core"
"""What grpc.aio's client says, now and then, when a call is refused while it still writes: it has lost the status."""


async def _forward(wish: Wish) -> Heard:
    body = msgspec.json.encode({"model": wish.model, "prompt": wish.text})
    named = forward_pb2.Header(name="content-type", value="application/json")
    head = forward_pb2.ForwardRequestHead(method="POST", path="/v1/images/generations", headers=[named])
    pieces = [forward_pb2.ForwardRequest(head=head), forward_pb2.ForwardRequest(body=body)]
    stub = forward_pb2_grpc.ForwardServiceStub(wish.channel)
    while True:
        told = await heard(stub.Forward(iter(pieces), metadata=wish.pairs, timeout=LIMIT_S))
        if told.body != UNTOLD:
            return told


MESSAGES = [{"role": "user", "content": "{text}"}]
CALLS: Mapping[str, Way] = {
    "http chat": over_http("/v1/chat/completions", messages=MESSAGES),
    "http chat stream": over_http("/v1/proxy/chat/completions", messages=MESSAGES, stream=True),
    "http completion": over_http("/v1/completions", prompt="{text}"),
    "http completion stream": over_http("/v1/completions", prompt="{text}", stream=True),
    "http auto": over_http("/v1/auto", messages=MESSAGES),
    "http auto stream": over_http("/v1/auto", prompt="{text}", stream=True),
    "http embedding": over_http("/v1/embeddings", input="{text}"),
    "http responses": over_http("/v1/responses", input="{text}"),
    "http moderation": over_http("/v1/moderations", input="{text}"),
    "http forward": over_http("/v1/images/generations", prompt="{text}"),
    "http forward stream": over_http("/v1/proxy/assistants/x/chat/completions", messages=MESSAGES, stream=True),
    "http tenant forward": over_http("/api/openai/v1/images/generations", prompt="{text}"),
    "http tenant forward stream": over_http("/api/openai/v1/chat/completions", messages=MESSAGES, stream=True),
    "grpc chat": over_grpc(chat_pb2_grpc.ChatServiceStub, "CreateChatCompletion", _chat),
    "grpc chat stream": over_grpc(chat_pb2_grpc.ChatServiceStub, "StreamChatCompletion", _chat),
    "grpc completion": over_grpc(completion_pb2_grpc.CompletionServiceStub, "CreateCompletion", _completion),
    "grpc completion stream": over_grpc(completion_pb2_grpc.CompletionServiceStub, "StreamCompletion", _completion),
    "grpc embedding": over_grpc(embedding_pb2_grpc.EmbeddingServiceStub, "CreateEmbedding", _embedding),
    "grpc forward": _forward,
    "grpc-web chat": over_grpc_web,
}
"""The ways that reach a provider, with the text in what it gets."""

OWN: Mapping[str, Way] = {
    "http models": over_http("/v1/models", "GET"),
    "http credentials": over_http("/v1/credentials", model=None),
    "grpc models": over_grpc(model_pb2_grpc.ModelServiceStub, "ListModels", lambda _: model_pb2.ListModelsRequest()),
    "grpc model": over_grpc(
        model_pb2_grpc.ModelServiceStub, "GetModel", lambda wish: model_pb2.GetModelRequest(id=wish.model)
    ),
    "grpc create credential": over_grpc(
        credential_pb2_grpc.CredentialServiceStub,
        "CreateCredential",
        lambda _: credential_pb2.CreateCredentialRequest(),
    ),
    "grpc list credentials": over_grpc(
        credential_pb2_grpc.CredentialServiceStub,
        "ListCredentials",
        lambda _: credential_pb2.ListCredentialsRequest(),
    ),
}
"""The ways that the gateway answers itself."""


@asynccontextmanager
async def wishing(url: str, target: str) -> AsyncIterator[Callable[..., Wish]]:
    """Give a maker of wishes to one gateway."""
    async with grpc.aio.insecure_channel(target) as channel:

        def made(**given: Any) -> Wish:
            return Wish(url=url, channel=channel, **given)

        yield made
