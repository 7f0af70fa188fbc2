"""JSON in one form: equal texts for equal values, whatever the order of names and the spacing. It judges no content.

Numbers are their text: a seed of 23 digits is no other seed, and whether 1 and 1.0 are the same is for providers. The
order of names counts in one place, `IN_ORDER`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

Exact = dict[str, "Exact"] | list["Exact"] | str | bool | msgspec.Raw | None
"""A JSON value whose numbers are their text."""

MOST_BYTES = 8 * 1024 * 1024
MOST_VALUES = 250_000
"""What is longer, or may have more values, is its own form: to read it would take gigabytes, and stop a process for
seconds, in whichever thread. The same bytes mean the same, and are what a client sends that asks again."""
VALUE_MARKS = (b",", b"[", b"{")
"""Before each value, but for those of members, there is one of them."""
IN_ORDER = "properties"
"""Member whose own members have an order that counts: models answer in the order in which a schema names them.
https://platform.openai.com/docs/guides/structured-outputs#key-ordering"""
_IN_ORDER_MARK = b'"properties"'
"""How it is written wherever it is a name; within a text the quotes would have backslashes before them."""


def canonical_object(text: bytes, without: Mapping[str, Callable[[Exact], bool]]) -> bytes | None:
    """Write a JSON object in canonical form, without some of its members where their values say no more than is known
    of them; give one that is too large for that as it is. None: readers may differ in what it means, because a name
    repeats, a text is no Unicode, or it is nested too deep.
    """
    if is_too_large(text):
        return text
    try:
        members = _plain_object(text)
        return _written(read_exact(text) if members is None else members, without)
    except (ValueError, RecursionError):
        return None


def is_too_large(text: bytes) -> bool:
    """Whether to read a JSON text would hold up everybody else."""
    if len(text) <= MOST_VALUES:
        return False
    return len(text) > MOST_BYTES or sum(map(text.count, VALUE_MARKS)) > MOST_VALUES


def read_exact(text: bytes) -> Exact:
    """Read a JSON value. Raises ValueError if it is none or a name repeats, RecursionError if it is nested too deep."""
    return json.loads(
        text.decode(),
        parse_int=_number,
        parse_float=_number,
        parse_constant=_no_number,
        object_pairs_hook=_members,
    )


def write_exact(value: Exact) -> bytes:
    """Write a JSON value in canonical form. Raises ValueError where a text is no Unicode."""
    return msgspec.json.encode(value, order="deterministic")


def _written(value: Exact, without: Mapping[str, Callable[[Exact], bool]]) -> bytes | None:
    match value:
        case dict():
            left_out = {name for name, is_known in without.items() if name in value and is_known(value[name])}
            return _form({name: member for name, member in value.items() if name not in left_out})
        case _:
            return None


def _form(members: dict[str, Exact]) -> bytes:
    """Write what is asked. Where no member has an order that counts, which is seen in a moment, this is all of it."""
    written = write_exact(members)
    if _IN_ORDER_MARK not in written:
        return written
    _number_members(members)
    return write_exact(members)


def _number_members(value: Exact) -> None:
    """Put their place before the names of members whose order counts, in the value itself: it was read for this alone.

    Six digits are enough for `MOST_VALUES`, and are cut off again in thought: two orders never become one text.
    """
    match value:
        case dict():
            for member in value.values():
                _number_members(member)
            match value.get(IN_ORDER):
                case dict(ordered):
                    value[IN_ORDER] = {f"{place:06}{name}": ordered[name] for place, name in enumerate(ordered)}
                case _:
                    pass
        case list():
            for item in value:
                _number_members(item)
        case _:
            pass


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name repeats")
    return members


_OBJECT = msgspec.json.Decoder(dict[str, Any], float_hook=_number)


def _plain_object(text: bytes) -> dict[str, Any] | None:
    """Read an object in a third of the time; None if that could miss something.

    What it could miss makes the text shorter once it is written anew: a name that repeats, -0. So do spaces, which
    therefore are taken out first, and escapes that need not be: they are read the long way at once.
    """
    if b"\\u" in text:
        return None
    try:
        members = _OBJECT.decode(text)
    except msgspec.ValidationError:
        # No object, or a whole number beyond what this reader takes.
        return None
    size = len(msgspec.json.encode(members))
    return members if size == len(text) or size == len(msgspec.json.format(text, indent=-1)) else None
