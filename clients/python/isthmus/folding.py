"""JSON values that a stream gives in pieces, folded into the value that a whole answer has. It knows no message.

Rule, as OpenAI's own client libraries have it: objects merge, array elements with an `index` merge by it and others
follow each other, text that is known to grow is joined, and of anything else the last value counts.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_GROWING = frozenset({"arguments", "input", "text", "summary", "content", "thinking", "transcript"})


def read_object(text: str) -> dict[str, Json]:
    """Read a JSON object; empty text, and any other value, holds none."""
    value = cast("Json", json.loads(text)) if text else None
    return value if isinstance(value, dict) else {}


def write_object(members: Mapping[str, Json]) -> str:
    """Write a JSON object; nothing for none."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")) if members else ""


def fold(pieces: Sequence[str]) -> str:
    """Fold objects, oldest first; a single one stays as it was written."""
    given = [piece for piece in pieces if piece]
    if len(given) < 2:
        return "".join(given)
    folded: dict[str, Json] = {}
    for piece in given:
        merge_members(folded, read_object(piece))
    return write_object(folded)


def merge_members(old: dict[str, Json], new: Mapping[str, Json]) -> None:
    """Merge the members of one more piece into those before it."""
    for name, value in new.items():
        old[name] = _merged(name, old.get(name), value)


def _merged(name: str, old: Json, new: Json) -> Json:
    match old, new:
        case _, None:
            return old
        case dict(), dict():
            merge_members(old, new)
            return old
        case list(), list():
            _merge_items(old, new)
            return old
        case str(), str() if name in _GROWING:
            return old + new
        case _:
            return new


def _merge_items(old: list[Json], new: Sequence[Json]) -> None:
    for item in new:
        match item:
            case {"index": int(index)}:
                same = next((other for other in old if isinstance(other, dict) and other.get("index") == index), None)
                if same is None:
                    old.append(item)
                else:
                    merge_members(same, item)
            case _:
                old.append(item)
