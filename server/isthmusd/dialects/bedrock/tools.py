"""Tools and the choice among them to Converse's `toolConfig`. Calls and results are `messages.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    JsonText,
    RawTool,
    RawToolChoice,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.profile import Profile
from isthmusd.core.request import Loss
from isthmusd.dialects.bedrock.families import Family
from isthmusd.dialects.bedrock.marks import Block, cache_point, lose_members, only_member
from isthmusd.dialects.bedrock.messages import Conversation

_NATIVE_TOOLS = frozenset({"toolSpec", "systemTool", "cachePoint"})
_NO_PARAMETERS: Block = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is asked of the model: `auto`, `none`, `any`, or `tool` with a name."""

    kind: str
    name: str | None = None
    only: frozenset[str] | None = None
    """Names of the tools that may be called; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooling:
    """The tools of a request, decided."""

    tools: list[Block]
    choice: Choice | None = None
    serial: bool = False
    """One call at a time."""

    @property
    def forced(self) -> bool:
        """Whether the model must call."""
        return self.choice is not None and self.choice.kind in _FORCED

    def config(self) -> Block | None:
        """Give `toolConfig`; None if there are no tools."""
        if not self.tools:
            return None
        return {"tools": self.tools, **self._choice()}

    def fields(self) -> Block:
        """Give what goes into `additionalModelRequestFields`. Claude takes one call at a time as part of its own
        `tool_choice`, which Bedrock refuses beside `toolChoice`: then that is left out."""
        if not self.serial:
            return {}
        kind = "auto" if self.choice is None else self.choice.kind
        name = {} if self.choice is None or self.choice.name is None else {"name": self.choice.name}
        return {"tool_choice": {"type": kind, **name, "disable_parallel_tool_use": True}}

    def _choice(self) -> Block:
        match self.choice:
            case Choice(kind="tool", name=name) if not self.serial:
                return {"toolChoice": {"tool": {"name": name}}}
            case Choice(kind="auto" | "any" as kind) if not self.serial:
                return {"toolChoice": {kind: {}}}
            case _:
                return {}


_FORCED = frozenset({"any", "tool"})
_MODES = {"auto": "auto", "required": "any", "any": "any", "none": "none"}


class _Named(msgspec.Struct):
    name: str | None = None


class _Allowed(msgspec.Struct):
    function: _Named = msgspec.field(default_factory=_Named)


class _AllowedTools(msgspec.Struct):
    mode: str = "auto"
    tools: list[_Allowed] = msgspec.field(default_factory=list[_Allowed])


class _RawChoice(msgspec.Struct):
    """OpenAI's allowed tools, Anthropic's choice, or Bedrock's own."""

    type: str | None = None
    name: str | None = None
    allowed_tools: _AllowedTools | None = None
    auto: dict[str, object] | None = None
    any: dict[str, object] | None = None
    tool: _Named | None = None


def encode_tools(
    request: ChatRequest, conversation: Conversation, family: Family, profile: Profile, losses: list[Loss]
) -> Tooling:
    """Decide on the tools of a request."""
    choice = _read_choice(request.tool_choice, losses)
    if choice is not None and choice.kind == "none" and not conversation.has_tools:
        # Converse cannot forbid calls, but without tools there is nothing to call.
        return Tooling(tools=[])
    tools = _encode_tools(request.tools, choice, profile, losses)
    if not tools:
        return _undeclared(conversation, choice, losses)
    if choice is not None and choice.kind == "none":
        reason = "Bedrock wants the tools of earlier calls declared: the model might call one"
        losses.append(Loss(field="tool_choice", reason=reason))
        choice = None
    if choice is not None and not family.chooses_tools:
        if choice.kind in _FORCED:
            losses.append(Loss(field="tool_choice", reason="the model decides by itself which tool it calls"))
        choice = None
    serial = request.parallel_tool_calls is False
    if serial and not family.serialises_tools:
        losses.append(Loss(field="parallel_tool_calls", reason="the model may call several tools at once"))
    return Tooling(tools=tools, choice=choice, serial=serial and family.serialises_tools)


