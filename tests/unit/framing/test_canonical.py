"""Requests in canonical form are equal bytes exactly when they are equal as JSON, numbers by their text, members of
`properties` with their order."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.framing.canonical import MOST_BYTES, MOST_VALUES, canonical_object, read_exact, write_exact

FORM = {"stream": lambda value: True, "stream_options": lambda value: True}
NUMBERS = ("0", "-0", "0.0", "-0.0", "1", "1.0", "1e0", "1E0", "1e+0", "-1", "10", "1e1", "12345678901234567890123")
NUMBERS += ("12345678901234567890124", "0.1", "0.10", "18446744073709551616", "1e400", "9" * 700)
SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
SPACES = ("", "", " ", "\n", "\t ", "\r\n")

many = settings(max_examples=300, deadline=None)


class Number(str):
    """A number as it is written; any other text is a text."""

    __slots__ = ()


texts = st.text(st.sampled_from('ab"\\/\n\x01\x7fé\u2028😀'), max_size=3)
names = st.sampled_from(["a", "b", "A", "é", "😀", "", "stream", "stream_options", "seed", "properties", "000000a"])
leaves = st.one_of(st.none(), st.booleans(), texts, st.sampled_from(NUMBERS).map(Number))
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=4)


def written(value: Any, chance: random.Random, *, tight: bool) -> str:
    """Write a value in one of the ways that mean the same."""

    def space() -> str:
        return "" if tight else chance.choice(SPACES)

    def text(value: str) -> str:
        return '"' + "".join(character(each) for each in value) + '"'

    def character(each: str) -> str:
        must = each in {'"', "\\"} or ord(each) < 32
        if tight and not must:
            return each
        ways = [] if must else [each]
        if each in SHORT:
            ways.append(SHORT[each])
        units = each.encode("utf-16-be")
        codes = [units[place : place + 2].hex() for place in range(0, len(units), 2)]
        ways.append("".join("\\u" + chance.choice((code, code.upper())) for code in codes))
        return ways[0] if tight else chance.choice(ways)

    def any_of(value: Any, *, in_order: bool = False) -> str:
        match value:
            case None:
                return "null"
            case bool():
                return "true" if value else "false"
            case Number():
                return str(value)
            case str():
                return text(value)
            case list():
                return "[" + ",".join(space() + any_of(item) + space() for item in value) + "]"
            case _:
                pairs = [(text(name), any_of(item, in_order=name == "properties")) for name, item in value.items()]
                chance.shuffle([] if in_order else pairs)
                members = (f"{space()}{name}{space()}:{space()}{item}{space()}" for name, item in pairs)
                return "{" + ",".join(members) + "}"

    return space() + any_of(value) + space()


def meaning(value: Any, *, in_order: bool = False) -> Any:
    """Give what two values share exactly when they mean the same."""
    match value:
        case Number():
            return ("number", str(value))
        case list():
            return ("array", tuple(meaning(item) for item in value))
        case dict():
            members = [(name, meaning(item, in_order=name == "properties")) for name, item in value.items()]
            return ("list of members", tuple(members)) if in_order else ("object", frozenset(members))
        case _:
            return (type(value).__name__, value)


def asked(value: dict[str, Any]) -> Any:
    return meaning({name: item for name, item in value.items() if name not in FORM})


def canonical(text: str) -> bytes | None:
    return canonical_object(text.encode(), FORM)


def changed(value: Any, chance: random.Random) -> Any:
    """Change a little somewhere in a value; now and then nothing."""
    match value:
        case dict() if value:
            name = chance.choice(sorted(value))
            kept = {**value, name: changed(value[name], chance)}
            return chance.choice((kept, dict(reversed(kept.items()))))
        case list() if value:
            place = chance.randrange(len(value))
            items = [*value[:place], changed(value[place], chance), *value[place + 1 :]]
            return chance.choice((items, items[::-1]))
        case Number():
            return Number(chance.choice(NUMBERS))
        case str():
            return chance.choice((value, value + "a", Number("1")))
        case _:
            return chance.choice((None, True, False, [], {}, "", Number("0")))


@many
@given(objects, st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_ways_to_write_a_request_are_one(value: dict[str, Any], chance: random.Random, one: bool, other: bool) -> None:
    first = canonical(written(value, chance, tight=one))
    second = canonical(written(value, chance, tight=other))

    assert first is not None
    assert first == second


@many
@given(objects, objects, st.randoms(use_true_random=False), st.booleans(), st.booleans(), st.booleans())
def test_equal_bytes_are_equal_requests(
    value: dict[str, Any], other: dict[str, Any], chance: random.Random, near: bool, one: bool, two: bool
) -> None:
    other = changed(value, chance) if near and value else other

    first, second = canonical(written(value, chance, tight=one)), canonical(written(other, chance, tight=two))

    assert first is not None
    assert second is not None
    assert (first == second) is (asked(value) == asked(other))


@many
@given(values, st.randoms(use_true_random=False))
def test_exact_values_are_read_and_written_without_a_change(value: Any, chance: random.Random) -> None:
    text = written(value, chance, tight=True).encode()

    again = write_exact(read_exact(text))

    assert write_exact(read_exact(again)) == again
    assert len(again) == len(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"properties":{"a":1,"b":2}}', '{"properties":{"b":2,"a":1}}', False),
        ('{"x":[{"y":{"properties":{"a":1,"b":2}}}]}', '{"x":[{"y":{"properties":{"b":2,"a":1}}}]}', False),
        ('{"\\u0070roperties":{"a":1,"b":2}}', '{"properties":{"a":1,"b":2}}', True),
        ('{"\\u0070roperties":{"a":1,"b":2}}', '{"properties":{"b":2,"a":1}}', False),
        ('{"properties":{"a":{"x":1,"y":2}}}', '{"properties":{"a":{"y":2,"x":1}}}', True),
        (
            '{"properties":{"a":{"properties":{"x":1,"y":2}}}}',
            '{"properties":{"a":{"properties":{"y":2,"x":1}}}}',
            False,
        ),
        ('{"properties":{"properties":{"x":1,"y":2}}}', '{"properties":{"properties":{"y":2,"x":1}}}', False),
        ('{"properties":[{"x":1,"y":2}]}', '{"properties":[{"y":2,"x":1}]}', True),
        ('{"a":1,"properties":{},"b":2}', '{"b":2,"properties":{},"a":1}', True),
        ('{"a":"properties","b":1}', '{"b":1,"a":"properties"}', True),
        ('{"properties":{"a":1}}', '{"properties":{"000000a":1}}', False),
        ('{"properties":{"a":1}}', '{"properties":[["a",1]]}', False),
        ('{"property":{"a":1,"b":2}}', '{"property":{"b":2,"a":1}}', True),
    ],
)
def test_the_order_of_the_members_of_properties_counts(one: str, other: str, same: bool) -> None:
    first, second = canonical(one), canonical(other)

    assert first is not None
    assert second is not None
    assert (first == second) is same


def test_every_place_among_many_properties_counts() -> None:
    names = [f'"p{place}":{{}}' for place in range(1200)]
    swapped = [*names[:1000], names[1001], names[1000], *names[1002:]]

    assert canonical('{"properties":{' + ",".join(names) + "}}") != canonical(
        '{"properties":{' + ",".join(swapped) + "}}"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"properties":{"a":1,"a":1}}',
        '{"a":1,"\\u0061":2}',
        '{"b":[{"c":{"a":1,"b":2,"a":1}}]}',
        '{ "stream" : true, "stream" : true }',
        '{"stream_options":{"a":1,"a":1}}',
        '{"a":"\\u00e9","b":{"x":"","x":""}}',
    ],
)
def test_a_name_that_repeats_leaves_no_certain_meaning(text: str) -> None:
    assert canonical(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"\\ud800"}',
        b'{"a":"\\ude00\\ud83d"}',
        b'{"\\ud800":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\xff\\u0041"}',
        b'\xef\xbb\xbf{"a":"\\u0041"}',
        '{"a":"\\u0041"}'.encode("utf-16"),
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":"\\u0041","b":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":NaN}',
        b'{"a":"\\u0041","b":NaN}',
        b'{"a":"\\u0041","b":-Infinity}',
        b'{"properties":{},"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"properties":{"a":"\\ud800"}}',
        b'{"a":1',
        b"[1]",
        b'["\\u0041"]',
        b"",
    ],
)
def test_what_is_no_certain_object_has_no_form(text: bytes) -> None:
    assert canonical_object(text, FORM) is None


def test_members_of_the_form_do_not_count_at_the_top_only() -> None:
    asked = canonical('{"a":{"stream":true},"stream":true,"stream_options":{"include_usage":true}}')

    assert asked == b'{"a":{"stream":true}}'
    assert canonical('{"a":{"stream":false}}') != asked


@pytest.mark.parametrize("digits", [30, 400, 5000])
def test_numbers_of_any_length_count_to_their_last_digit(digits: int) -> None:
    one, other = "1" * digits, "1" * (digits - 1) + "2"

    assert canonical(f'{{"seed":{one}}}') == f'{{"seed":{one}}}'.encode()
    assert canonical(f'{{"seed":{other}}}') != canonical(f'{{"seed":{one}}}')
    assert canonical(f'{{"a":"\\u0041","seed":{one}}}') == f'{{"a":"A","seed":{one}}}'.encode()


@pytest.mark.parametrize("value", ["[]", "{}", "1", "0.1", '{"a":1}', "[[[]]]", '"\\u0041"'])
def test_a_body_of_millions_of_values_is_not_read(value: str) -> None:
    text = '{"x":[' + ",".join([value] * (MOST_BYTES // (len(value) + 1))) + "]}"
    began_at = time.process_time()

    assert canonical(text) == text.encode()

    assert time.process_time() - began_at < 0.5


def test_a_body_of_many_megabytes_is_not_read() -> None:
    text = '{ "x": "' + "\\n" * (MOST_BYTES // 2) + '"}'

    assert canonical(text) == text.encode()


def test_what_is_just_small_enough_is_read() -> None:
    text = '{ "x": [' + ",".join(["1"] * (MOST_VALUES - 2)) + "]}"

    assert canonical(text) == text.replace(" ", "").encode()
    assert canonical(text.replace("[", "[1, 1,")) == text.replace("[", "[1, 1,").encode()
