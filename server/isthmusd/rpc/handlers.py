"""Puts a typed service's methods on a server. Made here instead of by the generated registration, so that bytes that
are no message are the caller's error: grpcio would answer UNKNOWN and name a Python class."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from isthmusd.core.errors import InvalidRequest
from isthmusd.rpc.call import Context
from isthmusd.rpc.errors import status_code, trailers

Behaviour = Callable[[Any, Context], Awaitable[Any]]

KINDS: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By (the client streams, the server streams)."""

NO_MESSAGE = InvalidRequest("the request is no message of this method; generate your stubs from the published protos")


def handler_for(service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """Bind every method of a service to the servicer's method of the same name."""
    methods = {method.name: _handler(method, getattr(servicer, method.name)) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def _handler(method: MethodDescriptor, behaviour: Behaviour) -> grpc.RpcMethodHandler[Any, Any]:
    checked = _checked_stream(behaviour) if method.client_streaming else _checked(behaviour)
    return KINDS[method.client_streaming, method.server_streaming](
        checked, request_deserializer=_reader(method), response_serializer=_write
    )


def _reader(method: MethodDescriptor) -> Callable[[bytes], Message | None]:
    message_class = GetMessageClass(method.input_type)

    def read(data: bytes) -> Message | None:
        try:
            return message_class.FromString(data)
        except DecodeError:
            return None

    return read


def _write(message: Message) -> bytes:
    return message.SerializeToString()


def _checked(behaviour: Behaviour) -> Behaviour:
    async def serve(request: Message | None, context: Context) -> Any:
        if request is None:
            await context.abort(status_code(NO_MESSAGE), NO_MESSAGE.message, trailers(NO_MESSAGE, ""))
        return await behaviour(request, context)

    return serve


def _checked_stream(behaviour: Behaviour) -> Behaviour:
    async def serve(requests: AsyncIterator[Message | None], context: Context) -> Any:
        return await behaviour(_messages(requests), context)

    return serve


async def _messages(requests: AsyncIterator[Message | None]) -> AsyncIterator[Message]:
    async for request in requests:
        if request is None:
            raise InvalidRequest(NO_MESSAGE.message)
        yield request
