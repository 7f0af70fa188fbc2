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

Places = dict[int, tuple[list[Json], dict[int, int]]]
"""By the identity of an array, which is kept so that no other takes it: where the element of each `index` is. To look
for it each time would take seconds for a few thousand elements."""

_GROWING = frozenset({"arguments", "input", "text", "summary", "content", "thinking", "transcript"})


def fold(pieces: Sequence[JsonText], name: str = "") -> JsonText:
    """Fold pieces of the member `name`, oldest first; a single piece stays as it was written."""
    if len(pieces) == 1:
        return pieces[0]
    value: Json = None
    places: Places = {}
    for piece in pieces:
        value = merge(name, value, msgspec.json.decode(piece), places)
    return JsonText(msgspec.json.encode(value).decode())


def merge(name: str, old: Json, new: Json, places: Places) -> Json:
    """Give the value of the member `name` after one more piece; `old` may be changed."""
    match old, new:
        case _, None:
            return old
        case dict(), dict():
            for key, value in new.items():
                old[key] = merge(key, old.get(key), value, places)
            return old
        case list(), list():
            return _merge_arrays(old, new, places)
        case str(), str() if name == "data":
            return _join_base64(old, new)
        case str(), str() if name in _GROWING:
            return old + new
        case _:
            return new


def _merge_arrays(old: list[Json], new: list[Json], places: Places) -> list[Json]:
    known = places.get(id(old))
    if known is None:
        found: dict[int, int] = {}
        for place, item in enumerate(old):
            match item:
                case {"index": int(index)}:
                    found.setdefault(index, place)
                case _:
                    pass
        known = places[id(old)] = (old, found)
    for item in new:
        match item:
            case {"index": int(index)} if index in known[1]:
                place = known[1][index]
                old[place] = merge("", old[place], item, places)
            case {"index": int(index)}:
                known[1][index] = len(old)
                old.append(item)
            case _:
                old.append(item)
    return old


def _join_base64(old: str, new: str) -> str:
    """Each piece may be padded by itself, which makes a plain join undecodable."""
    if not old.endswith("="):
        return old + new
    # Only what the padding ends is written anew: the whole, once per piece, would take minutes for a recording.
    kept = len(old) - 4 if len(old) % 4 == 0 else 0
    try:
        return old[:kept] + base64.b64encode(base64.b64decode(old[kept:]) + base64.b64decode(new)).decode()
    except binascii.Error:
        return old + new
