"""A real gRPC server in this process, real stubs, and what a test watches of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from isthmusd.app import running
from isthmusd.core.record import Record
from isthmusd.pipeline.ports import Upstream
from isthmusd.rpc.server import Server, ServerOptions
from isthmusd.settings import Settings, load

from tests.fakes.callers import SECRET
from tests.fakes.provider import FakeProvider

SERVICE = "/isthmus.v1.OpenAIService/"
DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.RequestInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.BadRequest,
)


@dataclass(slots=True)
class KeptJournal:
    """Keeps what is written, and tells who waits for it."""

    records: list[Record] = field(default_factory=list[Record])
    _written: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, record: Record) -> None:
        self.records.append(record)
        self._written.set()

    async def holds(self, count: int) -> None:
        """Wait for so many records."""
        async with asyncio.timeout(5):
            while len(self.records) < count:
                self._written.clear()
                await self._written.wait()


@dataclass(frozen=True, slots=True)
class Serving:
    """A gateway that serves, and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    provider: FakeProvider
    journal: KeptJournal

    @property
    def record(self) -> Record:
        """The one record that was written."""
        (record,) = self.journal.records
        return record

    async def post(
        self, method: str, body: Any, *metadata: tuple[str, str | bytes], content_type: str = "application/json"
    ):  # type: ignore[no-untyped-def]
        """Call the OpenAI surface as Envoy does."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        call = self.channel.unary_stream(
            SERVICE + method, request_serializer=HttpBody.SerializeToString, response_deserializer=None
        )
        return await Answered.of(call(HttpBody(content_type=content_type, data=data), metadata=metadata, timeout=20))

    async def forward(
        self, path: str, *pieces: bytes, method: str = "POST", metadata: Any = (), content_type: str = ""
    ) -> Answered:
        """Call Forward of the OpenAI surface as Envoy does."""
        call = self.channel.stream_stream(
            SERVICE + "Forward", request_serializer=HttpBody.SerializeToString, response_deserializer=None
        )
        bodies = [HttpBody(data=piece) for piece in pieces] or [HttpBody()]
        bodies[0].content_type = content_type
        named = (("x-envoy-original-path", path), ("x-envoy-original-method", method), *metadata)
        return await Answered.of(call(iter(bodies), metadata=named, timeout=20))


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer as it leaves the server for Envoy."""

    metadata: dict[str, str]
    messages: list[bytes]

    @classmethod
    async def of(cls, call: Any) -> Answered:
        messages = [message async for message in call]
        assert await call.code() is grpc.StatusCode.OK
        metadata = {key: value for key, value in await call.initial_metadata()}
        packed = HttpBody.FromString(messages[0]).content_type.split("\t")[1:] if messages else []
        return cls(metadata | dict(zip(packed[::2], packed[1::2], strict=True)), messages)

    @property
    def status(self) -> int:
        return int(self.metadata.get("x-http-code", "200"))

    @property
    def content_type(self) -> str:
        return HttpBody.FromString(self.messages[0]).content_type.partition("\t")[0]

    @property
    def body(self) -> bytes:
        return b"".join(HttpBody.FromString(message).data for message in self.messages)

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@asynccontextmanager
async def serving(*, edge: bool = True, upstream: Upstream | None = None, **settings: Any) -> AsyncIterator[Serving]:
    """Serve with the fake provider as openai; settings by dotted paths, `__` for the dot."""
    async with FakeProvider() as provider:
        given = {
            "providers.openai.base_url": provider.url,
            "providers.openai.api_key": "sk-ours",
            "limits.drain_s": 5.0,
            "records.keep": False,
            # A file would be the user's own, and what one test asked would answer the next one.
            "cache.url": "memory",
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        journal = KeptJournal()
        options = ServerOptions(bind="127.0.0.1:0", edge=edge)
        async with (
            running(provisioned(load(None, {}, given)), options, upstream=upstream, journal=journal) as server,
            grpc.aio.insecure_channel(
                f"127.0.0.1:{server.port}", options=[("grpc.max_receive_message_length", -1)]
            ) as channel,
        ):
            yield Serving(server, channel, provider, journal)


def provisioned(settings: Settings) -> Settings:
    """Without a store: nothing here asks for one."""
    return settings.provisioned(secret=SECRET, instance="tests", store_url="sqlite:////nowhere/isthmus.db")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A gRPC error with its details unpacked."""

    code: grpc.StatusCode
    message: str
    details: dict[str, Any]
    trailer_bytes: int

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        return self.details["ErrorInfo"]


async def refusal_of(call: Any) -> Refusal:
    """Await a unary call, or read a stream, until it fails."""
    try:
        match call:
            case grpc.aio.UnaryUnaryCall():
                await call
            case _:
                while await call.read() is not grpc.aio.EOF:
                    pass
    except grpc.aio.AioRpcError as error:
        return refused(error)
    raise AssertionError("the call was answered")


def refused(error: grpc.aio.AioRpcError) -> Refusal:
    """Unpack a gRPC error."""
    details: dict[str, Message] = {}
    status = rpc_status.from_call(error)
    for packed in status.details if status is not None else ():
        for kind in DETAILS:
            detail = kind()
            if packed.Unpack(detail):
                details[kind.__name__] = detail
    trailers = error.trailing_metadata() or ()
    size = sum(len(key) + len(value) for key, value in trailers) + len((error.details() or "").encode())
    return Refusal(error.code(), error.details() or "", details, size)
