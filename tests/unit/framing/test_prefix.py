"""Finding a model's name in the beginning of a body. Whether the call may use that model is tested elsewhere."""

from __future__ import annotations

import time

import pytest
from isthmusd.framing.prefix import find_string_member

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
