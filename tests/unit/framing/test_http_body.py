"""HttpBody by hand, against protobuf's own reading and writing."""

from __future__ import annotations

import pytest
from google.api.httpbody_pb2 import HttpBody
from isthmusd.framing.http_body import EMPTY, encode_body, with_headers


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 16_383, 16_384, 2**21 - 1, 2**21])
@pytest.mark.parametrize("content_type", ["", "application/json", "text/event-stream; charset=utf-8", "x/é" * 100])
def test_written_as_protobuf_writes_it(size: int, content_type: str) -> None:
    data = b"\xff" * size

    written = encode_body(data, content_type)

    assert written == HttpBody(content_type=content_type, data=data).SerializeToString()


def test_content_types_that_are_no_text_do_not_break_the_message() -> None:
    written = encode_body(b"1", "text/\udcff")

    assert HttpBody.FromString(written).data == b"1"


def test_empty_message_is_one() -> None:
    assert HttpBody.FromString(EMPTY) == HttpBody()


def test_headers_go_behind_the_content_type() -> None:
    packed = with_headers("application/json", (("age", "3"), ("x-isthmus-cache", "HIT")))

    assert packed == "application/json\tage\t3\tx-isthmus-cache\tHIT"
    assert HttpBody.FromString(encode_body(b"1", packed)).content_type == packed


def test_no_value_passes_for_another_header() -> None:
    assert with_headers("a/b", (("age", "3\tset-cookie\tx"),)) == "a/b\tage\t3 set-cookie x"
