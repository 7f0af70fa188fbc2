"""Tools and tool choice. Calls in messages are `messages.py`.

Source: https://ai.google.dev/gemini-api/docs/function-calling and https://ai.google.dev/api/caching#Tool
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    JsonText,
    RawTool,
    RawToolChoice,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.request import Loss
from isthmusd.dialects.gemini.native import Members, Native, lose, members_of
from isthmusd.dialects.gemini.paths import camel
from isthmusd.framing.fields import drop_none

_NATIVE = frozenset(
    {
        "functionDeclarations",
        "googleSearch",
        "googleSearchRetrieval",
        "googleMaps",
        "enterpriseWebSearch",
        "codeExecution",
        "urlContext",
        "fileSearch",
        "computerUse",
        "retrieval",
        "mcpServers",
        "parallelAiSearch",
        "exaAiSearch",
    }
)
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_HEADLESS = re.compile(r"_*[0-9-]")
_NO_FUNCTIONS = "there is no function to choose"


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"null")
    strict: bool | None = None


class _Named(msgspec.Struct):
    function: _Function


class _AllowedTools(msgspec.Struct):
    mode: str
    tools: list[_Named]


class _Allowed(msgspec.Struct):
    allowed_tools: _AllowedTools


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolMembers:
    """The members of a request that concern tools."""

    tools: list[object] | None
    config: dict[str, object] | None


def encode_tools(request: ChatRequest, native: Native, losses: list[Loss]) -> ToolMembers:
    """Write `tools` and `toolConfig`."""
    functions: dict[str, FunctionTool] = {}
    built_in: list[object] = [{"googleSearch": {}}] if native.searches else []
    for place, tool in enumerate(request.tools):
        path = f"tools[{place}]"
        match tool:
            case FunctionTool():
                lose(tool.extra, path, losses)
                functions[path] = tool
            case RawTool(json=json):
                function = _salvaged(json)
                written = _native_tool(json) if function is None else None
                if function is not None:
                    functions[path] = function
                if written is None:
                    reason = "Gemini has no such tool" if function is None else "Gemini's functions have fewer members"
                    losses.append(Loss(field=path, reason=reason))
                else:
                    built_in.append(written)
    tools = [{"functionDeclarations": [_declaration(tool) for tool in functions.values()]}] if functions else []
    if request.parallel_tool_calls is False and functions:
        losses.append(Loss(field="parallel_tool_calls", reason="Gemini may always call several functions at once"))
    calling = _calling(request.tool_choice, functions, losses)
    config = drop_none({"functionCallingConfig": calling}, ())
    for name, raw in native.tool_config.items():
        if name in config:
            losses.append(Loss(field=f"toolConfig.{name}", reason="'tool_choice' says it already"))
        config.setdefault(name, raw)
    return ToolMembers(tools=[*tools, *built_in] or None, config=config or None)


def function_name(name: str) -> str:
    """Write a function's name: Google's begin with a letter or an underscore. The way back is `asked_name`."""
    return f"_{name}" if _HEADLESS.match(name) else name


def asked_name(name: str) -> str:
    """Give the name that the caller knows."""
    return name[1:] if name[:1] == "_" and _HEADLESS.match(name) else name


def _declaration(tool: FunctionTool) -> dict[str, object]:
    return drop_none(
        {
            "name": function_name(tool.name),
            "description": tool.description,
            "parametersJsonSchema": _parameters(tool.parameters),
        }
    )


def _parameters(schema: JsonText | None) -> msgspec.Raw:
    """Google demands an object's schema that says so."""
    members = {} if schema is None else members_of(schema)
    if members == {}:
        return _NO_PARAMETERS
    if schema is None or members is None or "type" in members:
        return msgspec.Raw(schema or "null")
    return msgspec.Raw('{"type":"object",' + schema.strip()[1:].lstrip())


def _salvaged(json: JsonText) -> FunctionTool | None:
    """Give the function of a tool that has members beyond OpenAI's."""
    try:
        function = msgspec.json.decode(json, type=_Named).function
    except msgspec.DecodeError:
        return None
    parameters = None if bytes(function.parameters) == b"null" else JsonText(bytes(function.parameters).decode())
    return FunctionTool(
        name=function.name, description=function.description, parameters=parameters, strict=function.strict
    )


def _native_tool(json: JsonText) -> Members | None:
    """Read `{"type": "google_search", "google_search": {}}`, where either member may be missing, or its settings lie
    beside the type."""
    members = members_of(json) or {}
    kind = members.pop("type", None)
    named = {camel(name): value for name, value in members.items()}
    if named and _NATIVE.issuperset(named):
        return named
    try:
        name = camel(msgspec.json.decode(kind, type=str)) if kind is not None else ""
    except msgspec.DecodeError:
        return None
    return {name: msgspec.Raw(msgspec.json.encode(named))} if name in _NATIVE else None


def _calling(
    choice: ToolChoice | None, functions: dict[str, FunctionTool], losses: list[Loss]
) -> dict[str, object] | None:
    """Write `functionCallingConfig`. It is refused beside built-in tools only, so without functions it is left out."""
    config = _chosen(choice, losses)
    mode = None if config is None else config["mode"]
    if not functions:
        if mode not in (None, "AUTO"):
            losses.append(Loss(field="tool_choice", reason=_NO_FUNCTIONS))
        return None
    if mode not in (None, "AUTO"):
        # Schemas hold in these modes anyway.
        return config
    strict = [path for path, tool in functions.items() if tool.strict is True]
    if len(strict) == len(functions):
        return {"mode": "VALIDATED"}
    losses += [
        Loss(field=f"{path}.function.strict", reason="Gemini holds all functions to their schemas, or none")
        for path in strict
    ]
    return config


def _chosen(choice: ToolChoice | None, losses: list[Loss]) -> dict[str, object] | None:
    match choice:
        case None:
            return None
        case ToolChoiceMode(mode=mode) if mode in _MODES:
            return {"mode": _MODES[mode]}
        case ToolChoiceFunction(name=name):
            return {"mode": "ANY", "allowedFunctionNames": [function_name(name)]}
        case RawToolChoice(json=json) if (allowed := _allowed(json)) is not None:
            return allowed
        case ToolChoiceMode() | RawToolChoice():
            losses.append(Loss(field="tool_choice", reason="Gemini has no such choice"))
            return None


def _allowed(json: JsonText) -> dict[str, object] | None:
    try:
        allowed = msgspec.json.decode(json, type=_Allowed).allowed_tools
    except msgspec.DecodeError:
        return None
    # A list of names is refused in mode AUTO; VALIDATED leaves the model the same freedom.
    mode = {"required": "ANY", "auto": "VALIDATED"}.get(allowed.mode)
    names = [function_name(tool.function.name) for tool in allowed.tools]
    return None if mode is None else {"mode": mode, "allowedFunctionNames": names}
