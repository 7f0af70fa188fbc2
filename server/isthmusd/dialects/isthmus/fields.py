"""What single fields of our messages hold: JSON text, members without a field, presence. No message is read here."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.errors import InvalidRequest

Wire = TypeVar("Wire")
Hub = TypeVar("Hub")

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_VALUE = msgspec.json.Decoder(msgspec.Raw)
_ENCODER = msgspec.json.Encoder()
MAX_ITEMS = 50_000
"""Of one repeated field. It is far beyond what any model takes."""
NOT_JSON = (msgspec.DecodeError, RecursionError)
"""What decoding a bad or bottomless JSON text raises."""


class BadField(Exception):
    """A field of the caller's message is wrong. The path grows on the way out, so that good messages pay nothing
    for it; each operation turns it into InvalidRequest once."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def under(self, parent: str) -> BadField:
        """Give the same complaint seen from the enclosing message."""
        return BadField(f"{parent}.{self.path}" if self.path else parent, self.reason)

    def refusal(self) -> InvalidRequest:
        """Give what the caller is told."""
        return InvalidRequest(f"`{self.path}` {self.reason}.", param=self.path)


def decode_each(name: str, items: Collection[Wire], decode: Callable[[Wire], Hub]) -> tuple[Hub, ...]:
    """Decode a repeated field, naming the item that is wrong."""
    refuse_many(name, len(items))
    decoded: list[Hub] = []
    try:
        for item in items:
            decoded.append(decode(item))  # no comprehension: the count names the one that fails
    except BadField as bad:
        raise bad.under(f"{name}[{len(decoded)}]") from None
    return tuple(decoded)


def refuse_many(name: str, count: int) -> None:
    """Refuse more of something than any request has: each costs a turn in Python, and memory for its parts."""
    if count > MAX_ITEMS:
        raise BadField(name, f"must hold at most {MAX_ITEMS} items")


def decode_under(name: str, item: Wire, decode: Callable[[Wire], Hub]) -> Hub:
    """Decode a submessage, naming it if something in it is wrong."""
    try:
        return decode(item)
    except BadField as bad:
        raise bad.under(name) from None


def required(name: str, text: str) -> str:
    """Give a text that must not be empty."""
    if not text:
        raise BadField(name, "is required")
    return text


def present(message: Message, names: Iterable[str]) -> dict[str, Any]:
    """Give the fields with presence that the caller set, out of those named."""
    has = message.HasField
    return {name: getattr(message, name) for name in names if has(name)}


def json_value(name: str, text: str) -> JsonText:
    """Check that a field holds one JSON value."""
    try:
        _VALUE.decode(text)
    except NOT_JSON:
        raise BadField(name, "is not valid JSON") from None
    return JsonText(text)


def members(name: str, text: str) -> Extra:
    """Split a field that holds a JSON object; an empty one has no members."""
    if not text:
        return ()
    try:
        return split(text)
    except NOT_JSON:
        raise BadField(name, "is not a valid JSON object") from None


def json_object(name: str, text: str, *extras: Extra) -> JsonText:
    """Check that a field holds a JSON object, and put more members into it. Without any, the text stays as it is."""
    own = members(name, required(name, text))
    return JsonText(join(merge(own, *extras))) if any(extras) else JsonText(text)


def split(text: str) -> Extra:
    """Split a JSON object into members. Raises what `NOT_JSON` lists."""
    return tuple((name, JsonText(bytes(raw).decode())) for name, raw in _OBJECT.decode(text).items())


def merge(*extras: Extra) -> Extra:
    """Join members; of two with one name the later value wins."""
    return tuple({name: value for extra in extras for name, value in extra}.items())


def join(extra: Extra) -> str:
    """Write members as a JSON object; nothing for none."""
    return "{" + ",".join(f"{quote(name)}:{value}" for name, value in extra) + "}" if extra else ""


def member(name: str, value: str | int | None) -> Extra:
    """Write a scalar as a member; none if it is unset."""
    return () if value is None else ((name, quote(value)),)


def quote(value: str | int) -> JsonText:
    """Write a scalar as JSON."""
    return JsonText(_ENCODER.encode(value).decode())


def take_text(extra: Extra, name: str) -> tuple[str | None, Extra]:
    """Take a member out whose value is a JSON string; None, and all members, if there is none of that kind."""
    for index, (key, text) in enumerate(extra):
        if key == name and text.startswith('"'):
            return _TEXT.decode(text), extra[:index] + extra[index + 1 :]
    return None, extra


def to_base64(data: bytes) -> str:
    """Write bytes as the hub keeps them."""
    return b2a_base64(data, newline=False).decode("ascii")


def from_base64(text: str) -> bytes:
    """Read the hub's bytes. Raises ValueError."""
    return a2b_base64(text, strict_mode=True)


def utf8(name: str, data: bytes) -> str:
    """Read bytes that carry a provider's own characters."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadField(name, "is not what the provider sent: it is not UTF-8") from None


def instant(seconds: int | None) -> Timestamp | None:
    """Write Unix seconds; 0 stands for unknown."""
    return Timestamp(seconds=seconds) if seconds else None
