"""Puts the services on a gRPC server: options, health, reflection. The processes around it are `edge/`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from isthmus.v1 import chat_pb2, completion_pb2, credential_pb2, embedding_pb2, forward_pb2, model_pb2

from isthmusd.pipeline.run import Gateway
from isthmusd.rpc.call import Reader
from isthmusd.rpc.chat import ChatServicer
from isthmusd.rpc.completion import CompletionServicer
from isthmusd.rpc.credential import CredentialServicer
from isthmusd.rpc.embedding import EmbeddingServicer
from isthmusd.rpc.forward import ForwardServicer
from isthmusd.rpc.handlers import handler_for
from isthmusd.rpc.model import ModelServicer
from isthmusd.rpc.openai import SERVICE, OpenAISurface
from isthmusd.rpc.typed import TypedCalls

TYPED: tuple[tuple[FileDescriptor, Callable[[TypedCalls], object]], ...] = (
    (chat_pb2.DESCRIPTOR, ChatServicer),
    (completion_pb2.DESCRIPTOR, CompletionServicer),
    (credential_pb2.DESCRIPTOR, CredentialServicer),
    (embedding_pb2.DESCRIPTOR, EmbeddingServicer),
    (forward_pb2.DESCRIPTOR, ForwardServicer),
    (model_pb2.DESCRIPTOR, ModelServicer),
)
"""Contract file to servicer: one service per file."""

SERVICES = (SERVICE, *(service.full_name for file, _ in TYPED for service in file.services_by_name.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """One gRPC listener."""

    bind: str
    """`unix:/path` or `host:port`."""
    edge: bool
    """Envoy is the only one that can dial it: what it says of the call is believed."""
    message_bytes: int = 64 * 1024 * 1024
    """Largest message received."""
    reflection: bool = True
    notice_s: float = 0.0
    """How long a stop waits between saying so and doing it, for whoever sends us calls to notice."""


class Server:
    """A gRPC server with every service of the gateway. `start` once, then `stop` once."""

    def __init__(self, gateway: Gateway, options: ServerOptions) -> None:
        self._server = grpc.aio.server(options=_channel_options(options))
        self._health = HealthServicer()
        self._options = options
        self.port: int = 0
        """The bound port, once started; 0 on a unix socket."""
        _register(self._server, gateway, Reader(edge=options.edge, clock=gateway.clock))
        health = cast(ServiceDescriptor, health_pb2.DESCRIPTOR.services_by_name["Health"])
        # Not by their generated registration: for each method registered that way grpcio keeps one more task waiting,
        # and every call of any service waits for all of them anew.
        self._server.add_generic_rpc_handlers((handler_for(health, self._health),))
        if options.reflection:
            names = (*SERVICES, health.full_name, reflection.SERVICE_NAME)
            self._server.add_generic_rpc_handlers((_reflection_handler(names),))

    async def start(self) -> None:
        """Bind and serve."""
        self.port = self._server.add_insecure_port(self._options.bind)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Stop taking calls, let those in flight finish for at most `grace_s` seconds."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.sleep(self._options.notice_s)
        await self._server.stop(grace_s)

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", *SERVICES):
            await self._health.set(service, status)


def _register(server: grpc.aio.Server, gateway: Gateway, reader: Reader) -> None:
    calls = TypedCalls(gateway, reader)
    server.add_generic_rpc_handlers((OpenAISurface(gateway, reader).handler(),))
    for file, servicer in TYPED:
        handlers = [handler_for(service, servicer(calls)) for service in file.services_by_name.values()]
        server.add_generic_rpc_handlers(handlers)


def _reflection_handler(names: Sequence[str]) -> grpc.GenericRpcHandler:
    servicer = cast(Any, ReflectionServicer(names))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {"ServerReflectionInfo": handler})


def _channel_options(options: ServerOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", options.message_bytes),
        ("grpc.max_send_message_length", -1),
        # The defaults (8/16 KiB) turn a long cookie or many headers into a random RESOURCE_EXHAUSTED.
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 128 * 1024),
        # On by default, and then two servers share a port in silence.
        ("grpc.so_reuseport", 0),
        # Its probes are pings to our one peer, Envoy on this machine: a wake-up on both sides for nothing.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 1024 * 1024),
        # Clients that ping a long silent stream are welcome; the default answers GOAWAY after two.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
