"""`google.api.HttpBody` written by hand: every answer and every streamed chunk of the HTTP surface travels in one, and
a message object for each costs more than its few bytes. Reading it is protobuf's.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from functools import lru_cache

_CONTENT_TYPE = b"\x0a"
"""Field 1, length-delimited."""
_DATA = b"\x12"
"""Field 2, length-delimited."""

EMPTY = b""
"""A message with neither type nor data."""


def encode_body(data: bytes, content_type: str = "") -> bytes:
    """Write a message; a stream's later messages need no type."""
    head = _head(content_type) if content_type else EMPTY
    return b"%b%b%b%b" % (head, _DATA, _varint(len(data)), data) if data else head


@lru_cache(maxsize=64)
def _head(content_type: str) -> bytes:
    text = content_type.encode("utf-8", "replace")
    return _CONTENT_TYPE + _varint(len(text)) + text


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    """Sizes repeat: the pieces of a stream are nearly all alike."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
