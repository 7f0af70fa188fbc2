"""What the typed servicers share: run a call, answer with a message or a stream of them, or end with a status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from isthmusd.core.caching import CacheStatus
from isthmusd.core.errors import Bug, GatewayError
from isthmusd.core.reply import Stream, Whole
from isthmusd.core.request import Arrival, Operation
from isthmusd.dialects.isthmus import name_provider, name_provider_of_stream
from isthmusd.pipeline.answers import status_headers
from isthmusd.pipeline.identify import request_id_of
from isthmusd.pipeline.run import Gateway, run
from isthmusd.rpc.call import REQUEST_ID, Context, Reader
from isthmusd.rpc.errors import MESSAGE_LIMIT, shortened, status_code, trailers

METADATA_LIMIT = 6 * 1024
"""Clients of the C core refuse an answer, at random, whose metadata exceed 8 KiB: one that is paid for already."""
CACHE = "x-isthmus-cache"
TOLD_TWICE = frozenset({"x-isthmus-losses", CACHE, "x-bt-cached", "age", "cache-control"})
BYPASSED = status_headers(CacheStatus.BYPASS)
"""Said here of calls that the cache had no part in; over HTTP Envoy says it."""
OURS = frozenset({REQUEST_ID, "age", "cache-control"})
PAIR_OVERHEAD = 32
"""What HTTP/2 counts for each header beside its name and value."""


@dataclass(frozen=True, slots=True)
class TypedCalls:
    """Serves typed calls through the pipeline."""

    gateway: Gateway
    reader: Reader

    async def whole(self, context: Context, operation: Operation, request: Any) -> Any:
        """Answer with one message."""
        arrival = self.reader.typed(context, operation, request)
        async with answering(context, arrival), run(self.gateway, arrival) as reply:
            match reply:
                case Whole():
                    await _begin(context, arrival, reply)
                    name_provider(reply.body, reply.provenance.provider or "")
                    return reply.body
                case Stream():
                    raise Bug("a whole answer was asked for")

    async def stream(self, context: Context, operation: Operation, request: Any) -> None:
        """Answer with a stream of messages."""
        arrival = self.reader.typed(context, operation, request, stream=True)
        async with answering(context, arrival), run(self.gateway, arrival) as reply:
            match reply:
                case Stream():
                    await _begin(context, arrival, reply)
                    unnamed = True
                    async for piece in reply.pieces:
                        if unnamed:
                            name_provider_of_stream(piece, reply.provenance.provider or "")
                            unnamed = False
                        await context.write(piece)
                case Whole():
                    raise Bug("a stream was asked for")


async def _begin(context: Context, arrival: Arrival, reply: Whole | Stream) -> None:
    """Send what precedes an answer. Some of it is told at its end too, where callers look who read the answer first."""
    pairs = metadata(arrival, reply)
    context.set_trailing_metadata([pair for pair in pairs if pair[0] in TOLD_TWICE])
    await context.send_initial_metadata(pairs)


def metadata(arrival: Arrival, reply: Whole | Stream) -> list[tuple[str, str]]:
    """Give the initial metadata of an answer: the same facts as the headers of the OpenAI surface, as many as a client
    takes, our own before the provider's."""
    known = any(name == CACHE for name, _ in reply.headers)
    pairs = [*request_metadata(arrival), *(() if known else BYPASSED), *reply.headers]
    left, kept = METADATA_LIMIT, list[tuple[str, str]]()
    for name, value in sorted(pairs, key=_is_providers):
        size = len(name) + len(value) + PAIR_OVERHEAD
        if size <= left:
            left -= size
            kept.append((name, value))
    return kept


def _is_providers(pair: tuple[str, str]) -> bool:
    return not pair[0].startswith(("x-isthmus-", "x-bt-")) and pair[0] not in OURS


def request_metadata(arrival: Arrival) -> list[tuple[str, str]]:
    """Give the metadata that says which call this answers."""
    request_id = request_id_of(arrival.headers)
    return [(REQUEST_ID, request_id)] if request_id else []


@asynccontextmanager
async def answering(context: Context, arrival: Arrival) -> AsyncGenerator[None]:
    """End the call with the status of whatever goes wrong inside. Cancellation passes: grpc.aio leaks otherwise."""
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except GatewayError as error:
        await abort(context, arrival, error)
    except Exception:  # noqa: BLE001 the edge of the process: a bug is opaque outside; its traceback is in the record
        await abort(context, arrival, Bug("internal error; quote the request id when you report it"))


async def abort(context: Context, arrival: Arrival, error: GatewayError) -> None:
    """End the call with an error's status and details."""
    message = shortened(error.message, MESSAGE_LIMIT)
    await context.abort(status_code(error), message, trailers(error, request_id_of(arrival.headers) or ""))
