"""What the model may call and which form its answer must have: requests only. Calls that it made are `messages.py`."""

from __future__ import annotations

from isthmus.v1 import chat_pb2 as pb

from isthmusd.core.chat import (
    Extra,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    RawFormat,
    RawTool,
    RawToolChoice,
    ResponseFormat,
    TextFormat,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.dialects.isthmus.fields import (
    BadField,
    decode_each,
    decode_under,
    join,
    json_object,
    json_value,
    member,
    members,
    merge,
    quote,
    required,
)

_MARKER = "cache_control"
_MODES: dict[int, str] = {
    pb.TOOL_CHOICE_MODE_AUTO: "auto",
    pb.TOOL_CHOICE_MODE_NONE: "none",
    pb.TOOL_CHOICE_MODE_REQUIRED: "required",
}
_SUBSET_MODES: dict[int, str] = {
    mode: _MODES[mode] for mode in (pb.TOOL_CHOICE_MODE_AUTO, pb.TOOL_CHOICE_MODE_REQUIRED)
}


def decode_tool(tool: pb.Tool) -> Tool:
    """Read one tool. Raises BadField."""
    extra = members("extra_json", tool.extra_json)
    match tool.WhichOneof("tool"):
        case "function":
            return decode_under("function", tool.function, lambda function: _decode_function(function, extra))
        case "raw_json":
            return RawTool(json=json_object("raw_json", tool.raw_json, extra))
        case _:
            raise BadField("", "has no form that this gateway knows")


def _decode_function(function: pb.Function, extra: Extra) -> Tool:
    """Members inside the function have no place in the hub: such a tool is carried in OpenAI's shape as a whole. Only a
    prompt-cache marker, which is written beside the function or in it, is the tool's own."""
    inner = members("extra_json", function.extra_json)
    extra = merge(tuple(member for member in inner if member[0] == _MARKER), extra)
    inner = tuple(member for member in inner if member[0] != _MARKER)
    tool = FunctionTool(
        name=required("name", function.name),
        description=function.description if function.HasField("description") else None,
        parameters=json_value("parameters_json", function.parameters_json)
        if function.HasField("parameters_json")
        else None,
        strict=function.strict if function.HasField("strict") else None,
        extra=extra,
    )
    return RawTool(json=_whole(tool, inner)) if inner else tool


def _whole(tool: FunctionTool, inner: Extra) -> JsonText:
    own: Extra = (
        ("name", quote(tool.name)),
        *member("description", tool.description),
        *(() if tool.parameters is None else (("parameters", tool.parameters),)),
        *member("strict", tool.strict),
    )
    function = JsonText(join(merge(own, inner)))
    return JsonText(join(merge((("type", quote("function")), ("function", function)), tool.extra)))


def decode_tool_choice(choice: pb.ToolChoice) -> ToolChoice | None:
    """Read the rule for calling tools; an unspecified one is none. Raises BadField."""
    match choice.WhichOneof("choice"):
        case "mode" if choice.mode == pb.TOOL_CHOICE_MODE_UNSPECIFIED:
            return None
        case "mode":
            return ToolChoiceMode(mode=_known("mode", choice.mode, _MODES))
        case "function_name":
            return ToolChoiceFunction(name=required("function_name", choice.function_name))
        case "allowed_tools":
            return RawToolChoice(json=decode_under("allowed_tools", choice.allowed_tools, _allowed_tools))
        case "raw_json":
            return RawToolChoice(json=json_value("raw_json", choice.raw_json))
        case _:
            raise BadField("", "has no form that this gateway knows")


def _known(name: str, mode: int, modes: dict[int, str]) -> str:
    word = modes.get(mode)
    if word is None:
        raise BadField(name, f"must be one of {', '.join(modes.values())}")
    return word


def _allowed_tools(allowed: pb.AllowedTools) -> JsonText:
    """Write the subset in OpenAI's shape, which is how the hub carries it."""
    tools = [
        *(join((("type", quote("function")), ("function", _named(name)))) for name in allowed.function_names),
        *decode_each("tools_json", allowed.tools_json, lambda text: json_object("", text)),
    ]
    mode = quote(_known("mode", allowed.mode, _SUBSET_MODES))
    subset = join((("mode", mode), ("tools", JsonText(f"[{','.join(tools)}]"))))
    return JsonText(join((("type", quote("allowed_tools")), ("allowed_tools", JsonText(subset)))))


def _named(name: str) -> JsonText:
    return JsonText(join((("name", quote(name)),)))


def decode_response_format(format_: pb.ResponseFormat) -> ResponseFormat:
    """Read the form that the answer must have. Raises BadField."""
    match format_.WhichOneof("format"):
        case "text":
            return TextFormat()
        case "json_object":
            return JsonObjectFormat()
        case "json_schema":
            return decode_under("json_schema", format_.json_schema, _decode_schema)
        case "raw_json":
            return RawFormat(json=json_object("raw_json", format_.raw_json))
        case _:
            raise BadField("", "has no form that this gateway knows")


def _decode_schema(schema: pb.JsonSchemaFormat) -> JsonSchemaFormat:
    return JsonSchemaFormat(
        name=required("name", schema.name),
        schema=json_value("schema_json", schema.schema_json) if schema.HasField("schema_json") else None,
        description=schema.description if schema.HasField("description") else None,
        strict=schema.strict if schema.HasField("strict") else None,
    )
