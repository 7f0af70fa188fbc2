"""Puts methods on a server: those of typed services by their names, and only what the table of access knows.

Made here instead of by the generated registration, so that bytes that are no message are the caller's error: grpcio
would answer UNKNOWN and name a Python class. Who may call is decided in the pipeline, not here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from isthmusd.core.authorisation import Listener, demand_rpc_rules
from isthmusd.core.errors import InvalidRequest
from isthmusd.rpc.call import Context
from isthmusd.rpc.errors import status_code, trailers

Behaviour = Callable[[Any, Context], Awaitable[Any]]
Methods: TypeAlias = "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
"""By `/package.Service/Method`."""

KINDS: dict[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By (the client streams, the server streams)."""

NO_MESSAGE = InvalidRequest("the request is no message of this method; generate your stubs from the published protos")


class Declared(grpc.GenericRpcHandler):
    """All methods of one listener. Raises Undeclared if one of them has no rule, or belongs on another listener."""

    def __init__(self, listener: Listener, *methods: Methods) -> None:
        self._methods = {name: method for each in methods for name, method in each.items()}
        demand_rpc_rules(self._methods, listener)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the method that a call names."""
        return self._methods.get(handler_call_details.method)


def methods_of(service: ServiceDescriptor, servicer: object) -> Methods:
    """Bind every method of a service to the servicer's method of the same name."""
    return {full_name(method): _handler(method, getattr(servicer, method.name)) for method in service.methods}


def full_name(method: MethodDescriptor) -> str:
    """Give a method's name as it is on the wire."""
    service: Any = method.containing_service
    return f"/{service.full_name}/{method.name}"


def unary_handler(method: MethodDescriptor, behaviour: Behaviour) -> grpc.RpcMethodHandler[Any, Any]:
    """Bind a method of one request and one answer; the behaviour gets None for bytes that are no message."""
    return grpc.unary_unary_rpc_method_handler(
        behaviour, request_deserializer=_reader(method), response_serializer=_write
    )


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
