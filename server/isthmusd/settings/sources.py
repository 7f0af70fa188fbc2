"""Where settings come from: the operator's file, variables, flags. What they mean together is not decided here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import yaml

from isthmusd.settings.errors import SettingsError, closest
from isthmusd.settings.schema import MAPS, Raw, fields_of, is_node, join, leaf, raw_map

PREFIX = "ISTHMUS_"
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
FILE_REFERENCE = "file:"
SECRET_FIELDS = frozenset(
    {"api_key", "secret_access_key", "session_token", "service_account", "client_secret", "secret", "url"}
)
"""Keys whose value may be `file:PATH`, and is never shown."""
KUBERNETES = re.compile(rf"{PREFIX}(SERVICE_|PORT(_|$))")
"""Kubernetes gives these to every pod beside a service called `isthmus`."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise SettingsError(f"line {key_node.start_mark.line + 1}: {key_node.value} is written twice")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def read_file(path: Path, environ: Mapping[str, str]) -> Raw:
    """Read the operator's YAML file and resolve its references."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = raw_map(yaml.load(text, _Loader), "")  # noqa: S506 the loader derives from the safe one
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"is no YAML: {_yaml_fault(error)}") from error
    return {key: _resolve(value, key, key, path.parent, environ) for key, value in raw.items()}


def from_environ(kind: type, environ: Mapping[str, str]) -> tuple[Raw, list[str]]:
    """Give what ISTHMUS_* variables set, and warnings about those that set nothing."""
    leaves = dict(_leaves(kind, ()))
    raw: Raw = {}
    warnings: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or KUBERNETES.match(name):
            continue
        if name in leaves:
            path, leaf_kind = leaves[name]
            put(raw, path, _from_text(leaf_kind, environ[name], name))
            continue
        # The common prefix would make every name resemble every other.
        meant = closest(name.removeprefix(PREFIX), (known.removeprefix(PREFIX) for known in leaves), cutoff=0.75)
        if meant is not None:
            raise SettingsError(f"{name}: unknown variable; did you mean {PREFIX}{meant}?")
        warnings.append(f"{name} is set but names no setting")
    return raw, warnings


def put(raw: Raw, path: tuple[str, ...], value: object) -> None:
    """Set the value at a path, making the maps on the way."""
    for key in path[:-1]:
        raw = raw.setdefault(key, {})
    raw[path[-1]] = value


def merge(below: Raw, above: Raw) -> Raw:
    """Lay one tree over another: maps merge, an empty section changes nothing, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        match merged.get(key), value:
            case dict(), dict() | None:
                merged[key] = merge(merged[key], cast("Raw", value or {}))
            case _:
                merged[key] = value
    return merged


def _leaves(kind: type, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[tuple[str, ...], Any]]]:
    """Give the variable of each setting that one variable can hold; maps of names have none."""
    for key, field_kind in fields_of(kind).items():
        here = (*path, key)
        if is_node(field_kind):
            yield from _leaves(field_kind, here)
        elif get_origin(field_kind) not in MAPS:
            yield PREFIX + "_".join(here).upper(), (here, field_kind)


def _from_text(kind: Any, text: str, name: str) -> Any:
    if get_origin(kind) is tuple:
        return [leaf(get_args(kind)[0], item.strip(), name, strict=False) for item in text.split(",") if item.strip()]
    if type(None) in get_args(kind) and text.lower() == "null":
        return None
    return leaf(kind, text, name, strict=False)


def _resolve(value: object, key: str, path: str, folder: Path, environ: Mapping[str, str]) -> object:
    match value:
        case dict():
            items = cast("dict[object, object]", value).items()
            return {k: _resolve(v, str(k), join(path, str(k)), folder, environ) for k, v in items}
        case list():
            items = enumerate(cast("list[object]", value))
            return [_resolve(v, key, f"{path}[{i}]", folder, environ) for i, v in items]
        case str() if key in SECRET_FIELDS and value.startswith(FILE_REFERENCE):
            return _read_secret(folder / Path(value.removeprefix(FILE_REFERENCE)).expanduser(), path)
        case str():
            return REFERENCE.sub(lambda match: _variable(match[1], path, environ), value)
        case _:
            return value


def _variable(name: str, path: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        raise SettingsError(f"{path}: ${{{name}}} is not set in the environment")
    return value


def _read_secret(file: Path, path: str) -> str:
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error
    if not secret:
        raise SettingsError(f"{path}: {file} is empty")
    return secret


def _yaml_fault(error: yaml.YAMLError) -> str:
    text = " ".join(str(error).split())
    # Inside {flow} maps YAML takes the brace of a bare ${NAME} for its own.
    return f'{text} (inside braces, write references in quotes: {{api_key: "${{NAME}}"}})' if "flow" in text else text
