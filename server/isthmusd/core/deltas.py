"""Folding JSON values that a stream gives in pieces into the value that a whole answer has. It knows no event.

Rule, as OpenAI's own client libraries have it: objects merge, array elements with an `index` merge by it and others
follow each other, text that is known to grow is joined, and of anything else the last value counts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from isthmusd.core.chat import JsonText

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

_GROWING = frozenset({"arguments", "input", "text", "summary", "content", "thinking", "transcript"})


def fold(pieces: Sequence[JsonText], name: str = "") -> JsonText:
    """Fold pieces of the member `name`, oldest first; a single piece stays as it was written."""
    if len(pieces) == 1:
        return pieces[0]
    value: Json = None
    for piece in pieces:
        value = merge(name, value, msgspec.json.decode(piece))
    return JsonText(msgspec.json.encode(value).decode())


def merge(name: str, old: Json, new: Json) -> Json:
    """Give the value of the member `name` after one more piece; `old` may be changed."""
    match old, new:
        case _, None:
            return old
        case dict(), dict():
            for key, value in new.items():
                old[key] = merge(key, old.get(key), value)
            return old
        case list(), list():
            return _merge_arrays(old, new)
        case str(), str() if name == "data":
            return _join_base64(old, new)
        case str(), str() if name in _GROWING:
            return old + new
        case _:
            return new


def _merge_arrays(old: list[Json], new: list[Json]) -> list[Json]:
    for item in new:
        match item:
            case {"index": int(index)}:
                place = next((place for place, other in enumerate(old) if _has_index(other, index)), None)
                if place is None:
                    old.append(item)
                else:
                    old[place] = merge("", old[place], item)
            case _:
                old.append(item)
    return old


def _has_index(item: Json, index: int) -> bool:
    match item:
        case {"index": int(found)}:
            return found == index
        case _:
            return False


def _join_base64(old: str, new: str) -> str:
    """Each piece may be padded by itself, which makes a plain join undecodable."""
    if not old.endswith("="):
        return old + new
    try:
        return base64.b64encode(base64.b64decode(old) + base64.b64decode(new)).decode()
    except binascii.Error:
        return old + new
