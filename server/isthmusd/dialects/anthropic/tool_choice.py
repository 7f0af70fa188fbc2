"""Which tools may or must be called. Declaring them is `tools.py`.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use#controlling-claudes-output
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import RawToolChoice, ToolChoice, ToolChoiceFunction, ToolChoiceMode
from isthmusd.dialects.anthropic.notes import Notes
from isthmusd.dialects.anthropic.tools import Written

_PATH = "tool_choice"
_AUTO: dict[str, object] = {"type": "auto"}
_MODES = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
_NATIVE = frozenset({"auto", "any", "tool", "none"})
_FORCED = frozenset({"any", "tool"})


class _Named(msgspec.Struct):
    name: str


class _Allowed(msgspec.Struct):
    function: _Named | None = None
    name: str | None = None


class _AllowedTools(msgspec.Struct):
    mode: str = "auto"
    tools: list[_Allowed] = []


class _Raw(msgspec.Struct):
    """OpenAI's `allowed_tools`, nested or flat, or Anthropic's own choice."""

    type: str = ""
    name: str | None = None
    allowed_tools: _AllowedTools | None = None
    mode: str = "auto"
    tools: list[_Allowed] = []
    disable_parallel_tool_use: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is sent."""

    tools: list[Written]
    choice: dict[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceWriter:
    """Writes the choice of one request."""

    notes: Notes
    can_force: bool
    """Anthropic refuses to force a tool on a model that thinks, and on some models at all:
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use"""

    def write(self, tools: list[Written], choice: ToolChoice | None, parallel: bool | None) -> Choice:
        """Write the choice, and the tools that it leaves."""
        chosen = self._chosen(tools, choice)
        tools, written = chosen.tools, chosen.choice
        if not tools:
            if written is not None and written["type"] in _FORCED:
                self.notes.lose(_PATH, "there is no tool to call")
            return Choice(tools=tools, choice=None)
        if written is not None and not self.can_force and written["type"] in _FORCED:
            self.notes.lose(_PATH, "Anthropic forces no tool on this model, or none while it thinks: left to the model")
            written = _AUTO
        if parallel is False and (written is None or written["type"] != "none"):
            written = {**(written or _AUTO), "disable_parallel_tool_use": True}
        return Choice(tools=tools, choice=written)

    def _chosen(self, tools: list[Written], choice: ToolChoice | None) -> Choice:
        match choice:
            case None:
                return Choice(tools=tools, choice=None)
            case ToolChoiceMode(mode=mode):
                return Choice(tools=tools, choice=self._mode(mode))
            case ToolChoiceFunction(name=name):
                return Choice(tools=tools, choice={"type": "tool", "name": name})
            case RawToolChoice(json=json):
                return self._raw(tools, msgspec.Raw(json))

    def _mode(self, mode: str) -> dict[str, object] | None:
        native = _MODES.get(mode)
        if native is None:
            self.notes.lose(_PATH, f"Anthropic has no mode {mode!r}")
            return None
        return {"type": native}

    def _raw(self, tools: list[Written], raw: msgspec.Raw) -> Choice:
        try:
            choice = msgspec.json.decode(raw, type=_Raw)
        except msgspec.DecodeError:
            choice = _Raw()
        match choice.type:
            case "allowed_tools":
                return self._allowed(tools, choice.allowed_tools or _AllowedTools(choice.mode, choice.tools))
            case native if native in _NATIVE:
                members: dict[str, object] = {"type": native}
                if choice.name is not None:
                    members["name"] = choice.name
                if choice.disable_parallel_tool_use is not None:
                    members["disable_parallel_tool_use"] = choice.disable_parallel_tool_use
                return Choice(tools=tools, choice=members)
            case other:
                self.notes.lose(_PATH, f"Anthropic has no tool choice of type {other!r}")
                return Choice(tools=tools, choice=None)

    def _allowed(self, tools: list[Written], allowed: _AllowedTools) -> Choice:
        """Anthropic has no such list: the other tools are not sent."""
        names = {entry.function.name if entry.function else entry.name for entry in allowed.tools}
        return Choice(tools=[tool for tool in tools if tool.name in names], choice=self._mode(allowed.mode))
