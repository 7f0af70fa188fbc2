"""The OpenAI surface: HTTP that Envoy transcodes. The gRPC status is always OK here; the HTTP status travels as initial
metadata `x-http-code`, errors as bodies in OpenAI's shape. Typed services are in the files of their names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
import msgspec
from google.api.httpbody_pb2 import HttpBody

from isthmusd.core.errors import Bug, GatewayError, MethodNotAllowed
from isthmusd.core.paths import is_tenant_path
from isthmusd.core.reply import Reply, Stream, Whole
from isthmusd.core.request import Arrival, Operation
from isthmusd.dialects.openai.credentials import decode_credential_wish, encode_issued
from isthmusd.dialects.openai.errors import encode_error
from isthmusd.dialects.openai.models import encode_model, encode_models
from isthmusd.framing.http_body import EMPTY, encode_body, with_headers
from isthmusd.pipeline.carrying import Forwarded
from isthmusd.pipeline.credentials import issue_credential
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.identify import request_id_of
from isthmusd.pipeline.models import get_model, list_models
from isthmusd.pipeline.run import Gateway, run
from isthmusd.pipeline.tenant_forward import tenant_forward
from isthmusd.rpc.call import REQUEST_ID, Context, Metadata, Reader, whole_body
from isthmusd.rpc.errors import error_headers
from isthmusd.rpc.tenant_errors import encode_tenant_error

SERVICE = "isthmus.v1.OpenAIService"
JSON_TYPE = "application/json"
SECRET_ANSWER = (("cache-control", "no-store"),)
"""A key that is shown once stays in no cache on its way."""
PUBLIC_ANSWER = (("cache-control", "public, max-age=300"),)
"""How late verifiers may learn of another signing key, if they do not ask again for a `kid` that they do not know."""
READING = frozenset({"GET", "HEAD"})
MODEL_PREFIXES = ("/v1/proxy/models", "/v1/models")

BROKEN = b"\xff"
"""No HttpBody: Envoy resets the connection on it. A forwarded body that breaks off must not look complete, and a gRPC
status after the first byte is invisible on HTTP/1.1."""

ROUTES = {
    "ChatCompletions": Operation.CHAT,
    "Completions": Operation.COMPLETION,
    "Auto": Operation.AUTO,
    "Embeddings": Operation.EMBEDDING,
    "Responses": Operation.RESPONSES,
    "Moderations": Operation.MODERATION,
}

CARRIERS: dict[
    Operation, Callable[[Gateway, Arrival, AsyncIterator[bytes]], AbstractAsyncContextManager[Forwarded]]
] = {
    Operation.FORWARD: forward,
    Operation.TENANT_FORWARD: tenant_forward,
}
ERRORS = {Operation.TENANT_FORWARD: encode_tenant_error}
"""Where errors have another shape than OpenAI's."""

Answer = Callable[[Context, Arrival], Awaitable[bytes]]
"""Gives the last message; it may be empty."""


