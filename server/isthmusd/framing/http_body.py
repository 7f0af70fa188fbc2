"""`google.api.HttpBody` written by hand: every answer and every streamed chunk of the HTTP surface travels in one, and
a message object for each costs more than its few bytes. Reading it is protobuf's.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

_CONTENT_TYPE = b"\x0a"
"""Field 1, length-delimited."""
_DATA = b"\x12"
"""Field 2, length-delimited."""

TAB = "\t"
"""Stands before each name and each value of headers behind a content type."""
EMPTY = b""
"""A message with neither type nor data."""


def encode_body(data: bytes, content_type: str = "") -> bytes:
    """Write a message; a stream's later messages need no type."""
    head = _head(content_type) if content_type else EMPTY
    return b"%b%b%b%b" % (head, _DATA, _varint(len(data)), data) if data else head


def with_headers(content_type: str, headers: Sequence[tuple[str, str]]) -> str:
    """Put headers behind a content type, from where Envoy takes them (envoy.yaml, `unpack_headers`).

    Metadata that are sent before an answer cost a turn through grpc of their own, a tenth of what a short answer costs.
    """
    return TAB.join((content_type, *(part.replace(TAB, " ") for part in chain.from_iterable(headers))))


def _head(content_type: str) -> bytes:
    # One with headers is hardly ever seen again.
    return _written(content_type) if TAB in content_type else _remembered(content_type)


@lru_cache(maxsize=64)
def _remembered(content_type: str) -> bytes:
    return _written(content_type)


def _written(content_type: str) -> bytes:
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
