"""JSON schemas that Anthropic holds a model to: what it refuses in them is taken out, each with a loss. Schemas that it
only shows to the model (tools that are not strict) need none of this.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import JsonText
from isthmusd.dialects.anthropic.notes import Notes

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Schema = dict[str, Json]

_REFUSED = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "contains",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "propertyNames",
        "not",
        "if",
        "then",
        "else",
        "dependentSchemas",
    }
)
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid", "text"}
)
_NAMED_SCHEMAS = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "allOf", "prefixItems")
_OPEN = "additionalProperties"


@dataclass(slots=True)
class SchemaFitter:
    """Fits one schema; `changed` tells afterwards whether it is another one than it was."""

    notes: Notes
    changed: bool = False

    def fit(self, schema: Json, path: str) -> Json:
        """Give a schema that Anthropic accepts; anything but an object is left for it to judge."""
        match schema:
            case dict():
                return self._object(schema, path)
            case _:
                return schema

    def _object(self, schema: Schema, path: str) -> Schema:
        fitted: Schema = {}
        for name, value in schema.items():
            kept = _KEYWORDS.get(name, _plain)(self, name, value, path)
            if kept is not None:
                fitted[kept] = self._inner(kept, value, f"{path}.{name}")
        kinds = fitted.get("type")
        if "properties" in fitted or kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
            self._close(fitted, path)
        return fitted

    def _inner(self, name: str, value: Json, path: str) -> Json:
        match value:
            case dict() if name in _NAMED_SCHEMAS:
                return {key: self.fit(inner, f"{path}.{key}") for key, inner in value.items()}
            case list() if name in _SCHEMA_LISTS:
                return [self.fit(inner, f"{path}[{place}]") for place, inner in enumerate(value)]
            case dict() if name == "items":
                return self.fit(value, path)
            case _:
                return value

    def _close(self, schema: Schema, path: str) -> None:
        """Anthropic wants objects that say they are closed. One that said nothing loses nothing: whatever the model
        may write is still valid."""
        known = schema.get(_OPEN)
        if known is False:
            return
        if known is not None:
            self.lose(f"{path}.{_OPEN}", "Anthropic fills closed objects only")
        schema[_OPEN] = False
        self.changed = True

    def lose(self, path: str, reason: str) -> None:
        """Note a change."""
        self.changed = True
        self.notes.lose(path, reason)


_Keyword = Callable[[SchemaFitter, str, Json, str], str | None]
"""Gives the name that a keyword goes by, or None if it must go."""


def _plain(fitter: SchemaFitter, name: str, value: Json, path: str) -> str | None:
    del fitter, value, path
    return name


def _refused(fitter: SchemaFitter, name: str, value: Json, path: str) -> None:
    del value
    fitter.lose(f"{path}.{name}", "Anthropic cannot hold a model to this keyword")


def _format(fitter: SchemaFitter, name: str, value: Json, path: str) -> str | None:
    return name if value in _FORMATS else _refused(fitter, name, value, path)


def _min_items(fitter: SchemaFitter, name: str, value: Json, path: str) -> str | None:
    return name if value in (0, 1) else _refused(fitter, name, value, path)


def _one_of(fitter: SchemaFitter, name: str, value: Json, path: str) -> str:
    del value
    fitter.lose(f"{path}.{name}", "Anthropic has anyOf only: sent as that")
    return "anyOf"


_KEYWORDS: dict[str, _Keyword] = {
    **dict.fromkeys(_REFUSED, _refused),
    "format": _format,
    "minItems": _min_items,
    "oneOf": _one_of,
}


def fitted(text: JsonText, path: str, notes: Notes) -> msgspec.Raw:
    """Give a schema as Anthropic takes it, as it was written if nothing had to change."""
    fitter = SchemaFitter(notes)
    try:
        schema = fitter.fit(msgspec.json.decode(text), path)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.Raw(text)
    return msgspec.Raw(msgspec.json.encode(schema)) if fitter.changed else msgspec.Raw(text)
