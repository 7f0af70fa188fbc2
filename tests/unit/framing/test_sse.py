"""Server-sent events: every line end, every cut, every limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.errors import Garbled
from isthmusd.framing.sse import SseEvent, SseReader, data_event


def read(data: bytes, cuts: list[int] | None = None, limit: int = 1000) -> tuple[list[SseEvent], Garbled | None]:
    reader = SseReader(limit)
    events: list[SseEvent] = []
    start = 0
    for cut in [*sorted(cuts or []), len(data)]:
        events += reader.feed(data[start:cut])
        start = cut
    last = reader.close()
    return ([*events, last] if last is not None else events), reader.failure


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [(b"a", ""), (b"b", "")]),
        (b"data:a\r\n\r\ndata:  b\r\n\r\n", [(b"a", ""), (b" b", "")]),
        (b"data: a\r\rdata: b\r\r", [(b"a", ""), (b"b", "")]),
        (b"data: a\ndata: b\n\n", [(b"a\nb", "")]),
        (b"event: ping\ndata: a\nid: 7\nretry: 1\n\n", [(b"a", "ping")]),
        (b": keep-alive\n\ndata: a\n\n", [(b"", ""), (b"a", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"a", "")]),
        (b"\n\n\ndata: a\n\n", [(b"", ""), (b"a", "")]),
        (b"data: a\n\ndata: [DONE]", [(b"a", ""), (b"[DONE]", "")]),
        (b"data: a\n\n: bye", [(b"a", "")]),
        (b"data\n\nnonsense\n\n", [(b"", ""), (b"", "")]),
        (b"event: \xff\ndata: a\n\n", [(b"a", "\ufffd")]),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, expected: list[tuple[bytes, str]]) -> None:
    events, failure = read(stream)

    assert [(event.data, event.name) for event in events] == expected
    assert failure is None


@given(
    st.lists(
        st.sampled_from([b"data: x", b"data:y", b": c", b"event: e", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b""]),
        max_size=14,
    ),
    st.data(),
)
def test_any_cut_gives_the_same_events(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))

    assert read(stream, cuts) == read(stream)
    assert read(stream, list(range(len(stream)))) == read(stream)


@given(st.lists(st.integers(1, 30), max_size=6), st.data())
def test_the_limit_holds_for_any_cut(sizes: list[int], data: st.DataObject) -> None:
    stream = b"".join(data_event(b"x" * size) for size in sizes)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    events, failure = read(stream, cuts, limit=25)
    whole, whole_failure = read(stream, limit=25)

    assert events == whole
    assert (failure is None) == (whole_failure is None) == all(size <= 17 for size in sizes)


def test_events_keep_their_own_bytes() -> None:
    stream = b"\xef\xbb\xbf: hi\r\n\r\ndata: a\n\nevent: x\rdata: b\r\rdata: c\n\n"

    events, _ = read(stream)

    assert b"".join(event.raw for event in events) == stream


def test_an_endless_event_is_garbled_and_nothing_follows() -> None:
    reader = SseReader(20)

    assert [event.data for event in reader.feed(b"data: a\n\ndata: " + b"x" * 30)] == [b"a"]
    assert isinstance(reader.failure, Garbled)
    assert reader.feed(b"data: a\n\n") == []
    assert reader.close() is None


def test_an_event_is_written_with_its_name() -> None:
    assert data_event(b"{}", "error") == b"event: error\ndata: {}\n\n"


def test_line_ends_between_json_tokens_do_not_end_the_event() -> None:
    assert data_event(b'{"a":\r\n1,\n"b":"\\n"}') == b'data: {"a":  1, "b":"\\n"}\n\n'
