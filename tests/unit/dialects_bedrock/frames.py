"""Writes `application/vnd.amazon.eventstream`, as Bedrock does. Reading it is the code under test."""

from __future__ import annotations

import struct
from zlib import crc32

import msgspec

STRING = 7


def message(headers: bytes, payload: bytes) -> bytes:
    """Frame a payload with headers that are written already."""
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    body = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def header(name: str, value: str) -> bytes:
    """Write a header of text."""
    text = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([STRING]) + struct.pack(">H", len(text)) + text


def event(name: str, **members: object) -> bytes:
    """Write one event; Bedrock pads each with a member `p`."""
    return raw_event(name, msgspec.json.encode({**members, "p": "abcdefgh"}))


def raw_event(name: str, payload: bytes) -> bytes:
    """Write one event of any payload."""
    headers = header(":event-type", name) + header(":content-type", "application/json")
    return message(headers + header(":message-type", "event"), payload)


def exception(name: str, **members: object) -> bytes:
    """Write an exception."""
    headers = header(":exception-type", name) + header(":content-type", "application/json")
    return message(headers + header(":message-type", "exception"), msgspec.json.encode(members))


def failure(code: str, text: str) -> bytes:
    """Write an error of the transport, which has headers only."""
    headers = header(":message-type", "error") + header(":error-code", code) + header(":error-message", text)
    return message(headers, b"")


def block_start(index: int, **start: object) -> bytes:
    """Open a block."""
    return event("contentBlockStart", contentBlockIndex=index, start=start)


def delta(index: int, **piece: object) -> bytes:
    """Write a piece of a block."""
    return event("contentBlockDelta", contentBlockIndex=index, delta=piece)


def block_stop(index: int) -> bytes:
    """Close a block."""
    return event("contentBlockStop", contentBlockIndex=index)


def streamed(*blocks: bytes, reason: str = "end_turn", **about: object) -> bytes:
    """Write a whole stream around its blocks."""
    stop = event("messageStop", stopReason=reason)
    return b"".join((event("messageStart", role="assistant"), *blocks, stop, event("metadata", **about)))
