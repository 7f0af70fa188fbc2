"""Tools, the choice among them, and the response format, which Cohere refuses beside them.

Source: https://docs.cohere.com/docs/tool-use-overview, https://docs.cohere.com/docs/structured-outputs
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec

from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    RawFormat,
    RawTool,
    RawToolChoice,
    TextFormat,
    Tool,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.request import Loss
from isthmusd.dialects.cohere.losses import lose, lose_extra
from isthmusd.framing.fields import drop_none, raw_or_none

REQUIRED, NONE = "REQUIRED", "NONE"
MODES = {"auto": None, "none": NONE, "required": REQUIRED}
"""OpenAI's words to Cohere's, which has none for `auto`."""

NO_PARAMETERS = JsonText('{"type":"object","properties":{}}')

_ALONE = "Cohere takes no response format beside {}"
_HIDDEN = "Cohere cannot be held to some of the tools: the others were not sent"


def encode_tool_use(request: ChatRequest, losses: list[Loss]) -> dict[str, object | None]:
    """Write `tools`, `strict_tools` and `tool_choice`."""
    chosen, mode = _choice(request, losses)
    tools: list[object] = []
    for place, tool in enumerate(request.tools):
        if chosen is None or _name(tool) in chosen:
            tools += _encode_tool(tool, f"tools[{place}]", losses)
    if chosen is not None and len(tools) < len(request.tools):
        lose(losses, "tools", _HIDDEN)
    if not tools and mode == REQUIRED:
        lose(losses, "tool_choice", "there is no tool to choose")
    return {
        "tools": tools or None,
        "strict_tools": _strict(request.tools, losses),
        "tool_choice": mode if tools else None,
    }


def encode_response_format(request: ChatRequest, has_documents: bool, losses: list[Loss]) -> object | None:
    """Write `response_format`. Its schema is binding there whether or not it is called strict, and has no name."""
    form = request.response_format
    match form:
        case None | TextFormat():
            return None
        case JsonObjectFormat() | JsonSchemaFormat() | RawFormat() if request.tools or has_documents:
            lose(losses, "response_format", _ALONE.format("tools" if request.tools else "documents"))
            return None
        case JsonObjectFormat():
            return {"type": "json_object"}
        case JsonSchemaFormat():
            if form.description is not None:
                lose(losses, "response_format.json_schema.description")
            return drop_none({"type": "json_object", "json_schema": raw_or_none(form.schema)})
        case RawFormat(json=json):
            match msgspec.json.decode(json):
                case {"type": "json_object"}:
                    return msgspec.Raw(json)
                case _:
                    lose(losses, "response_format", "Cohere has no such format")
                    return None


def _choice(request: ChatRequest, losses: list[Loss]) -> tuple[Container[str] | None, str | None]:
    """Give the names of the tools to send, None for all, and the mode."""
    match request.tool_choice:
        case None:
            return None, None
        case ToolChoiceMode(mode=mode) if mode in MODES:
            return None, MODES[mode]
        case ToolChoiceFunction(name=name) if name in map(_name, request.tools):
            return {name}, REQUIRED
        case ToolChoiceFunction():
            lose(losses, "tool_choice", "there is no such tool: any of them is required")
            return None, REQUIRED
        case RawToolChoice(json=json) if allowed := _allowed(json):
            return allowed
        case _:
            lose(losses, "tool_choice", "Cohere has no such choice")
            return None, None


def _allowed(json: JsonText) -> tuple[set[str], str | None] | None:
    """Read https://platform.openai.com/docs/guides/function-calling#tool-choice's allowed tools."""
    found: Any = msgspec.json.decode(json)
    match found:
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]}}:
            return {_name_in(tool) for tool in tools}, MODES[mode]
        case _:
            return None


def _strict(tools: tuple[Tool, ...], losses: list[Loss]) -> bool | None:
    """Cohere is strict with all tools or with none, and refuses schemas under strictness that it takes without, those
    that demand no parameter among them (https://docs.cohere.com/docs/tool-use-parameter-types): so it is strict where
    all of them were written for it."""
    strict = [place for place, tool in enumerate(tools) if _is_strict(tool)]
    if not strict:
        return None
    fits = all(map(_demands, tools))
    if fits and len(strict) == len(tools):
        return True
    reason = f"Cohere is strict with all tools or none, and others {'are not' if fits else 'demand no parameter'}"
    for place in strict:
        lose(losses, f"tools[{place}].function.strict", reason)
    return None


def _is_strict(tool: Tool) -> bool:
    match tool:
        case FunctionTool(strict=strict):
            return strict is True
        case RawTool(json=json):
            match msgspec.json.decode(json):
                case {"function": {"strict": True}}:
                    return True
                case _:
                    return False


def _demands(tool: Tool) -> bool:
    """Tell whether a tool has a parameter that must be given."""
    match tool:
        case FunctionTool(parameters=parameters):
            found: Any = None if parameters is None else msgspec.json.decode(parameters)
        case RawTool(json=json):
            found = msgspec.json.decode(json)
    match found:
        case {"required": [_, *_]} | {"function": {"parameters": {"required": [_, *_]}}}:
            return True
        case _:
            return False


def _encode_tool(tool: Tool, path: str, losses: list[Loss]) -> list[object]:
    match tool:
        case FunctionTool():
            lose_extra(losses, tool.extra, path)
            function = {
                "name": tool.name,
                "description": tool.description,
                "parameters": msgspec.Raw(tool.parameters or NO_PARAMETERS),
            }
            return [{"type": "function", "function": drop_none(function)}]
        case RawTool(json=json):
            return _encode_raw(json, path, losses)


def _encode_raw(json: JsonText, path: str, losses: list[Loss]) -> list[object]:
    """Write a function whose unknown members the hub had no place for: Cohere would refuse them."""
    try:
        raw = _RAW.decode(json)
    except msgspec.ValidationError:
        lose(losses, path, "Cohere has functions only")
        return []
    written = {"parameters": msgspec.Raw(NO_PARAMETERS)}
    for name, value in raw.function.items():
        if name in ("name", "description", "parameters"):
            written[name] = value
        elif name != "strict":
            lose(losses, f"{path}.function.{name}")
    return [{"type": "function", "function": written}]


class _RawFunction(msgspec.Struct, tag="function"):
    function: dict[str, msgspec.Raw]


_RAW = msgspec.json.Decoder(_RawFunction)


def _name(tool: Tool) -> str:
    match tool:
        case FunctionTool(name=name):
            return name
        case RawTool(json=json):
            return _name_in(msgspec.json.decode(json))


def _name_in(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}}:
            return name
        case _:
            return ""
