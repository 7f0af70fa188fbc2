"""Tool calls of an assistant's turn as `tool_use` blocks. Their results are `messages.py`, tools `tools.py`.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import Extra, JsonText, RawToolCall, ToolCall
from isthmusd.dialects.anthropic.call_ids import CallIds
from isthmusd.dialects.anthropic.content import Block, kind_of_block
from isthmusd.dialects.anthropic.notes import NO_SUCH_FIELD, Notes
from isthmusd.framing.fields import drop_none

_CALL_MEMBERS = ("cache_control", "caller", "toolset_name")
_NATIVE_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _FunctionCall(msgspec.Struct):
    """OpenAI's call, for those that came with members that the hub has no place for."""

    function: _Function
    id: str = ""


class _Custom(msgspec.Struct):
    name: str
    input: str = ""


class _CustomCall(msgspec.Struct):
    """OpenAI's call of a tool that takes plain text."""

    custom: _Custom
    id: str = ""


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class CallWriter:
    """Writes the calls of one request."""

    notes: Notes
    ids: CallIds = field(default_factory=CallIds)

    def blocks(self, calls: tuple[ToolCall | RawToolCall, ...], path: str) -> list[Block | msgspec.Raw]:
        """Write the calls of one turn."""
        written = (self._block(call, f"{path}[{place}]") for place, call in enumerate(calls))
        return [block for block in written if block is not None]

    def legacy(self, json: JsonText, path: str) -> Block | None:
        """Write the `function_call` of a message from before tools: it has no id."""
        try:
            function = msgspec.json.decode(json, type=_Function)
        except msgspec.DecodeError:
            self.notes.lose(path, "it is not a function call")
            return None
        return self._tool_use(ToolCall(id="", name=function.name, arguments=function.arguments), path)

    def _block(self, call: ToolCall | RawToolCall, path: str) -> Block | msgspec.Raw | None:
        match call:
            case ToolCall():
                return self._tool_use(call, path)
            case RawToolCall(json=json):
                return self._raw(msgspec.Raw(json), path)

    def _raw(self, raw: msgspec.Raw, path: str) -> Block | msgspec.Raw | None:
        kind = kind_of_block(raw)
        if kind in _NATIVE_CALLS:
            return raw
        if kind == "custom":
            return self._custom(raw, path)
        try:
            call = msgspec.json.decode(raw, type=_FunctionCall)
        except msgspec.DecodeError:
            self.notes.lose(path, f"Anthropic has no tool call of type {kind!r}")
            return None
        self.notes.lose(f"{path}.function", "members beside name and arguments have no place at Anthropic")
        return self._tool_use(ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments), path)

    def _custom(self, raw: msgspec.Raw, path: str) -> Block | None:
        """Its result is in the history too, and must find it."""
        try:
            call = msgspec.json.decode(raw, type=_CustomCall)
        except msgspec.DecodeError:
            self.notes.lose(path, "it is not a call of a tool")
            return None
        self.notes.lose(f"{path}.custom.input", "Anthropic's tools take objects: sent as text within one")
        arguments = msgspec.json.encode({"input": call.custom.input}).decode()
        return self._tool_use(ToolCall(id=call.id, name=call.custom.name, arguments=arguments), path)

    def _tool_use(self, call: ToolCall, path: str) -> Block:
        kept: Extra = self.notes.carried(call.extra, _CALL_MEMBERS, path, NO_SUCH_FIELD)
        block = {
            "type": "tool_use",
            "id": self.ids.of_call(call.id),
            "name": call.name,
            "input": self._input(call.arguments, f"{path}.function.arguments"),
        }
        return drop_none(block, kept)

    def _input(self, arguments: str, path: str) -> object:
        """Anthropic takes nothing but an object here; what a model wrote need not even be JSON."""
        text = arguments.strip()
        if text in ("", "null"):
            return {}
        try:
            _OBJECT.decode(text)
            if "\\u" in text:
                # Halves of characters, which Anthropic refuses, are found by reading the texts only.
                msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self.notes.lose(path, "it is not a JSON object: sent as text within one")
            return {"arguments": arguments}
        return msgspec.Raw(text)
