"""Writes `application/vnd.amazon.eventstream`, from AWS's description of it. It knows no event's content.

Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
from zlib import crc32

import msgspec

CONTENT_TYPE = "application/vnd.amazon.eventstream"
STRING = 7


def frame(payload: bytes, headers: dict[str, str]) -> bytes:
    """Give one message: lengths and their sum, headers, payload, the sum of all."""
    head = b"".join(map(_header, headers.items()))
    lengths = struct.pack(">II", 4 + 4 + 4 + len(head) + len(payload) + 4, len(head))
    message = lengths + struct.pack(">I", crc32(lengths)) + head + payload
    return message + struct.pack(">I", crc32(message))


def event(kind: str, value: object) -> bytes:
    """Give an event of a stream."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(msgspec.json.encode(value), headers)


def exception(kind: str, message: str) -> bytes:
    """Give a modelled failure in a stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(msgspec.json.encode({"message": message}), headers)


def spoiled(message: bytes) -> bytes:
    """Change one bit of a message's payload, so that its sum is wrong."""
    return message[:-6] + bytes((message[-6] ^ 1,)) + message[-5:]


def _header(pair: tuple[str, str]) -> bytes:
    name, value = (text.encode() for text in pair)
    return bytes((len(name),)) + name + bytes((STRING,)) + struct.pack(">H", len(value)) + value
