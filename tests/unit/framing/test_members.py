"""Top-level members: spans, refusals, and the splice that changes nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.errors import InvalidRequest
from isthmusd.framing.members import MAX_MEMBERS, MAX_QUOTES, find_spans, read_members, splice

ODD = b' {\t"model" :"a\\"b" , "seed":12345678901234567890123 ,"z":null,\n"a":{"model":1, "x" : [ ]},"f":1.0e2 } \n'


def test_spans_name_the_bytes_of_each_value() -> None:
    members = read_members(ODD)

    assert {name: ODD[start:end] for name, (start, end) in members.spans.items()} == {
        "model": b'"a\\"b"',
        "seed": b"12345678901234567890123",
        "z": b"null",
        "a": b'{"model":1, "x" : [ ]}',
        "f": b"1.0e2",
    }


def test_splice_changes_only_the_named_values() -> None:
    members = read_members(ODD)

    spliced = splice(ODD, members.spans, {"model": b'"gpt"', "z": b"0"}, [("new", b"[1]"), ("b", b"2")])

    assert spliced == (
        b' {\t"model" :"gpt" , "seed":12345678901234567890123 ,"z":0,\n"a":{"model":1, "x" : [ ]},"f":1.0e2 '
        b',"new":[1],"b":2} \n'
    )


def test_splice_into_an_empty_object_writes_no_leading_comma() -> None:
    assert splice(b"{ }", {}, {}, [("a", b"1"), ("b", b"2")]) == b'{ "a":1,"b":2}'


def test_splice_of_nothing_gives_the_same_bytes() -> None:
    assert splice(ODD, read_members(ODD).spans, {}) is ODD


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        (b'{"a":1}\0', "NUL"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"\xff":1}', "UTF-8"),
        (b'{"a":' + b"[" * 200_000, "nested too deeply"),
        (b'{"a":01}', "invalid number"),
        (b'{"a":1}}', "trailing characters"),
        (b'{"a":1', "truncated"),
        (b'{"a":NaN}', "invalid character"),
        (b"{'a':1}", "not valid JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused_with_advice(body: bytes, advice: str) -> None:
    with pytest.raises(InvalidRequest, match=advice):
        read_members(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":12,"a":1}',
        b'{"a":1,"b":2,"a":[1]}',
        b'{"model":"x","mod\\u0065l":"y"}',
    ],
)
def test_a_repeated_key_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="repeats the key") as caught:
        read_members(body)

    assert caught.value.param in {"a", "model"}


@pytest.mark.parametrize("key", ["Model", "MESSAGES", "\\u017Ftream", "SEED", "Stream_Options"])
def test_a_key_that_differs_only_in_case_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="only in case"):
        read_members(f'{{"{key}":1}}'.encode())


def test_other_keys_may_be_written_in_any_case() -> None:
    assert set(read_members(b'{"User":1,"user":2}').spans) == {"User", "user"}


def test_more_fields_than_any_request_has_are_refused() -> None:
    allowed, more = ({f"k{i}": i for i in range(MAX_MEMBERS + extra)} for extra in (0, 1))

    assert len(read_members(msgspec.json.encode(allowed)).spans) == MAX_MEMBERS
    with pytest.raises(InvalidRequest, match="more than 10000 fields"):
        read_members(msgspec.json.encode(more))


@pytest.mark.parametrize("part", [b'{"a":"b"}', b'"a"', b'{"a\\\\":"\\\\"}', b'{ "a" : 1 }'])
def test_r17_more_parts_than_any_request_has_are_refused(part: bytes) -> None:
    count = MAX_QUOTES // 2 + 1

    with pytest.raises(InvalidRequest, match="more than 150000 names and texts"):
        read_members(b'{"a":[' + b",".join([part] * count) + b"]}")


def test_quotes_within_a_text_are_no_parts() -> None:
    text = msgspec.json.encode({"a": '"' * (MAX_QUOTES + 1)})

    assert read_members(text).spans["a"] == (5, len(text) - 1)


def test_large_text_outside_ascii_is_checked_in_slices() -> None:
    body = b'{"a":"' + "ä€😀".encode() * 400_000 + b'"}'

    assert read_members(body).spans["a"] == (5, len(body) - 1)
    with pytest.raises(InvalidRequest, match="UTF-8"):
        read_members(body[:-2] + b'\xc3"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXT_KEYS = st.text().filter(lambda key: key.casefold() == key)


@given(st.dictionaries(TEXT_KEYS, JSON, max_size=6), st.sampled_from([b"", b" ", b"\n\t "]))
def test_spans_cover_any_object(value: dict[str, object], space: bytes) -> None:
    encode = msgspec.json.encode
    members = [space + encode(name) + space + b":" + space + encode(item) for name, item in value.items()]
    body = space + b"{" + (space + b",").join(members) + space + b"}" + space

    spans = read_members(body).spans

    assert {name: msgspec.json.decode(body[start:end]) for name, (start, end) in spans.items()} == value
    assert find_spans(body) == spans


@given(st.dictionaries(TEXT_KEYS, JSON, min_size=1, max_size=6), JSON, st.data())
def test_splice_replaces_one_value_and_keeps_the_rest(
    value: dict[str, object], new: object, data: st.DataObject
) -> None:
    body = msgspec.json.format(msgspec.json.encode(value), indent=3)
    name = data.draw(st.sampled_from(sorted(value)))
    spans = read_members(body).spans

    spliced = splice(body, spans, {name: msgspec.json.encode(new)})

    start, end = spans[name]
    assert spliced == body[:start] + msgspec.json.encode(new) + body[end:]
