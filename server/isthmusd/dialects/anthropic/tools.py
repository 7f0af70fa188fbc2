"""Tools as Anthropic declares them. Which of them may be called is `tool_choice.py`, calls are `calls.py`.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import FunctionTool, JsonText, RawTool, Tool
from isthmusd.core.profile import Profile
from isthmusd.dialects.anthropic.notes import NO_SUCH_FIELD, Notes
from isthmusd.dialects.anthropic.schema import fitted
from isthmusd.dialects.anthropic.strictness import StrictBudget
from isthmusd.framing.fields import drop_none, json_text

_TOOL_MEMBERS = (
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "eager_input_streaming",
    "input_examples",
)
_DATED = re.compile(r"[a-z0-9_]+_20\d{6}")
"""Tools that Anthropic defines carry the date of their version."""
_UNDATED = frozenset({"mcp_toolset", "tool_search_tool_bm25", "tool_search_tool_regex"})

BETAS = {
    "advisor_20260301": "advisor-tool-2026-03-01",
    "bash_20241022": "computer-use-2024-10-22",
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "mcp_toolset": "mcp-client-2025-11-20",
    "text_editor_20241022": "computer-use-2024-10-22",
}
"""Tools that need a beta header; the others are generally available."""

_NO_PARAMETERS = JsonText('{"type":"object","properties":{}}')


class _RawFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"")
    strict: bool | None = None


class _RawTool(msgspec.Struct):
    """What is looked at in a tool that the hub does not know."""

    type: str = ""
    name: str = ""
    input_schema: msgspec.Raw = msgspec.Raw(b"")
    function: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One tool as it will be sent."""

    name: str
    """Empty where it has none of its own."""
    json: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolWriter:
    """Writes the tools of one request."""

    profile: Profile
    notes: Notes
    budget: StrictBudget = field(default_factory=StrictBudget)

    def write(self, tools: tuple[Tool, ...]) -> list[Written]:
        """Write what can be written."""
        written = (self._tool(tool, f"tools[{place}]") for place, tool in enumerate(tools))
        return [tool for tool in written if tool is not None]

    def _tool(self, tool: Tool, path: str) -> Written | None:
        match tool:
            case FunctionTool():
                return self._function(tool, path)
            case RawTool(json=json):
                return self._raw(msgspec.Raw(json), path)

    def _function(self, tool: FunctionTool, path: str) -> Written:
        kept = self.notes.carried(tool.extra, _TOOL_MEMBERS, path, NO_SUCH_FIELD)
        strict = self._strict(tool, f"{path}.function.strict") or None
        members = {
            "name": tool.name,
            "description": tool.description,
            "input_schema": self._schema(tool.parameters, f"{path}.function.parameters", bool(strict)),
            "strict": strict,
        }
        return Written(name=tool.name, json=drop_none(members, kept))

    def _strict(self, tool: FunctionTool, path: str) -> bool:
        if not tool.strict:
            return False
        if not self.profile.takes_schemas:
            self.notes.lose(path, "the model cannot be held to a schema")
            return False
        if not self.budget.spend(tool.parameters or _NO_PARAMETERS):
            self.notes.lose(path, "Anthropic holds a model to so many and so loose schemas only")
            return False
        return True

    def _schema(self, parameters: JsonText | None, path: str, strict: bool) -> msgspec.Raw:
        """Anthropic demands an object's schema that says so."""
        text = (parameters or "").strip()
        text = _NO_PARAMETERS if text in ("", "null") else text
        try:
            members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError:
            self.notes.lose(path, "Anthropic takes an object's schema only")
            return msgspec.Raw(_NO_PARAMETERS)
        if "type" not in members:
            rest = text[1:].lstrip()
            text = f'{{"type":"object"{"" if rest == "}" else ","}{rest}'
        return fitted(JsonText(text), path, self.notes) if strict else msgspec.Raw(text)

    def _raw(self, raw: msgspec.Raw, path: str) -> Written | None:
        try:
            tool = msgspec.json.decode(raw, type=_RawTool)
        except msgspec.DecodeError:
            tool = _RawTool()
        if tool.type in _UNDATED or _DATED.fullmatch(tool.type):
            self.notes.need(BETAS.get(tool.type))
            return Written(name=tool.name, json=raw)
        if tool.type in ("", "custom") and bytes(tool.input_schema):
            return Written(name=tool.name, json=raw)
        if tool.type == "function":
            return self._raw_function(tool.function, path)
        self.notes.lose(path, f"Anthropic has no tool of type {tool.type!r}")
        return None

    def _raw_function(self, raw: msgspec.Raw, path: str) -> Written | None:
        """Write a function that came with members that the hub has no place for: Anthropic's own among them are
        taken, callers of other gateways write them there."""
        try:
            function = msgspec.json.decode(raw, type=_RawFunction)
            members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError:
            self.notes.lose(path, "it is not a function")
            return None
        known = _RawFunction.__struct_fields__
        tool = FunctionTool(
            name=function.name,
            description=function.description,
            parameters=json_text(function.parameters),
            strict=function.strict,
            extra=tuple((name, json_text(text)) for name, text in members.items() if name not in known),
        )
        return self._function(tool, path)
