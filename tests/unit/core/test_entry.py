"""Kept answers as bytes and back, and what of an answer is kept."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.entry import CacheItem, Entry, Unreadable, kept, lasting, read_entry, write_entry

from tests.unit.core.entries import ENTRIES, ENTRY, HEAD


@given(ENTRIES)
def test_entries_come_back(entry: Entry) -> None:
    assert read_entry(write_entry(entry)) == entry


def test_every_cut_is_noticed() -> None:
    written = write_entry(ENTRY)

    assert read_entry(written) == ENTRY
    for length in range(len(written)):
        with pytest.raises(Unreadable):
            read_entry(written[:length])
    with pytest.raises(Unreadable):
        read_entry(written + b"\0")


@given(st.binary(max_size=40))
def test_garbage_is_no_entry(garbage: bytes) -> None:
    with pytest.raises(Unreadable):
        read_entry(garbage)


@given(st.data())
def test_a_changed_byte_is_another_entry_or_none(data: st.DataObject) -> None:
    written = bytearray(write_entry(ENTRY))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))

    try:
        read = read_entry(bytes(written))
    except Unreadable as error:
        # What was kept may be somebody's words: no trace may carry them into a log.
        assert error.__cause__ is None
        assert error.__suppress_context__
    else:
        assert type(read) is Entry


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        [],
        {"head": {}, "pieces": [], "usage": None},
        {"head": None, "pieces": [], "usage": None},
        {"pieces": [b"a"], "usage": None},
    ],
)
def test_another_shape_is_no_entry(value: object) -> None:
    with pytest.raises(Unreadable):
        read_entry(msgspec.msgpack.encode(value))


def test_what_is_nested_without_end_and_text_that_is_none_are_no_entries() -> None:
    endless = b"\x81\xa1z" + b"\x91" * 100_000 + b"\x01"
    no_text = write_entry(replace(ENTRY, head=replace(HEAD, headers=(("age", "~"),)))).replace(b"\xa1~", b"\xa1\xff")

    for written in (endless, no_text):
        with pytest.raises(Unreadable):
            read_entry(written)


def test_members_of_a_later_version_are_passed_over() -> None:
    later = msgspec.msgpack.decode(write_entry(ENTRY)) | {"later": [1]}

    assert read_entry(msgspec.msgpack.encode(later)) == ENTRY


def test_an_entry_expires_when_its_time_is_over() -> None:
    assert ENTRY.expires_at == 1_700_000_060.25


def test_headers_that_were_true_of_one_call_are_left_out() -> None:
    lost = (
        *("retry-after", "retry-after-ms", "x-should-retry", "server-timing", "x-isthmus-attempts"),
        *("openai-processing-ms", "x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-reset"),
    )
    stay = (
        ("openai-version", "1"),
        ("anthropic-organization-id", "o"),
        ("x-ratelimited", "y"),
        ("openai-version", "2"),
    )

    assert lasting((*((name, "1") for name in lost), *stay)) == stay
    assert lasting(()) == ()


def test_what_is_kept_of_a_head() -> None:
    stored = kept(HEAD)

    assert stored == replace(HEAD, headers=HEAD.headers[:2], provenance=replace(HEAD.provenance, attempts=0))
    assert kept(stored) == stored


def test_no_repr_shows_what_is_sealed() -> None:
    item = CacheItem(name=bytes(32), tenant="acme", model="m", sealed=b"SEALED", stored_at=1.0, expires_at=2.0)

    assert "SEALED" not in repr(item)
