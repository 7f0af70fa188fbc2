"""`output_config`: the schema that an answer is held to, and the effort. Forcing a schema by a tool is the pipeline's.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs: generally available, no beta header;
its beta had `output_format` at the top instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import (
    JsonObjectFormat,
    JsonSchemaFormat,
    RawFormat,
    ResponseFormat,
    TextFormat,
)
from isthmusd.core.profile import Profile
from isthmusd.dialects.anthropic.notes import Notes
from isthmusd.dialects.anthropic.schema import fitted

_PATH = "response_format"


class _NativeFormat(msgspec.Struct):
    type: str = ""
    schema: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputWriter:
    """Writes the output configuration of one request."""

    profile: Profile
    notes: Notes

    def write(self, form: ResponseFormat | None, effort: str | None, native: dict[str, str]) -> object | None:
        """Write `output_config`. `native` are request members that go by Anthropic's names: they win."""
        config: dict[str, object] = {"effort": effort} if effort is not None else {}
        written = self._form(form)
        if written is not None:
            config["format"] = written
        beta = native.get("output_format")
        if beta is not None:
            config["format"] = msgspec.Raw(beta)
        own = native.get("output_config")
        if own is not None:
            try:
                config |= msgspec.json.decode(own, type=dict[str, msgspec.Raw])
            except msgspec.DecodeError:
                self.notes.lose("output_config", "it is not an object")
        return config or None

    def _form(self, form: ResponseFormat | None) -> object | None:
        match form:
            case None | TextFormat():
                return None
            case JsonObjectFormat():
                self.notes.lose(_PATH, "Anthropic can be held to a schema, not to JSON as such")
                return None
            case JsonSchemaFormat():
                return self._schema(form)
            case RawFormat(json=json):
                return self._raw(msgspec.Raw(json))

    def _schema(self, form: JsonSchemaFormat) -> object | None:
        if not self.profile.takes_schemas or form.schema is None:
            self.notes.lose(_PATH, "the model cannot be held to a schema" if form.schema else "it has no schema")
            return None
        if form.description:
            self.notes.lose(f"{_PATH}.json_schema.description", "Anthropic's format is a schema and nothing else")
        schema = fitted(form.schema, f"{_PATH}.json_schema.schema", self.notes)
        return {"type": "json_schema", "schema": schema}

    def _raw(self, raw: msgspec.Raw) -> object | None:
        try:
            form = msgspec.json.decode(raw, type=_NativeFormat)
        except msgspec.DecodeError:
            form = _NativeFormat()
        if form.type == "json_schema" and bytes(form.schema):
            return raw
        self.notes.lose(_PATH, f"Anthropic has no format of type {form.type!r}")
        return None
