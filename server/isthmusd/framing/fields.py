"""Reading one JSON object field by field, with errors that name the field; what nobody took is the `extra`.

It is for decoders that know their format. Byte positions are `framing/members.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.errors import GatewayError

Fault = Callable[[str, str], GatewayError]
"""Makes the error from a message and the path of the field at fault."""

_T = TypeVar("_T")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_BOOLEAN = msgspec.json.Decoder(bool)
_INTEGER = msgspec.json.Decoder(int)
_NUMBER = msgspec.json.Decoder(int | float)
_TEXTS = msgspec.json.Decoder(list[str])

_KINDS = {b"{": "an object", b"[": "an array", b'"': "a string", b"t": "a boolean", b"f": "a boolean", b"n": "null"}


class Fields:
    """The members of one object. Each is taken at most once; null counts as absent."""

    __slots__ = ("_fault", "_members", "path")

    def __init__(self, members: dict[str, msgspec.Raw], path: str, fault: Fault) -> None:
        self._members = members
        self.path = path
        self._fault = fault

    @classmethod
    def of(cls, json: bytes | msgspec.Raw, path: str, fault: Fault) -> Fields:
        """Open an object; `path` is its own place, empty at the top."""
        return cls(_read(_OBJECT, json, "an object", path, fault), path, fault)

    def at(self, name: str) -> str:
        """Give the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def fault(self, message: str, name: str) -> GatewayError:
        """Make the error for a member."""
        return self._fault(message, self.at(name))

    def has(self, name: str) -> bool:
        """Tell whether a member is there, was not taken and is not null."""
        return self.kind(name) is not None

    def kind(self, name: str) -> str | None:
        """Name the JSON type of a member with its article; None if it is absent or null."""
        raw = self._members.get(name)
        return None if raw is None or _is_null(raw) else _kind(raw)

    def raw(self, name: str) -> msgspec.Raw | None:
        raw = self._members.pop(name, None)
        return None if raw is None or _is_null(raw) else raw

    def json(self, name: str) -> JsonText | None:
        """Take a member as it was written."""
        raw = self.raw(name)
        return None if raw is None else json_text(raw)

    def text(self, name: str) -> str | None:
        return self._take(name, _TEXT, "a string")

    def required_text(self, name: str) -> str:
        return self._required(name, self.text(name), "a string")

    def boolean(self, name: str) -> bool | None:
        return self._take(name, _BOOLEAN, "true or false")

    def integer(self, name: str) -> int | None:
        return self._take(name, _INTEGER, "a whole number")

    def number(self, name: str) -> float | None:
        return self._take(name, _NUMBER, "a number")

    def texts(self, name: str) -> tuple[str, ...] | None:
        taken = self._take(name, _TEXTS, "an array of strings")
        return None if taken is None else tuple(taken)

    def items(self, name: str) -> list[msgspec.Raw] | None:
        return self._take(name, _ARRAY, "an array")

    def object(self, name: str) -> Fields | None:
        raw = self.raw(name)
        return None if raw is None else Fields.of(raw, self.at(name), self._fault)

    def required_object(self, name: str) -> Fields:
        return self._required(name, self.object(name), "an object")

    def objects(self, name: str) -> list[Fields] | None:
        """Take an array of objects, each knowing its place in the array."""
        items = self.items(name)
        if items is None:
            return None
        return [Fields.of(item, f"{self.at(name)}[{place}]", self._fault) for place, item in enumerate(items)]

    def items_of(self, name: str) -> list[tuple[str, float]] | None:
        """Take an object of numbers in the order it came."""
        inner = self.object(name)
        return None if inner is None else [(key, inner._needed_number(key)) for key in inner.names()]

    def names(self) -> tuple[str, ...]:
        """Name the members that were not taken."""
        return tuple(self._members)

    def rest(self) -> Extra:
        """Take all members that nobody took, nulls included."""
        taken = tuple((name, json_text(raw)) for name, raw in self._members.items())
        self._members.clear()
        return taken

    def _needed_number(self, name: str) -> float:
        return self._required(name, self.number(name), "a number")

    def _required(self, name: str, value: _T | None, kind: str) -> _T:
        if value is None:
            raise self.fault(f"{self.at(name)!r} is missing: it must be {kind}.", name)
        return value

    def _take(self, name: str, decoder: msgspec.json.Decoder[_T], kind: str) -> _T | None:
        raw = self.raw(name)
        return None if raw is None else _read(decoder, raw, kind, self.at(name), self._fault)


def json_text(raw: msgspec.Raw | bytes) -> JsonText:
    """Give a value's text."""
    return JsonText(str(memoryview(raw), "utf-8"))


def read_text(raw: msgspec.Raw, path: str, fault: Fault) -> str:
    """Read one value that is no member of an object."""
    return _read(_TEXT, raw, "a string", path, fault)


def kind_of(raw: msgspec.Raw) -> str:
    """Name the JSON type of a value with its article."""
    return _kind(raw)


def drop_none(members: Mapping[str, object | None], extra: Extra = ()) -> dict[str, object]:
    """Give the members to write: unset ones are left out, unknown ones follow and never replace a known one."""
    written = {name: value for name, value in members.items() if value is not None}
    for name, text in extra:
        written.setdefault(name, msgspec.Raw(text))
    return written


def raw_or_none(text: JsonText | None) -> msgspec.Raw | None:
    """Give JSON text in the form that the encoder writes verbatim."""
    return None if text is None else msgspec.Raw(text)


def plain_number(value: float | None) -> float | None:
    """Write 1.0 as 1: strict servers refuse a fraction where they expect a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _read(decoder: msgspec.json.Decoder[_T], json: bytes | msgspec.Raw, kind: str, path: str, fault: Fault) -> _T:
    try:
        return decoder.decode(json)
    except msgspec.ValidationError as error:
        name = f"{path!r}" if path else "The body"
        out_of_range = "out of range" in str(error)
        wrong = "is out of range" if out_of_range else f"must be {kind}, not {_kind(json)}"
        raise fault(f"{name} {wrong}.", path) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise fault(f"{f'{path!r}' if path else 'The body'} is not valid JSON.", path) from error


def _is_null(raw: msgspec.Raw) -> bool:
    return memoryview(raw)[0] == 0x6E


def _kind(raw: bytes | msgspec.Raw) -> str:
    return _KINDS.get(bytes(memoryview(raw)[:64]).lstrip()[:1], "a number")
