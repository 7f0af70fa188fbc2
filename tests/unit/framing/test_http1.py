"""Ends of HTTP bodies: fed whole, byte by byte, and cut at every place."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from isthmusd.framing.http1 import LINE_BYTES, TRAILER_BYTES, Body, ChunkedBody, EndlessBody, SizedBody

CHUNKED = {
    "one": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "several": (b"5\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\n\r\n", b"hello 0123456789"),
    "line ends within": (b"4\r\n\r\n\r\n\r\n2\r\n0\r\r\n0\r\n\r\n", b"\r\n\r\n0\r"),
    "extensions": (b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n', b"hello"),
    "spaces": (b"5 \t\r\nhello\r\n0\r\n\r\n", b"hello"),
    "trailers": (b"1\r\nx\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n", b"x"),
    "nothing": (b"0\r\n\r\n", b""),
}


def fed(body: Body, pieces: Iterable[bytes]) -> bytes:
    return b"".join([body.feed(piece) for piece in pieces])


@pytest.mark.parametrize(("wire", "content"), CHUNKED.values(), ids=CHUNKED)
def test_chunks_are_the_same_however_they_are_cut(wire: bytes, content: bytes) -> None:
    cuts = [[wire], [wire[n : n + 1] for n in range(len(wire))], *([wire[:n], wire[n:]] for n in range(len(wire)))]

    for pieces in cuts:
        body = ChunkedBody()
        assert fed(body, pieces) == content
        assert (body.ended, body.surplus, body.close()) == (True, False, True)


def test_bytes_of_a_chunk_are_given_before_it_is_whole() -> None:
    body = ChunkedBody()

    assert body.feed(b"ff\r\nabc") == b"abc"
    assert body.feed(b"d") == b"d"
    assert not body.close()


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"x\r\n",
        b"+5\r\nhello",
        b"0x5\r\nhello",
        b"-1\r\n",
        b"1_0\r\n",
        b" 5\r\nhello",
        b"5\nhello",
        b"5\r\r\nhello",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"1" * 16 + b"\r\n",
        b"5;" + b"a" * LINE_BYTES,
        b"5\r\nhello" + b"0" * LINE_BYTES,
        b"0\r\n" + b"x-a: 1\r\n" * (TRAILER_BYTES // 8 + 1),
    ],
)
def test_what_is_no_chunk_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"chunk|trailers"):
        ChunkedBody().feed(wire)
    with pytest.raises(ValueError, match=r"chunk|trailers"):
        fed(ChunkedBody(), [wire[n : n + 1] for n in range(len(wire))])


@pytest.mark.parametrize("body", [ChunkedBody(), SizedBody(5)])
def test_cut_body_is_not_whole(body: Body) -> None:
    body.feed(b"3\r\n")

    assert not body.close()


def test_sized_body_ends_at_its_length() -> None:
    body = SizedBody(5)

    assert fed(body, [b"he", b"llo"]) == b"hello"
    assert (body.ended, body.surplus, body.close()) == (True, False, True)


@pytest.mark.parametrize(("body", "wire"), [(SizedBody(5), b"helloX"), (ChunkedBody(), b"5\r\nhello\r\n0\r\n\r\nX")])
def test_what_follows_a_body_is_no_part_of_it(body: Body, wire: bytes) -> None:
    assert body.feed(wire) == b"hello"
    assert (body.ended, body.surplus) == (True, True)


def test_no_body_has_ended_from_the_start() -> None:
    assert SizedBody(0).ended


def test_endless_body_is_whole_when_the_connection_ends() -> None:
    body = EndlessBody()

    assert body.feed(b"a") == b"a"
    assert not body.ended
    assert body.close()
    assert body.ended