def _undeclared(conversation: Conversation, choice: Choice | None, losses: list[Loss]) -> Tooling:
    """Without tools of its own a request may still hold calls: Converse refuses them undeclared."""
    if choice is not None and choice.kind in _FORCED:
        losses.append(Loss(field="tool_choice", reason="there is no tool that could be called"))
    if not conversation.has_tools:
        return Tooling(tools=[])
    names = list(dict.fromkeys(conversation.called)) or ["unnamed"]
    losses.append(Loss(field="tools", reason="Bedrock wants the tools of earlier calls declared: the model might call"))
    return Tooling(tools=[{"toolSpec": {"name": name, "inputSchema": {"json": _NO_PARAMETERS}}} for name in names])


def _read_choice(choice: ToolChoice | None, losses: list[Loss]) -> Choice | None:
    match choice:
        case None:
            return None
        case ToolChoiceMode(mode=mode) if mode in _MODES:
            return Choice(kind=_MODES[mode])
        case ToolChoiceFunction(name=name):
            return Choice(kind="tool", name=name)
        case RawToolChoice(json=json) if (read := _read_raw_choice(json)) is not None:
            return read
        case _:
            losses.append(Loss(field="tool_choice", reason="Bedrock has no such choice"))
            return None


def _read_raw_choice(json: JsonText) -> Choice | None:
    try:
        raw = msgspec.json.decode(json, type=_RawChoice)
    except msgspec.DecodeError:
        return None
    match raw:
        case _RawChoice(allowed_tools=_AllowedTools(mode=mode, tools=tools)):
            only = frozenset(tool.function.name for tool in tools if tool.function.name is not None)
            return Choice(kind=_MODES.get(mode, "auto"), only=only)
        case _RawChoice(tool=_Named(name=str(name))) | _RawChoice(type="tool", name=str(name)):
            return Choice(kind="tool", name=name)
        case _RawChoice(type="auto" | "any" | "none" as kind):
            return Choice(kind=kind)
        case _:
            named = next((kind for kind, value in (("auto", raw.auto), ("any", raw.any)) if value is not None), None)
            return None if named is None else Choice(kind=named)


def _encode_tools(tools: tuple[Tool, ...], choice: Choice | None, profile: Profile, losses: list[Loss]) -> list[Block]:
    written: list[Block] = []
    for place, tool in enumerate(tools):
        path = f"tools[{place}]"
        match tool:
            case FunctionTool(name=name) if choice is None or choice.only is None or name in choice.only:
                written += _encode_function(tool, path, profile, losses)
            case FunctionTool():
                # Not among the allowed ones.
                pass
            case RawTool(json=json):
                member = only_member(json)
                if member is not None and member[0] in _NATIVE_TOOLS:
                    written.append({member[0]: member[1]})
                else:
                    losses.append(Loss(field=path, reason="Bedrock has no such tool"))
    return written


def _encode_function(tool: FunctionTool, path: str, profile: Profile, losses: list[Loss]) -> list[Block]:
    spec: Block = {"name": tool.name}
    if tool.description and tool.description.strip():
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": _schema(tool.parameters, path, losses)}
    if tool.strict:
        if profile.takes_schemas:
            spec["strict"] = True
        else:
            losses.append(Loss(field=f"{path}.function.strict", reason="the model is not held to a tool's schema"))
    lose_members(tool.extra, path, losses)
    return [{"toolSpec": spec}, *cache_point(tool.extra)]


def _schema(parameters: JsonText | None, path: str, losses: list[Loss]) -> object:
    """Converse refuses a schema that does not say it is of an object."""
    if parameters is None:
        return _NO_PARAMETERS
    try:
        members = msgspec.json.decode(parameters, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        losses.append(Loss(field=f"{path}.function.parameters", reason="Bedrock takes the schema of an object only"))
        return _NO_PARAMETERS
    return msgspec.Raw(parameters) if "type" in members else {"type": "object", **members}
