"""Plain data to typed values, with errors that name the key. It knows no setting by name.

`msgspec.convert` would do it in one call, but its errors lose the keys of maps and do not suggest a known key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import EnumMeta, StrEnum
from functools import lru_cache
from typing import Any, cast, get_args, get_origin, get_type_hints

import msgspec

from isthmusd.settings.errors import SettingsError, nearest

Raw = dict[str, Any]
"""A map as YAML or JSON gives it."""

MAPS = (dict, Mapping)
WORDS = {"bool": "true or false", "float": "a number", "int": "a whole number", "str": "text", "array": "a list"}
"""msgspec's names of types in the words of people."""


def build(kind: Any, raw: object, path: str = "") -> Any:
    """Make a value of `kind`: a Struct, a dataclass, a map or list of them, or anything msgspec can convert."""
    kind = kind if raw is None else _present(kind)
    if is_node(kind):
        return _build_node(kind, raw_map(raw, path), path)
    if get_origin(kind) in MAPS:
        value_kind = get_args(kind)[1]
        return {key: build(value_kind, value, join(path, key)) for key, value in raw_map(raw, path).items()}
    if get_origin(kind) is tuple and is_node(get_args(kind)[0]) and isinstance(raw, list):
        entries = enumerate(cast("list[object]", raw))
        return tuple(build(get_args(kind)[0], entry, f"{path}[{index}]") for index, entry in entries)
    return leaf(kind, raw, path)


def leaf(kind: Any, raw: object, path: str, *, strict: bool = True) -> Any:
    """Convert one value; not strictly means from text, as environment variables are."""
    try:
        return msgspec.convert(raw, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}{_complaint(kind, str(error))}") from error


def is_node(kind: Any) -> bool:
    """Whether a type is a map with known keys."""
    if not isinstance(kind, type):
        return False
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(cast("object", kind))


@lru_cache(maxsize=64)
def fields_of(kind: type) -> Mapping[str, Any]:
    """Give the fields of a node, with their types as they are annotated."""
    return get_type_hints(kind, include_extras=True)


def _present(kind: Any) -> Any:
    """Take a node that may be None for the node."""
    nodes = [choice for choice in get_args(kind) if is_node(choice)]
    return nodes[0] if len(nodes) == 1 and type(None) in get_args(kind) else kind


def raw_map(raw: object, path: str) -> Raw:
    """Demand a map with text keys. An empty YAML section is an empty map."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{path or 'the file'}: expected a map, got {type(raw).__name__}")
    found = cast("dict[object, Any]", raw)
    for key in found:
        if not isinstance(key, str):
            raise SettingsError(f"{join(path, str(key))}: expected a name as key; write it in quotes")
    return cast("Raw", found)


def join(path: str, key: str) -> str:
    """Write the dotted path of a key."""
    return f"{path}.{key}" if path else key


def _build_node(kind: Callable[..., Any], raw: Raw, path: str) -> Any:
    fields = fields_of(cast("type", kind))
    for key in raw:
        if key not in fields:
            raise SettingsError(f"{join(path, key)}: unknown key; {nearest(key, fields, join(path, ''))}")
    values = {key: build(fields[key], value, join(path, key)) for key, value in raw.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = [key for key in fields if key not in raw and f"'{key}'" in str(error)]
        raise SettingsError(f"{path}: {' and '.join(missing)} must be set") from error


def _complaint(kind: Any, error: str) -> str:
    """Reword msgspec's message; it goes right after the path."""
    text, _, at = error.partition(" - at `$")
    for choice in (kind, *get_args(kind)):
        if isinstance(choice, EnumMeta):
            text = f"expected one of {', '.join(cast('type[StrEnum]', choice))}"
    text = text.replace("`", "").replace("Expected", "expected")
    for written, meant in WORDS.items():
        text = text.replace(f"expected {written},", f"expected {meant},")
    return f"{at.removesuffix('`')}: {text[:1].lower()}{text[1:]}"
