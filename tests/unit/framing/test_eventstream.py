"""Event stream framing: whole messages however the bytes are cut, and no others."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.framing.eventstream import EventMessage, EventstreamReader

from tests.unit.dialects_bedrock.frames import event, header, message

MESSAGES = [event("messageStart", role="assistant"), message(b"", b""), message(header("x", "é"), b"\x00\xff")]
STREAM = b"".join(MESSAGES)

Read = list[tuple[dict[str, object], bytes]]


def plain(messages: list[EventMessage]) -> Read:
    return [(dict(message.headers), message.payload) for message in messages]


def read_in_pieces(data: bytes, ends: list[int]) -> tuple[Read, str | None]:
    reader = EventstreamReader()
    found: Read = []
    start = 0
    for end in [*sorted(ends), len(data)]:
        found += plain(reader.feed(data[start:end]))
        start = end
    return found, None if reader.failure is None else reader.failure.message


def typed(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def test_messages_are_read_with_headers_and_payload() -> None:
    reader = EventstreamReader()

    first, second, third = reader.feed(STREAM)

    assert first.text(":event-type") == "messageStart"
    assert first.text(":message-type") == "event"
    assert first.payload == b'{"role":"assistant","p":"abcdefgh"}'
    assert (second.headers, second.payload) == ({}, b"")
    assert (third.headers, third.payload) == ({"x": "é"}, b"\x00\xff")
    assert reader.failure is None


@given(ends=st.lists(st.integers(min_value=0, max_value=len(STREAM))))
def test_every_cut_gives_the_same_messages(ends: list[int]) -> None:
    assert read_in_pieces(STREAM, ends) == read_in_pieces(STREAM, [])


def test_headers_of_every_type_are_read() -> None:
    headers = b"".join(
        (
            typed("yes", 0, b""),
            typed("no", 1, b""),
            typed("byte", 2, b"\xff"),
            typed("short", 3, struct.pack(">h", -2)),
            typed("int", 4, struct.pack(">i", 3)),
            typed("long", 5, struct.pack(">q", -4)),
            typed("bytes", 6, b"\x00\x02\x00\x01"),
            typed("text", 7, b"\x00\x01t"),
            typed("time", 8, struct.pack(">q", 1_700_000_000_000)),
            typed("uuid", 9, bytes(16)),
        )
    )

    (found,) = EventstreamReader().feed(message(headers, b"p"))

    assert found.headers == {
        "yes": True,
        "no": False,
        "byte": -1,
        "short": -2,
        "int": 3,
        "long": -4,
        "bytes": b"\x00\x01",
        "text": "t",
        "time": 1_700_000_000_000,
        "uuid": bytes(16),
    }
    assert found.text("text") == "t"
    assert found.text("int") == ""
    assert found.text("absent") == ""


@pytest.mark.parametrize("place", range(len(MESSAGES[0])))
def test_a_flipped_bit_anywhere_breaks_the_stream(place: int) -> None:
    broken = bytearray(MESSAGES[0])
    broken[place] ^= 0x10
    reader = EventstreamReader()

    found = reader.feed(MESSAGES[1] + bytes(broken) + MESSAGES[1])

    assert plain(found) == [({}, b"")]
    assert reader.failure is not None
    assert "checksum" in reader.failure.message
    assert reader.feed(MESSAGES[1]) == []


@pytest.mark.parametrize(
    "headers",
    [
        typed("x", 10, b""),
        typed("x", 7, b"\x00\x09short"),
        typed("x", 7, b"\x00\x02\xff\xfe"),
        typed("x", 4, b"\x00"),
        b"\x05name",
        b"\x01x",
    ],
    ids=["unknown type", "long text", "no utf-8", "short number", "short name", "no type"],
)
def test_headers_that_cannot_be_read_break_the_stream(headers: bytes) -> None:
    reader = EventstreamReader()

    assert reader.feed(message(headers, b"{}")) == []
    assert reader.failure is not None
    assert "headers" in reader.failure.message


def test_a_message_over_the_limit_is_refused_before_it_came() -> None:
    reader = EventstreamReader(limit=64)

    assert len(reader.feed(message(b"", bytes(48)))) == 1
    assert reader.feed(message(b"", bytes(49))[:12]) == []
    assert reader.failure is not None
    assert "64 bytes" in reader.failure.message


def test_headers_longer_than_their_message_are_refused() -> None:
    prelude = struct.pack(">II", 20, 5)
    reader = EventstreamReader()

    assert reader.feed(prelude + struct.pack(">I", crc32(prelude)) + bytes(8)) == []
    assert reader.failure is not None
    assert "shorter" in reader.failure.message


def test_many_different_headers_are_all_read() -> None:
    stream = b"".join(message(header("n", str(number)), b"") for number in range(100))

    found = EventstreamReader().feed(stream + stream)

    assert [message.text("n") for message in found] == [str(number) for number in range(100)] * 2
