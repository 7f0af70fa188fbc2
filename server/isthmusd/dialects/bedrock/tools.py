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
from isthmusd.dialects.bedrock.marks import NO_POINT, Block, cache_point, lose_members, only_member
from isthmusd.dialects.bedrock.schema import NO_PARAMETERS, object_schema
from isthmusd.dialects.bedrock.turns import Conversation

_NATIVE_TOOLS = frozenset({"toolSpec", "systemTool", "cachePoint"})


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
    choice = _choice_of(choice, family)
    tools = _ToolWriter(family, profile, losses).write(request.tools, choice)
    if not tools:
        return _undeclared(conversation, choice, losses)
    if choice is not None and choice.kind == "none":
        reason = "Bedrock wants the tools of earlier calls declared: the model might call one"
        losses.append(Loss(field="tool_choice", reason=reason))
        choice = None
    if choice is not None and choice.kind not in family.choices:
        if choice.kind in _FORCED:
            losses.append(Loss(field="tool_choice", reason="the model decides by itself which tool it calls"))
        choice = None
    serial = request.parallel_tool_calls is False
    if serial and not family.serialises_tools:
        losses.append(Loss(field="parallel_tool_calls", reason="the model may call several tools at once"))
    return Tooling(tools=tools, choice=choice, serial=serial and family.serialises_tools)


def _choice_of(choice: Choice | None, family: Family) -> Choice | None:
    """Name one tool to a model that only can be told to call any: send it no other."""
    match choice:
        case Choice(kind="tool", name=str(name)) if "tool" not in family.choices and "any" in family.choices:
            return Choice(kind="any", only=frozenset({name}))
        case _:
            return choice


def _undeclared(conversation: Conversation, choice: Choice | None, losses: list[Loss]) -> Tooling:
    """Without tools of its own a request may still hold calls: Converse refuses them undeclared."""
    if choice is not None and choice.kind in _FORCED:
        losses.append(Loss(field="tool_choice", reason="there is no tool that could be called"))
    if not conversation.has_tools:
        return Tooling(tools=[])
    names = list(dict.fromkeys(conversation.called)) or ["unnamed"]
    losses.append(Loss(field="tools", reason="Bedrock wants the tools of earlier calls declared: the model might call"))
    return Tooling(tools=[{"toolSpec": {"name": name, "inputSchema": {"json": NO_PARAMETERS}}} for name in names])


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


@dataclass(frozen=True, slots=True)
class _ToolWriter:
    family: Family
    profile: Profile
    losses: list[Loss]

    def write(self, tools: tuple[Tool, ...], choice: Choice | None) -> list[Block]:
        only = None if choice is None else choice.only
        written: list[Block] = []
        for place, tool in enumerate(tools):
            path = f"tools[{place}]"
            match tool:
                case FunctionTool(name=name) if only is None or name in only:
                    written += self._function(tool, path)
                case FunctionTool():
                    # Not among the allowed ones.
                    pass
                case RawTool(json=json):
                    written += self._raw(json, path)
        return written

    def _raw(self, json: JsonText, path: str) -> list[Block]:
        member = only_member(json)
        if member is None or member[0] not in _NATIVE_TOOLS:
            self.losses.append(Loss(field=path, reason="Bedrock has no such tool"))
            return []
        if member[0] == "cachePoint" and not self.family.caches_tools:
            self.losses.append(Loss(field=path, reason=NO_POINT))
            return []
        return [{member[0]: member[1]}]

    def _function(self, tool: FunctionTool, path: str) -> list[Block]:
        spec: Block = {"name": tool.name}
        if tool.description and tool.description.strip():
            spec["description"] = tool.description
        schema = object_schema(tool.parameters, f"{path}.function.parameters", self.family, self.losses)
        spec["inputSchema"] = {"json": schema}
        if tool.strict and self.profile.takes_schemas:
            spec["strict"] = True
        elif tool.strict:
            reason = "the model is not held to a tool's schema"
            self.losses.append(Loss(field=f"{path}.function.strict", reason=reason))
        lose_members(tool.extra, path, self.losses)
        point = cache_point(tool.extra)
        if point and not self.family.caches_tools:
            self.losses.append(Loss(field=f"{path}.cache_control", reason=NO_POINT))
            point = []
        return [{"toolSpec": spec}, *point]
