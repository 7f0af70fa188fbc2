"""Tools, tool choice, tool calls and response formats, both ways. Streamed tool calls are `chat_stream.py`."""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import (
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    RawFormat,
    RawTool,
    RawToolCall,
    RawToolChoice,
    ResponseFormat,
    TextFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.framing.fields import Fault, Fields, drop_none, json_text, kind_of, raw_or_none, read_text

_MARKER = "cache_control"


def decode_tools(fields: Fields, fault: Fault) -> tuple[Tool, ...]:
    """Take `tools`."""
    path = fields.at("tools")
    return tuple(_decode_tool(raw, f"{path}[{place}]", fault) for place, raw in enumerate(fields.items("tools") or []))


def encode_tools(tools: tuple[Tool, ...]) -> list[object] | None:
    """Write `tools`; None if there are none."""
    return [_encode_tool(tool) for tool in tools] or None


def decode_tool_choice(fields: Fields, fault: Fault) -> ToolChoice | None:
    """Take `tool_choice`."""
    raw, path = fields.raw("tool_choice"), fields.at("tool_choice")
    if raw is None:
        return None
    if kind_of(raw) == "a string":
        return ToolChoiceMode(mode=read_text(raw, path, fault))
    choice = Fields.of(raw, path, fault)
    if choice.text("type") == "function":
        function = choice.required_object("function")
        name = function.required_text("name")
        if not function.names() and not choice.names():
            return ToolChoiceFunction(name=name)
    return RawToolChoice(json=json_text(raw))


def encode_tool_choice(choice: ToolChoice | None) -> object | None:
    """Write `tool_choice`; None if it is unset."""
    match choice:
        case None:
            return None
        case ToolChoiceMode():
            return choice.mode
        case ToolChoiceFunction():
            return {"type": "function", "function": {"name": choice.name}}
        case RawToolChoice():
            return msgspec.Raw(choice.json)


def decode_tool_calls(fields: Fields, fault: Fault) -> tuple[ToolCall | RawToolCall, ...]:
    """Take the `tool_calls` of a message."""
    path = fields.at("tool_calls")
    items = fields.items("tool_calls") or []
    return tuple(_decode_tool_call(raw, f"{path}[{place}]", fault) for place, raw in enumerate(items))


def encode_tool_calls(calls: tuple[ToolCall | RawToolCall, ...]) -> list[object] | None:
    """Write `tool_calls`; None if there are none."""
    return [_encode_tool_call(call) for call in calls] or None


def decode_response_format(fields: Fields, fault: Fault) -> ResponseFormat | None:
    """Take `response_format`."""
    raw = fields.raw("response_format")
    if raw is None:
        return None
    form = Fields.of(raw, fields.at("response_format"), fault)
    match form.required_text("type"), form.names():
        case "text", ():
            return TextFormat()
        case "json_object", ():
            return JsonObjectFormat()
        case "json_schema", ("json_schema",):
            inner = form.required_object("json_schema")
            decoded = JsonSchemaFormat(
                name=inner.required_text("name"),
                schema=inner.json("schema"),
                description=inner.text("description"),
                strict=inner.boolean("strict"),
            )
            return decoded if not inner.names() else RawFormat(json=json_text(raw))
        case _:
            return RawFormat(json=json_text(raw))


def encode_response_format(form: ResponseFormat | None) -> object | None:
    """Write `response_format`; None if it is unset."""
    match form:
        case None:
            return None
        case TextFormat():
            return {"type": "text"}
        case JsonObjectFormat():
            return {"type": "json_object"}
        case JsonSchemaFormat():
            inner = {
                "name": form.name,
                "description": form.description,
                "schema": raw_or_none(form.schema),
                "strict": form.strict,
            }
            return {"type": "json_schema", "json_schema": drop_none(inner)}
        case RawFormat():
            return msgspec.Raw(form.json)


def _decode_tool(raw: msgspec.Raw, path: str, fault: Fault) -> Tool:
    fields = Fields.of(raw, path, fault)
    if fields.required_text("type") != "function":
        return RawTool(json=json_text(raw))
    function = fields.required_object("function")
    # A prompt-cache marker is written beside the function or in it: https://docs.litellm.ai/docs/completion/prompt_caching
    marker = function.json(_MARKER)
    tool = FunctionTool(
        name=function.required_text("name"),
        description=function.text("description"),
        parameters=function.json("parameters"),
        strict=function.boolean("strict"),
        extra=fields.rest() if marker is None else (*fields.rest(), (_MARKER, marker)),
    )
    return tool if not function.names() else RawTool(json=json_text(raw))


def _encode_tool(tool: Tool) -> object:
    match tool:
        case FunctionTool():
            function = {
                "name": tool.name,
                "description": tool.description,
                "parameters": raw_or_none(tool.parameters),
                "strict": tool.strict,
            }
            return drop_none({"type": "function", "function": drop_none(function)}, tool.extra)
        case RawTool():
            return msgspec.Raw(tool.json)


def _decode_tool_call(raw: msgspec.Raw, path: str, fault: Fault) -> ToolCall | RawToolCall:
    fields = Fields.of(raw, path, fault)
    # Some servers leave the type out; a function is then the only thing it can be.
    if (fields.text("type") or "function") != "function":
        return RawToolCall(json=json_text(raw))
    function = fields.required_object("function")
    # OpenAI's client libraries leave these in what they put together from a stream, and callers send that back.
    fields.raw("index")
    function.raw("parsed_arguments")
    call = ToolCall(
        id=fields.text("id") or "",
        name=function.required_text("name"),
        arguments=arguments_of(function),
        extra=fields.rest(),
    )
    return call if not function.names() else RawToolCall(json=json_text(raw))


def arguments_of(function: Fields) -> str:
    """Take arguments: a string, or from some servers the object itself, whose text then is the string."""
    if function.kind("arguments") == "an object":
        return function.json("arguments") or ""
    return function.text("arguments") or ""


def _encode_tool_call(call: ToolCall | RawToolCall) -> object:
    match call:
        case ToolCall():
            function = {"name": call.name, "arguments": call.arguments}
            return drop_none({"id": call.id, "type": "function", "function": function}, call.extra)
        case RawToolCall():
            return msgspec.Raw(call.json)
