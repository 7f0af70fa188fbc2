"""Where the body of an HTTP/1.1 message ends, incrementally: bytes in, the body's bytes out. It reads no heads.

Source: RFC 9112, sections 6.3 and 7.1. Stricter than it asks: lines end in CRLF, sizes are hexadecimal digits only.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Protocol

LINE_BYTES = 8192
"""Longest line between chunks."""
TRAILER_BYTES = 65_536
"""Of all trailers together. They are read and dropped."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class Body(Protocol):
    """One body, fed by one task until it has `ended`."""

    ended: bool
    surplus: bool
    """More bytes came than the body has: the connection cannot be trusted any further."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the connection, give those of the body. Raises ValueError if they are not valid."""
        ...

    def close(self) -> bool:
        """Tell whether the body is whole if the connection ends here."""
        ...


class SizedBody:
    """A body of known length; also none at all."""

    __slots__ = ("_left", "ended", "surplus")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = length == 0
        self.surplus = False

    def feed(self, data: bytes) -> bytes:
        """See `Body`."""
        self.surplus = len(data) > self._left
        piece = data[: self._left] if self.surplus else data
        self._left -= len(piece)
        self.ended = not self._left
        return piece

    def close(self) -> bool:
        """See `Body`."""
        return self.ended


class EndlessBody:
    """A body that lasts as long as its connection."""

    __slots__ = ("ended", "surplus")

    def __init__(self) -> None:
        self.ended = False
        self.surplus = False

    def feed(self, data: bytes) -> bytes:
        """See `Body`."""
        return data

    def close(self) -> bool:
        """See `Body`."""
        self.ended = True
        return True


class _Line(Enum):
    SIZE = auto()
    AFTER_CHUNK = auto()
    TRAILER = auto()


class ChunkedBody:
    """A body in chunks. A chunk's bytes are given as they come, not when it is whole."""

    __slots__ = ("_held", "_left", "_line", "_trailer_bytes", "ended", "surplus")

    def __init__(self) -> None:
        self.ended = False
        self.surplus = False
        self._held = b""
        """The beginning of a line."""
        self._left = 0
        """Of the running chunk."""
        self._line = _Line.SIZE
        """What the next line is, after the running chunk."""
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """See `Body`."""
        pieces: list[bytes] = []
        at = 0
        if self._held:
            data, self._held = self._held + data, b""
        elif self._line is _Line.SIZE:
            at = _take_whole(data, pieces)
        while at < len(data) and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\n", at, at + LINE_BYTES) + 1
            if not end:
                self._hold(data[at:])
                return b"".join(pieces)
            self._take(data[at:end])
            at = end
        self.surplus = at < len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> bool:
        """See `Body`."""
        return self.ended

    def _take(self, line: bytes) -> None:
        match self._line:
            case _Line.AFTER_CHUNK:
                if line != b"\r\n":
                    raise ValueError("a chunk is longer than it says")
                self._line = _Line.SIZE
            case _Line.SIZE:
                size = _SIZE.fullmatch(line)
                if size is None:
                    raise ValueError("a chunk has no size")
                self._left = int(size[1], 16)
                self._line = _Line.AFTER_CHUNK if self._left else _Line.TRAILER
            case _Line.TRAILER:
                self.ended = line == b"\r\n"
                self._trailer_bytes += len(line)
                if self._trailer_bytes > TRAILER_BYTES:
                    raise ValueError("the trailers are too long")

    def _hold(self, line: bytes) -> None:
        if len(line) >= LINE_BYTES:
            raise ValueError("a line between chunks is too long")
        self._held = line


def _take_whole(data: bytes, pieces: list[bytes]) -> int:
    """Take the chunks that are whole, as they usually come, and tell where the first other byte is."""
    at = 0
    while (size := _SIZE.match(data, at)) is not None:
        start = size.end()
        end = start + int(size[1], 16)
        if end == start or not data.startswith(b"\r\n", end):
            break
        pieces.append(data[start:end])
        at = end + 2
    return at
