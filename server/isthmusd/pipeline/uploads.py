"""Reads the beginning of a streamed body, so that Forward can route by it, and bounds the whole. Nothing here is held
beyond the first mebibyte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from isthmusd.core.errors import InvalidRequest, RequestTooLarge

PREFIX_BYTES = 1024 * 1024
STALLED = "request_timeout"


class Upload:
    """A request body on its way. `begin` is called once, first; then `rest` at most once."""

    def __init__(self, pieces: AsyncIterator[bytes], limit: int, idle_s: float) -> None:
        self._pieces = pieces
        self._limit = limit
        self._idle_s = idle_s
        self._seen = 0
        self.prefix = b""
        self.complete = False
        """The prefix is the whole body."""

    async def begin(self) -> None:
        """Read until the body ends or the prefix is full. Raises RequestTooLarge, InvalidRequest if it stalls."""
        held: list[bytes] = []
        while self._seen < PREFIX_BYTES:
            piece = await self._next()
            if piece is None:
                self.complete = True
                break
            held.append(piece)
        self.prefix = b"".join(held)

    async def rest(self, prefix: bytes) -> AsyncIterator[bytes]:
        """Yield `prefix`, then what follows it."""
        yield prefix
        while (piece := await self._next()) is not None:
            yield piece

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._idle_s):
                piece = await anext(self._pieces, None)
        except TimeoutError:
            # Nothing else ends it: each such caller would keep a place among the admitted calls for ever.
            raise InvalidRequest("the body stopped arriving; send it again", code=STALLED, http_status=408) from None
        if piece is not None:
            self._seen += len(piece)
            if self._seen > self._limit:
                raise RequestTooLarge(f"the upload is over the limit of {self._limit} bytes")
        return piece
