"""Reading an object field by field: types, paths, and what is left."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from isthmusd.core.errors import GatewayError, InvalidRequest
from isthmusd.framing.fields import Fields, drop_none, kind_of, plain_number, raw_or_none


def fault(message: str, param: str) -> GatewayError:
    return InvalidRequest(message, param=param)


def fields(text: str) -> Fields:
    return Fields.of(text.encode(), "messages[1]", fault)


Take = Callable[[Fields], object]


@pytest.mark.parametrize(
    ("text", "take", "message", "param"),
    [
        ('{"a":1}', lambda f: f.text("a"), "must be a string, not a number", "messages[1].a"),
        ('{"a":"1"}', lambda f: f.number("a"), "must be a number, not a string", "messages[1].a"),
        ('{"a":"yes"}', lambda f: f.boolean("a"), "must be true or false, not a string", "messages[1].a"),
        ('{"a":1.5}', lambda f: f.integer("a"), "must be a whole number", "messages[1].a"),
        ('{"a":1e999}', lambda f: f.number("a"), "is out of range", "messages[1].a"),
        ('{"a":{}}', lambda f: f.objects("a"), "must be an array, not an object", "messages[1].a"),
        ('{"a":[{},3]}', lambda f: f.objects("a"), "must be an object, not a number", "messages[1].a[1]"),
        ('{"a":["x",null]}', lambda f: f.texts("a"), "an array of strings", "messages[1].a"),
        ('{"a":{"b":true}}', lambda f: f.items_of("a"), "must be a number, not a boolean", "messages[1].a.b"),
        ('{"a":{"b":null}}', lambda f: f.items_of("a"), "is missing", "messages[1].a.b"),
        ('{"a":null}', lambda f: f.required_text("a"), "is missing: it must be a string", "messages[1].a"),
        ("{}", lambda f: f.required_object("a"), "is missing: it must be an object", "messages[1].a"),
        ('{"a":"\\ud800"}', lambda f: f.text("a"), "not valid JSON", "messages[1]"),
    ],
)
def test_a_wrong_type_is_refused_by_name(text: str, take: Take, message: str, param: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        take(fields(text))

    assert caught.value.param == param


def test_the_top_has_no_path() -> None:
    with pytest.raises(InvalidRequest, match="The body must be an object, not an array"):
        Fields.of(b"[]", "", fault)
    with pytest.raises(InvalidRequest, match="The body is not valid JSON"):
        Fields.of(b"{", "", fault)


def test_what_nobody_took_is_left_in_order_and_as_it_was_written() -> None:
    read = fields('{"z":1.0,"text":"a","b":{"k" : 12345678901234567890123},"n":null}')

    assert read.text("text") == "a"
    assert read.names() == ("z", "b", "n")
    assert read.rest() == (("z", "1.0"), ("b", '{"k" : 12345678901234567890123}'), ("n", "null"))
    assert read.rest() == ()


def test_null_counts_as_absent() -> None:
    read = fields('{"a":null,"b":null}')

    assert not read.has("a")
    assert read.kind("a") is None
    assert (read.text("a"), read.texts("b"), read.object("a"), read.items_of("c"), read.json("d")) == (None,) * 5


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", "an object"),
        ("[]", "an array"),
        ('""', "a string"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        ("null", "null"),
        ("-1", "a number"),
    ],
)
def test_kinds_have_names(text: str, kind: str) -> None:
    assert kind_of(msgspec.Raw(text)) == kind


def test_unset_members_are_left_out_and_unknown_ones_never_win() -> None:
    written = drop_none({"a": 1, "b": None}, (("a", "2"), ("c", "1.0")))  # pyright: ignore[reportArgumentType]

    assert msgspec.json.encode(written) == b'{"a":1,"c":1.0}'
    assert raw_or_none(None) is None


@pytest.mark.parametrize(("value", "text"), [(1.0, b"1"), (0.5, b"0.5"), (3, b"3"), (None, b"null"), (1e300, b"1e300")])
def test_whole_numbers_are_written_without_a_fraction(value: float | None, text: bytes) -> None:
    assert msgspec.json.encode(plain_number(value)) == text
