"""The two clients, blocking and asyncio. They hold stubs and nothing else: every call is the generated one."""

from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from isthmus.channel import authorized, open_async_channel, open_channel
from isthmus.v1.chat_pb2_grpc import ChatServiceStub
from isthmus.v1.completion_pb2_grpc import CompletionServiceStub
from isthmus.v1.credential_pb2_grpc import CredentialServiceStub
from isthmus.v1.embedding_pb2_grpc import EmbeddingServiceStub
from isthmus.v1.forward_pb2_grpc import ForwardServiceStub
from isthmus.v1.model_pb2_grpc import ModelServiceStub

DEFAULT_TARGET = "127.0.0.1:8080"


class Client:
    """Stubs of a gateway for blocking calls, safe to share between threads.

    `target`: `https://host`, `http://host:port`, or a gRPC target without encryption. `credentials` chooses other TLS
    roots or certificates. `channel` is used as it is, and is not closed with the client.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        api_key: str | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        opened = channel or open_channel(target, credentials)
        self._owned = None if channel else opened
        calls = authorized(opened, api_key)
        self.chat = ChatServiceStub(calls)
        self.completions = CompletionServiceStub(calls)
        self.embeddings = EmbeddingServiceStub(calls)
        self.models = ModelServiceStub(calls)
        self.credentials = CredentialServiceStub(calls)
        self.forward = ForwardServiceStub(calls)

    def close(self) -> None:
        """Close the connection; running calls are cancelled."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """Stubs of a gateway for asyncio. Make it inside the running loop; arguments are those of `Client`."""

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        api_key: str | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        opened = channel or open_async_channel(target, credentials)
        self._owned = None if channel else opened
        calls = authorized(opened, api_key)
        self.chat = ChatServiceStub(calls)
        self.completions = CompletionServiceStub(calls)
        self.embeddings = EmbeddingServiceStub(calls)
        self.models = ModelServiceStub(calls)
        self.credentials = CredentialServiceStub(calls)
        self.forward = ForwardServiceStub(calls)

    async def close(self) -> None:
        """Close the connection; running calls are cancelled."""
        if self._owned is not None:
            await self._owned.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