@dataclass(frozen=True, slots=True)
class OpenAISurface:
    """Serves `isthmus.v1.OpenAIService`."""

    gateway: Gateway
    reader: Reader

    def methods(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Give the methods to register. Put together by hand: messages leave as bytes, `BROKEN` among them."""
        methods = {name: self._unary(operation, self._model_route) for name, operation in ROUTES.items()}
        methods["Models"] = self._unary(Operation.MODELS, self._models)
        methods["Credentials"] = self._unary(Operation.CREDENTIALS, self._credentials)
        methods["Keys"] = self._unary(Operation.KEYS, self._keys)
        methods["Forward"] = grpc.stream_stream_rpc_method_handler(
            self._forward, request_deserializer=HttpBody.FromString, response_serializer=None
        )
        return {f"/{SERVICE}/{name}": method for name, method in methods.items()}

    def _unary(self, operation: Operation, answer: Answer) -> grpc.RpcMethodHandler[Any, Any]:
        """Serve a method whose answer is one message, or many.

        On the wire there is no difference between a method of one answer and one of many. grpcio sends the message that
        a method of one answer returns together with the status: a turn through grpc less for each whole answer.
        """

        async def serve(request: HttpBody, context: Context) -> bytes:
            arrival = self.reader.transcoded(context, operation, request.content_type, request.data)
            return await _answering(context, arrival, answer)

        return grpc.unary_unary_rpc_method_handler(
            serve, request_deserializer=HttpBody.FromString, response_serializer=None
        )

    async def _model_route(self, context: Context, arrival: Arrival) -> bytes:
        async with run(self.gateway, arrival) as reply:
            content_type = await self._begin(context, arrival, reply)
            match reply:
                case Whole():
                    return encode_body(reply.body, content_type)
                case Stream():
                    await _write_all(context, content_type, reply.pieces)
                    return EMPTY

    async def _begin(self, context: Context, arrival: Arrival, reply: Reply) -> str:
        """Give the content type, with the headers that go with it to Envoy. Metadata are sent only where that cannot
        be: Envoy adds the request id itself."""
        if not self.reader.edge or reply.status != 200:
            await context.send_initial_metadata(_metadata(arrival, reply.status, reply.headers))
            return reply.content_type
        return with_headers(reply.content_type, reply.headers) if reply.headers else reply.content_type

    async def _models(self, context: Context, arrival: Arrival) -> bytes:
        path = arrival.path.partition("?")[0]
        rest = next((path[len(prefix) :] for prefix in MODEL_PREFIXES if path.startswith(prefix)), "")
        model = unquote(rest.strip("/"))
        if model:
            body = encode_model(await get_model(self.gateway, arrival, model))
        else:
            body = encode_models(await list_models(self.gateway, arrival))
        await context.send_initial_metadata(_metadata(arrival, 200, ()))
        return encode_body(body, JSON_TYPE)

    async def _credentials(self, context: Context, arrival: Arrival) -> bytes:
        issued = await issue_credential(self.gateway, arrival, decode_credential_wish)
        await context.send_initial_metadata(_metadata(arrival, 200, SECRET_ANSWER))
        return encode_body(encode_issued(issued), JSON_TYPE)

    async def _keys(self, context: Context, arrival: Arrival) -> bytes:
        """Publish what verifies our tokens. No call of the API: nobody is asked who he is, and nothing is recorded."""
        if arrival.method not in READING:
            raise MethodNotAllowed("use GET here")
        await context.send_initial_metadata(_metadata(arrival, 200, PUBLIC_ANSWER))
        return encode_body(msgspec.json.encode(self.gateway.identification.keyring.jwks()), JSON_TYPE)

    async def _forward(self, requests: AsyncIterator[HttpBody], context: Context) -> None:
        opening = await anext(requests, HttpBody())
        arrival = self.reader.transcoded(context, Operation.FORWARD, opening.content_type, b"")
        if is_tenant_path(arrival.path):
            arrival = replace(arrival, operation=Operation.TENANT_FORWARD)

        async def carry(context: Context, arrival: Arrival) -> bytes:
            body = whole_body(_pieces(opening, requests), self.reader.declared_length(context))
            async with CARRIERS[arrival.operation](self.gateway, arrival, body) as forwarded:
                await context.send_initial_metadata(_metadata(arrival, forwarded.status, forwarded.headers))
                await _write_forwarded(context, forwarded.content_type, forwarded.chunks)
                return EMPTY

        last = await _answering(context, arrival, carry)
        if last:
            await context.write(last)


async def _pieces(opening: HttpBody, requests: AsyncIterator[HttpBody]) -> AsyncIterator[bytes]:
    if opening.data:
        yield opening.data
    async for request in requests:
        yield request.data


async def _write_all(context: Context, content_type: str, pieces: AsyncIterator[bytes]) -> None:
    """Write a stream's pieces; only the first message's content type counts."""
    async for piece in pieces:
        await context.write(encode_body(piece, content_type))
        content_type = ""


async def _write_forwarded(context: Context, content_type: str, chunks: AsyncIterator[bytes]) -> None:
    """Write a forwarded body as it comes; an empty one still needs the message that releases the headers."""
    begun = False
    try:
        async for chunk in chunks:
            await context.write(encode_body(chunk, content_type))
            begun = True
        if not begun:
            await context.write(encode_body(EMPTY, content_type))
    except GatewayError:
        # Already noted for the record; the caller learns it by the broken connection.
        if not begun:
            await context.write(encode_body(EMPTY, content_type))
        await context.write(BROKEN)


async def _answering(context: Context, arrival: Arrival, answer: Answer) -> bytes:
    """Answer, or say what went wrong in OpenAI's shape. Cancellation passes: grpc.aio leaks otherwise."""
    try:
        return await answer(context, arrival)
    except asyncio.CancelledError:
        raise
    except GatewayError as error:
        return await _refuse(context, arrival, error)
    except Exception:  # noqa: BLE001 the edge of the process: a bug is opaque outside; its traceback is in the record
        if context.done():
            return EMPTY
        return await _refuse(context, arrival, Bug("internal error; quote the request id when you report it"))


async def _refuse(context: Context, arrival: Arrival, error: GatewayError) -> bytes:
    try:
        await context.send_initial_metadata(_metadata(arrival, error.http_status, error_headers(error)))
    except grpc.aio.UsageError:
        # The answer has begun: what follows cannot become an error answer, but it must not look complete.
        return BROKEN
    return encode_body(ERRORS.get(arrival.operation, encode_error)(error), JSON_TYPE)


def _metadata(arrival: Arrival, status: int, headers: Metadata) -> list[tuple[str, str]]:
    pairs = list(headers)
    if not any(name == REQUEST_ID for name, _ in pairs):
        request_id = request_id_of(arrival.headers)
        if request_id:
            pairs.append((REQUEST_ID, request_id))
    if status != 200:
        pairs.append(("x-http-code", str(status)))
    return pairs
