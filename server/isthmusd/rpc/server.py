"""Puts the services on a gRPC server: options, health, reflection. The processes around it are `edge/`."""

from __future__ import annotations

from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
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

from isthmusd.pipeline.run import Gateway
from isthmusd.rpc.call import Reader
from isthmusd.rpc.chat import ChatServicer
from isthmusd.rpc.completion import CompletionServicer
from isthmusd.rpc.credential import CredentialServicer
from isthmusd.rpc.embedding import EmbeddingServicer
from isthmusd.rpc.forward import ForwardServicer
from isthmusd.rpc.model import ModelServicer
from isthmusd.rpc.openai import SERVICE, OpenAISurface
from isthmusd.rpc.typed import TypedCalls

SERVICES = (
    SERVICE,
    chat_pb2.DESCRIPTOR.services_by_name["ChatService"].full_name,
    completion_pb2.DESCRIPTOR.services_by_name["CompletionService"].full_name,
    credential_pb2.DESCRIPTOR.services_by_name["CredentialService"].full_name,
    embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name,
    forward_pb2.DESCRIPTOR.services_by_name["ForwardService"].full_name,
    model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
)


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


class Server:
    """A gRPC server with every service of the gateway. `start` once, then `stop` once."""

    def __init__(self, gateway: Gateway, options: ServerOptions) -> None:
        self._server = grpc.aio.server(options=_channel_options(options))
        self._health = HealthServicer()
        self._options = options
        self.port: int = 0
        """The bound port, once started; 0 on a unix socket."""
        _register(self._server, gateway, Reader(edge=options.edge))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if options.reflection:
            names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self) -> None:
        """Bind and serve."""
        self.port = self._server.add_insecure_port(self._options.bind)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Stop taking calls, let those in flight finish for at most `grace_s` seconds."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.stop(grace_s)

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for service in ("", *SERVICES):
            await self._health.set(service, status)


def _register(server: grpc.aio.Server, gateway: Gateway, reader: Reader) -> None:
    calls = TypedCalls(gateway, reader)
    server.add_generic_rpc_handlers((OpenAISurface(gateway, reader).handler(),))
    chat_pb2_grpc.add_ChatServiceServicer_to_server(ChatServicer(calls), server)
    completion_pb2_grpc.add_CompletionServiceServicer_to_server(CompletionServicer(calls), server)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(calls), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(calls), server)
    credential_pb2_grpc.add_CredentialServiceServicer_to_server(CredentialServicer(), server)
    forward_pb2_grpc.add_ForwardServiceServicer_to_server(ForwardServicer(calls), server)


def _channel_options(options: ServerOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", options.message_bytes),
        ("grpc.max_send_message_length", -1),
        # The defaults (8/16 KiB) turn a long cookie or many headers into a random RESOURCE_EXHAUSTED.
        ("grpc.max_metadata_size", 64 * 1024),
        ("grpc.absolute_max_metadata_size", 128 * 1024),
        # On by default, and then two servers share a port in silence.
        ("grpc.so_reuseport", 0),
        # Clients that ping a long silent stream are welcome; the default answers GOAWAY after two.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
