"""Answers that a provider compressed though it was asked not to. Forward passes compressed bodies on as they are."""

from __future__ import annotations

import zlib

import aiohttp

from isthmusd.upstream.conversation import Conversation

PIECE_BYTES = 262_144
"""What is unpacked at a time, so that a small answer cannot become a large one before anybody counts."""
WINDOWS = {"gzip": 31, "deflate": 15}
"""Codings to zlib's window parameter."""
BARE_DEFLATE = -15
"""Without zlib's header, as some servers send `deflate`."""


class UnpackedBody:
    """Reads what `content` reads, unpacked. For one task."""

    def __init__(self, content: Conversation, coding: str) -> None:
        if coding not in WINDOWS:
            raise aiohttp.ClientPayloadError(f"the answer is packed as {coding}")
        self._content = content
        self._window = WINDOWS[coding]
        self._begun = False
        self._unpacker = zlib.decompressobj(self._window)
        self.total_bytes = 0
        """Unknown until it is read."""

    async def readany(self) -> bytes:
        """Give some of the body; b"" at its end. Raises ClientError, OSError."""
        while True:
            packed = self._unpacker.unconsumed_tail or self._unpacker.unused_data or await self._content.readany()
            if not packed:
                if self._begun and not self._unpacker.eof:
                    raise aiohttp.ClientPayloadError("the packed body is incomplete")
                return b""
            piece = self._unpack(packed)
            if piece:
                return piece

    def read_nowait(self) -> bytes:
        """Nothing can be said without unpacking."""
        return b""

    def is_eof(self) -> bool:
        """Nothing can be said without unpacking."""
        return False

    def _unpack(self, packed: bytes) -> bytes:
        if not self._begun and self._window == WINDOWS["deflate"] and packed[0] & 0x0F != 8:
            self._unpacker = zlib.decompressobj(BARE_DEFLATE)
        elif self._unpacker.eof:  # another member follows
            self._unpacker = zlib.decompressobj(self._window)
        self._begun = True
        try:
            return self._unpacker.decompress(packed, PIECE_BYTES)
        except zlib.error as error:
            raise aiohttp.ClientPayloadError(f"the packed body is not valid: {error}") from error
