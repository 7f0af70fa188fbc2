"""`application/vnd.amazon.eventstream`, incrementally: bytes in, whole messages out, however the bytes are cut. It
reads headers and checks sums; what a payload says is the dialect's business.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
A message is its total length, its headers' length, the CRC of these eight bytes, the headers, the payload, and the CRC
of all before. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zlib import crc32

from isthmusd.core.errors import Garbled

MAX_MESSAGE_BYTES = 24 << 20
"""AWS's own limit: 16 MB of payload in base64, and headers."""

HeaderValue = bool | int | bytes | str

_LENGTHS = struct.Struct(">III")
_SUM = struct.Struct(">I")
_PRELUDE = _LENGTHS.size
_OVERHEAD = _PRELUDE + _SUM.size
_MAX_KNOWN_HEADERS = 64


@dataclass(slots=True)
class EventMessage:
    """One message. Not frozen: made once per event, and frozen dataclasses take four times as long to construct."""

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """Give a header of text; empty if it is absent or no text."""
        match self.headers.get(name):
            case str(value):
                return value
            case _:
                return ""


class EventstreamReader:
    """Fed by one task; after `failure` is set it gives nothing more."""

    __slots__ = ("_held", "_known", "_limit", "failure")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self.failure: Garbled | None = None
        self._held = bytearray()
        self._limit = limit
        self._known: dict[bytes, dict[str, HeaderValue]] = {}
        """Headers by their bytes: a stream has few different ones, and reading them costs more than the rest."""

    def feed(self, data: bytes) -> list[EventMessage]:
        """Take bytes, give the messages that they complete."""
        messages: list[EventMessage] = []
        if self.failure is not None:
            return messages
        held = self._held
        held += data
        start = 0
        try:
            while (end := self._end_of(held, start)) is not None:
                messages.append(self._message(bytes(held[start:end])))
                start = end
        except _BrokenError as error:
            self.failure = Garbled(f"The provider's event stream is broken: {error}; try again.")
            held.clear()
            return messages
        del held[:start]
        return messages

    def _end_of(self, held: bytearray, start: int) -> int | None:
        """Tell where the message ends; None until it is whole. The prelude is judged as soon as it is there."""
        if len(held) - start < _PRELUDE:
            return None
        total, headers, told = _LENGTHS.unpack_from(held, start)
        if crc32(held[start : start + _PRELUDE - _SUM.size]) != told:
            raise _BrokenError("the checksum of a message's lengths is wrong")
        if total > self._limit:
            raise _BrokenError(f"a message of more than {self._limit} bytes")
        if headers + _OVERHEAD > total:
            raise _BrokenError("a message is shorter than its headers")
        return start + total if len(held) - start >= total else None

    def _message(self, raw: bytes) -> EventMessage:
        body_end = len(raw) - _SUM.size
        (told,) = _SUM.unpack_from(raw, body_end)
        if crc32(memoryview(raw)[:body_end]) != told:
            raise _BrokenError("the checksum of a message is wrong")
        headers_end = _PRELUDE + _LENGTHS.unpack_from(raw)[1]
        return EventMessage(self._headers(raw[_PRELUDE:headers_end]), raw[headers_end:body_end])

    def _headers(self, raw: bytes) -> dict[str, HeaderValue]:
        headers = self._known.get(raw)
        if headers is None:
            headers = _read_headers(raw)
            if len(self._known) < _MAX_KNOWN_HEADERS:
                self._known[raw] = headers
        return headers


class _BrokenError(Exception):
    """The bytes are no event stream. Never leaves this module."""


def _read_headers(raw: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    place = 0
    try:
        while place < len(raw):
            name, place = _sized(raw, place, 1)
            read = _READERS[raw[place]]
            headers[name.decode()], place = read(raw, place + 1)
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise _BrokenError("the headers of a message cannot be read") from error
    return headers


def _sized(raw: bytes, place: int, width: int) -> tuple[bytes, int]:
    """Take bytes that follow their own length."""
    start = place + width
    return _taken(raw, start, int.from_bytes(raw[place:start]))


def _taken(raw: bytes, start: int, length: int) -> tuple[bytes, int]:
    end = start + length
    if end > len(raw):
        raise IndexError
    return raw[start:end], end


def _text(raw: bytes, place: int) -> tuple[HeaderValue, int]:
    value, end = _sized(raw, place, 2)
    return value.decode(), end


def _blob(raw: bytes, place: int) -> tuple[HeaderValue, int]:
    return _sized(raw, place, 2)


def _uuid(raw: bytes, place: int) -> tuple[HeaderValue, int]:
    return _taken(raw, place, 16)


def _flag(value: bool) -> Callable[[bytes, int], tuple[HeaderValue, int]]:
    def read(raw: bytes, place: int) -> tuple[HeaderValue, int]:
        del raw  # the type says it all
        return value, place

    return read


def _integer(width: int) -> Callable[[bytes, int], tuple[HeaderValue, int]]:
    def read(raw: bytes, place: int) -> tuple[HeaderValue, int]:
        value, end = _taken(raw, place, width)
        return int.from_bytes(value, signed=True), end

    return read


_READERS: dict[int, Callable[[bytes, int], tuple[HeaderValue, int]]] = {
    0: _flag(True),
    1: _flag(False),
    2: _integer(1),
    3: _integer(2),
    4: _integer(4),
    5: _integer(8),
    6: _blob,
    7: _text,
    8: _integer(8),
    9: _uuid,
}
"""By the number of the type. A timestamp (8) is milliseconds."""
