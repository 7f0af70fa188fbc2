"""The typed Forward service: a whole HTTP exchange as messages. Over HTTP the same is `OpenAIService.Forward`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

from isthmus.v1 import forward_pb2

from isthmusd.core.errors import InvalidRequest
from isthmusd.core.headers import collect_headers
from isthmusd.core.request import Arrival, Operation
from isthmusd.dialects.isthmus.usage import encode_usage
from isthmusd.pipeline.carrying import Forwarded
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.headers import named_by_connection, stops_here
from isthmusd.pipeline.record import recording
from isthmusd.rpc.call import Context, whole_body
from isthmusd.rpc.typed import TypedCalls, answering, request_metadata

PIECE_BYTES = 256 * 1024
"""Largest body message sent: well below any client's default limit."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those of the OpenAI surface. TRACE would show our credential to the caller, CONNECT open a tunnel."""
TARGET = re.compile(r"/[!-~]*")
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110's token. The HTTP client does not check: `host: other, x` would be written as a header of its own."""


class ForwardServicer:
    """Implements `isthmus.v1.ForwardService`: a method for each of its methods."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def Forward(self, request_iterator: AsyncIterator[forward_pb2.ForwardRequest], context: Context) -> None:
        """Carry one exchange: the head first, then the body's pieces."""
        arrival = self._calls.reader.typed(context, Operation.FORWARD, b"")
        async with answering(context, arrival):
            arrival = _addressed(arrival, await self._head(arrival, request_iterator))
            async with forward(self._calls.gateway, arrival, whole_body(_pieces(request_iterator))) as forwarded:
                await context.send_initial_metadata(request_metadata(arrival))
                await context.write(forward_pb2.ForwardResponse(head=_answer_head(forwarded)))
                async for chunk in forwarded.chunks:
                    for start in range(0, len(chunk), PIECE_BYTES):
                        await context.write(forward_pb2.ForwardResponse(body=chunk[start : start + PIECE_BYTES]))
                usage = forwarded.usage
                end = forward_pb2.ForwardEnd(usage=encode_usage(usage) if usage is not None else None)
                await context.write(forward_pb2.ForwardResponse(end=end))

    async def _head(
        self, arrival: Arrival, requests: AsyncIterator[forward_pb2.ForwardRequest]
    ) -> forward_pb2.ForwardRequestHead:
        """Read the head. A call that fails here is recorded like any other."""
        try:
            return await _head(requests)
        except InvalidRequest:
            async with recording(self._calls.gateway.journal, self._calls.gateway.clock, arrival):
                raise


async def _head(requests: AsyncIterator[forward_pb2.ForwardRequest]) -> forward_pb2.ForwardRequestHead:
    request = await anext(requests, None)
    if request is None or request.WhichOneof("piece") != "head":
        raise InvalidRequest("the first message must be the head", param="head")
    head = request.head
    if head.method.upper() not in METHODS:
        raise InvalidRequest(f"the head needs a method, one of {', '.join(sorted(METHODS))}", param="head")
    if not TARGET.fullmatch(head.path):
        raise InvalidRequest("the head needs a path that begins with '/', percent-encoded", param="head")
    if not all(FIELD_NAME.fullmatch(header.name) for header in head.headers):
        raise InvalidRequest("the head has a header whose name is none in HTTP", param="head")
    return head


def _addressed(arrival: Arrival, head: forward_pb2.ForwardRequestHead) -> Arrival:
    """Headers of the head are the forwarded ones; those of the call itself say who is asking."""
    sent = collect_headers((header.name, header.value) for header in head.headers)
    headers = {name: values for name, values in arrival.headers.items() if stops_here(name)}
    of_that_hop = named_by_connection(sent)
    headers |= {name: values for name, values in sent.items() if not stops_here(name) and name not in of_that_hop}
    return replace(arrival, method=head.method.upper(), path=head.path, headers=headers)


async def _pieces(requests: AsyncIterator[forward_pb2.ForwardRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("piece") != "body":
            raise InvalidRequest("after the head only body pieces may follow", param="body")
        yield request.body


def _answer_head(forwarded: Forwarded) -> forward_pb2.ForwardResponseHead:
    headers = [forward_pb2.Header(name=name, value=value) for name, value in forwarded.headers]
    if forwarded.content_type:
        headers.append(forward_pb2.Header(name="content-type", value=forwarded.content_type))
    return forward_pb2.ForwardResponseHead(status=forwarded.status, headers=headers)
