"""HTTP/2 by hand: header fields that no client library sends, written as literals. Of an answer it reads the status,
the body and how it ended; of its other headers nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
LIMIT_S = 20.0
STATIC = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
"""Fields of HPACK's table that are a status as a whole: RFC 7541, appendix A."""
STATUS_NAMES = {0x48, 0x08, 0x18}
"""Where only the name `:status` comes from the table."""
HUFFMAN = dict(zip("0123456789", ("00000", "00001", "00010", *(f"{code:06b}" for code in range(25, 32))), strict=True))
Fields = Sequence[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer, or what came in its place."""

    status: int | None
    body: bytes = b""
    reset: int | None = None
    """The error of the stream, if it was reset."""
    gone: bool = False
    """Whether the connection was ended."""


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """Write one frame."""
    return len(content).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + content


def block(fields: Fields) -> bytes:
    """Write header fields as literals that nobody shall remember."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def opening(fields: Fields, body: bytes = b"", trailers: Fields = ()) -> bytes:
    """Write a connection's first request."""
    written = PREFACE + frame(SETTINGS, 0, 0, b"")
    head = block(fields)
    pieces = [head[at : at + 16_384] for at in range(0, len(head), 16_384)]
    for at, piece in enumerate(pieces):
        flags = (END_HEADERS if at == len(pieces) - 1 else 0) | (END_STREAM if at == 0 and not body else 0)
        written += frame(CONTINUATION if at else HEADERS, flags, 1, piece)
    for at in range(0, len(body), 16_384):
        last = at + 16_384 >= len(body) and not trailers
        written += frame(DATA, END_STREAM if last else 0, 1, body[at : at + 16_384])
    if trailers:
        written += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(trailers))
    return written


async def say(url: str, content: bytes, limit_s: float = LIMIT_S) -> Heard:
    """Send bytes on a connection of their own and read what becomes of stream 1."""
    where = urlsplit(url)
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            writer.write(content)
            return await _heard(reader, writer)
        finally:
            writer.transport.abort()


async def _heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Heard:
    status, body = None, b""
    while True:
        try:
            head = await reader.readexactly(9)
            content = await reader.readexactly(int.from_bytes(head[:3]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Heard(status=status, body=body, gone=True)
        kind, flags = head[3], head[4]
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == HEADERS:
            status = status or _status(content)
        elif kind == DATA:
            body += content
        elif kind == RST_STREAM:
            return Heard(status=status, body=body, reset=int.from_bytes(content))
        elif kind == GOAWAY:
            return Heard(status=status, body=body, gone=True)
        if kind in {HEADERS, DATA} and flags & END_STREAM:
            return Heard(status=status, body=body)


def _text(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _number(len(content)) + content


def _number(value: int) -> bytes:
    """Write a length of seven bits and more: RFC 7541, section 5.1."""
    if value < 127:
        return bytes((value,))
    value, written = value - 127, b"\x7f"
    while value >= 128:
        written += bytes((value % 128 | 128,))
        value //= 128
    return written + bytes((value,))


def _status(fields: bytes) -> int | None:
    while fields and fields[0] & 0xE0 == 0x20:  # a change of the table's size
        fields = fields[1:]
    if fields[0] in STATIC:
        return STATIC[fields[0]]
    if fields[0] not in STATUS_NAMES:
        return None
    length, text = fields[1] & 0x7F, fields[2 : 2 + (fields[1] & 0x7F)]
    if not fields[1] & 0x80:
        return int(text)
    bits, digits = f"{int.from_bytes(text):0{8 * length}b}", ""
    while len(digits) < 3:
        digit = next(digit for digit, code in HUFFMAN.items() if bits.startswith(code))
        digits, bits = digits + digit, bits[len(HUFFMAN[digit]) :]
    return int(digits)
