"""Finding a model's name in the beginning of a body. Whether the call may use that model is tested elsewhere."""

from __future__ import annotations

import time

import pytest
from isthmusd.core.errors import InvalidRequest
from isthmusd.framing.prefix import MAX_TOKENS, find_string_member

MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (b'{"model":"m"}', ("m", (9, 12))),
        (b'{"a":"x\\"y", "model" : "m"', ("m", (23, 26))),
        (b'{"a":{"model":"x"},"b":["model","x"],"model":"m"', ("m", (45, 48))),
        (b'{"mod\\u0065l":"m"', ("m", (14, 17))),
        (b'{"model":"m\\u00e9"', ("mé", (9, 18))),
        (b'{"a":"model","model":"m"', ("m", (21, 24))),
        (b'{"model":1,"a":"m"', None),
        (b'{"model":"cut', None),
        (b'{"model":"cut\\', None),
        (b'{"model":"cut\\"', None),
        (b'["model","m"]', None),
        (b'"model"', None),
        (b"", None),
    ],
)
def test_only_a_whole_top_level_string_is_found(prefix: bytes, found: tuple[str, tuple[int, int]] | None) -> None:
    assert find_string_member(prefix, "model") == found


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (b'{"a":[1,2,"model"],"b":[[1],[2,[3]]],"model":"m"', ("m", (45, 48))),
        (b'{"a":1,"model"', None),
        (b'{"model":["x"],"a":"m"}', None),
        (b'{"model":{"model":"x"}}', None),
        (b'{"mod\\el":"x"}', None),
        (b'{"a":{"Model":"x"},"messages":[{"MODEL":1,"model":1}],"model":"m"}', ("m", (62, 65))),
        (b'{"model":"a\\q"}', None),
    ],
)
def test_only_keys_of_the_top_count(prefix: bytes, found: tuple[str, tuple[int, int]] | None) -> None:
    assert find_string_member(prefix, "model") == found


@pytest.mark.parametrize(
    ("prefix", "param"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"model":1,"x":[1],"model":"b"', "model"),
        (b'{"model":"a","mod\\u0065l":"b"', "model"),
        (b'{"Model":"a"', "Model"),
        (b'{"model":"a","x":{}, "MODEL" : null', "MODEL"),
    ],
)
def test_a_name_that_could_be_read_in_two_ways_is_refused(prefix: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        find_string_member(prefix, "model")

    assert (refused.value.http_status, refused.value.param) == (400, param)


def test_only_so_many_brackets_are_looked_at() -> None:
    assert find_string_member(b'{"a":[' + b"{}" * (MAX_TOKENS // 2) + b'],"model":"m"', "model") is None
    assert find_string_member(b'{"a":[' + b"{}" * 1000 + b'],"model":"m"', "model") is not None


@pytest.mark.parametrize(
    "prefix",
    [
        b"{" + b'"\\' * (MEBIBYTE // 2),
        b'{"a":"' + b'\\"' * (MEBIBYTE // 2),
        b'{"' + b"\\" * MEBIBYTE,
        b"{" * MEBIBYTE,
        b'{"' * (MEBIBYTE // 2),
    ],
)
def test_no_beginning_takes_longer_than_its_size(prefix: bytes) -> None:
    began = time.perf_counter()

    assert find_string_member(prefix, "model") is None
    assert time.perf_counter() - began < 10  # a search that begins again at each quote takes minutes
