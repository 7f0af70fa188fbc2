"""From a gRPC call's metadata to an `Arrival`, and the metadata that every reply carries. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio

from isthmusd.core.errors import InvalidRequest
from isthmusd.core.headers import Headers, first
from isthmusd.core.request import Arrival, Operation, Surface
from isthmusd.pipeline.identify import request_id_of
from isthmusd.pipeline.ports import Clock

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = Sequence[tuple[str, str]]

EDGE_PREFIXES = ("x-envoy-", "x-isthmus-int-")
"""What Envoy tells us; believed only on the socket that Envoy alone uses."""

ORIGINAL_PATH, ORIGINAL_METHOD = "x-envoy-original-path", "x-envoy-original-method"
AUTHORITY = "x-isthmus-int-authority"
LENGTH = "x-isthmus-int-length"
LEFT_WITHIN_S = 0.01
"""How long after the end of a request's messages its cancellation may come; measured: 1 to 35 turns of the loop."""
CUT_WITHIN_S = 5.0
"""The same where it is certain that it must come."""
REQUEST_ID = "x-request-id"


async def whole_body(
    pieces: AsyncIterator[bytes], length: int | None = None, *, cut_within_s: float = CUT_WITHIN_S
) -> AsyncIterator[bytes]:
    """Pass the pieces of a request's body, and end only if its caller did. Raises InvalidRequest if he did not.

    grpcio ends the messages of a caller who left in the same way as those of one who has finished, and cancels the
    call a moment later. Without waiting for that, half an upload looks whole to the provider. Where the caller declared
    a `length`, in bytes, there is nothing to wait for.
    """
    size = 0
    async for piece in pieces:
        size += len(piece)
        yield piece
    if length is not None and size < length:
        await asyncio.sleep(cut_within_s)
        raise InvalidRequest("the body ended before the length that it declared; send it again")
    if length is None and size:
        await asyncio.sleep(LEFT_WITHIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads calls of one listener."""

    edge: bool
    """Envoy is the only one that can dial this listener."""
    clock: Clock

    def typed(self, context: Context, operation: Operation, body: Any, *, stream: bool = False) -> Arrival:
        """Read a typed call."""
        headers, edge, size = self._headers(context)
        return Arrival(
            operation=operation,
            surface=Surface.TYPED,
            dialect="isthmus",
            method="POST",
            path="",
            headers=headers,
            header_bytes=size,
            body=body,
            stream=stream,
            authority=first(edge, AUTHORITY),
            started_at=self.clock.now(),
            deadline_s=context.time_remaining(),
        )

    def transcoded(self, context: Context, operation: Operation, content_type: str, body: bytes) -> Arrival:
        """Read a call of the OpenAI surface. `grpc-timeout` does not exist here: Envoy strips it."""
        headers, edge, size = self._headers(context)
        if content_type:
            headers["content-type"] = [content_type]
        return Arrival(
            operation=operation,
            surface=Surface.OPENAI,
            dialect="openai",
            method=first(edge, ORIGINAL_METHOD) or "POST",
            path=first(edge, ORIGINAL_PATH) or "",
            headers=headers,
            header_bytes=size,
            body=body,
            authority=first(edge, AUTHORITY),
            started_at=self.clock.now(),
        )

    def declared_length(self, context: Context) -> int | None:
        """Give the length in bytes that the caller's HTTP request declared; None if it is chunked, or no HTTP."""
        pairs = (context.invocation_metadata() or ()) if self.edge else ()
        length = next((str(value) for key, value in pairs if key == LENGTH), "")
        return int(length) if length.isascii() and length.isdigit() else None

    def _headers(self, context: Context) -> tuple[dict[str, list[str]], Headers, int]:
        """Split the metadata into the caller's and Envoy's, and count their bytes. gRPC's names are lower-case."""
        ours: dict[str, list[str]] = {}
        theirs: dict[str, list[str]] = {}
        size = 0
        for key, value in context.invocation_metadata() or ():
            size += len(key) + len(value)
            if isinstance(value, str):
                into = ours if key.startswith(EDGE_PREFIXES) else theirs
                if key in into:
                    into[key].append(value)
                else:
                    into[key] = [value]
        if request_id_of(theirs) is None:
            # Decided here, once: whatever becomes of the call, its caller and its record name the same id.
            theirs[REQUEST_ID] = [f"req_{self.clock.stamp().id}"]
        return theirs, ours if self.edge else {}, size
