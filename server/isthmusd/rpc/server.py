"""Puts the services on the gRPC server that callers reach. Administration is `admin_server.py`'s; the processes around
both are `edge/`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from isthmus.v1 import chat_pb2, completion_pb2, credential_pb2, embedding_pb2, forward_pb2, model_pb2, openai_pb2

from isthmusd.core.authorisation import Listener
from isthmusd.pipeline.run import Gateway
from isthmusd.rpc.call import Reader
from isthmusd.rpc.chat import ChatServicer
from isthmusd.rpc.completion import CompletionServicer
from isthmusd.rpc.credential import CredentialServicer
from isthmusd.rpc.embedding import EmbeddingServicer
from isthmusd.rpc.forward import ForwardServicer
from isthmusd.rpc.handlers import Declared, Methods, methods_of
from isthmusd.rpc.model import ModelServicer
from isthmusd.rpc.openai import OpenAISurface
from isthmusd.rpc.probes import Health, reflection_methods
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

SERVICES = tuple(
    service.full_name
    for file in (openai_pb2.DESCRIPTOR, *(file for file, _ in TYPED))
    for service in file.services_by_name.values()
)
METADATA_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The gRPC listeners of one worker."""

    bind: str
    """`unix:/path` or `host:port`."""
    edge: bool
    """Envoy is the only one that can dial it: what it says of the call is believed."""
    admin_bind: str | None = None
    """`unix:/path` of AdminService; None: it is not served."""
    peers: tuple[str, ...] = ()
    """`unix:/path` where each worker of the node serves the others; empty for one that is alone."""
    index: int = 0
    """The place of this worker among them."""
    message_bytes: int = 64 * 1024 * 1024
    """Largest message received."""
    reflection: bool = True
    """On the public listener; the admin listener always has it."""
    notice_s: float = 0.0
    """How long a stop waits between saying so and doing it, for whoever sends us calls to notice."""


class Server:
    """A gRPC server with every service of the gateway. `start` once, then `stop` once. Raises Undeclared."""

    def __init__(self, gateway: Gateway, options: ServerOptions) -> None:
        self._server = grpc.aio.server(options=channel_options(options.message_bytes))
        self._health = Health(SERVICES)
        self._options = options
        self.port: int = 0
        """The bound port, once started; 0 on a unix socket."""
        methods = [self._health.methods(), *_methods(gateway, Reader(edge=options.edge, clock=gateway.clock))]
        if options.reflection:
            methods.append(reflection_methods(SERVICES))
        self._server.add_generic_rpc_handlers((Declared(Listener.PUBLIC, *methods),))

    async def start(self) -> None:
        """Bind and serve."""
        self.port = self._server.add_insecure_port(self._options.bind)
        await self._health.say(serving=True)
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Stop taking calls, let those in flight finish for at most `grace_s` seconds."""
        await self._health.say(serving=False)
        await asyncio.sleep(self._options.notice_s)
        await self._server.stop(grace_s)


def _methods(gateway: Gateway, reader: Reader) -> list[Methods]:
    calls = TypedCalls(gateway, reader)
    typed = [methods_of(each, servicer(calls)) for file, servicer in TYPED for each in file.services_by_name.values()]
    return [OpenAISurface(gateway, reader).methods(), *typed]


def channel_options(message_bytes: int) -> list[tuple[str, int]]:
    """Give what any gRPC server of ours is built with."""
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", -1),
        # Above what Envoy lets pass: `pipeline/identify.py` refuses long headers, every caller's alike. grpcio would
        # refuse at random between these two (8 and 16 KiB if not given), and not the first call of a connection: its
        # limit holds once the other side has acknowledged it.
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        # On by default, and then two servers share a port in silence.
        ("grpc.so_reuseport", 0),
        # Its probes are pings to our one peer, Envoy on this machine: a wake-up on both sides for nothing.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 1024 * 1024),
        # Clients that ping a long silent stream are welcome; the default answers GOAWAY after two.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
