"""Structured output for targets that have no field for it: the schema becomes a tool that the model must call, and the
arguments of that call become the text of the answer. Which targets need this is their profile's to say; no wire format
is known here, and whether the text is valid JSON is not checked.

What callers see of it:
- The text is exactly the arguments. Whatever else the model wrote as text beside the call is dropped: a reader of JSON
  could do nothing with it. Thinking and refusals stay, and so does the text of an answer that holds no such call.
- With tools of the caller's own the model must call something: one of them, or the schema's tool to answer. Calls of
  both kinds in one turn are kept: text and tool calls, finish reason `tool_calls`.
- A choice that demands a call of the caller's tools (`required`, a function, allowed tools under `required`) leaves no
  room for text, so there is nothing to force. Under `none` they stay declared, but only the schema's can be called.
- A schema whose values are no objects is wrapped into one, since arguments are objects; the text has the bare value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import msgspec

from isthmusd.core.chat import (
    ChatRequest,
    ChatResponse,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    RawTool,
    RawToolChoice,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.events import Event
from isthmusd.core.profile import StructuredOutput
from isthmusd.core.request import Loss
from isthmusd.core.schema_answer import SchemaAnswers, SchemaTool, restore

MAX_NAME = 64
"""https://platform.openai.com/docs/api-reference/chat/create: names of functions."""
DEFAULT_NAME = "answer"
WRAPPED = "value"
OPEN_SCHEMA = JsonText('{"type":"object"}')
INSTRUCTION = "Call this function to give the final answer: its arguments are the answer."

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_OF_ROOT = ("$schema", "$defs", "definitions")
"""What wrapping must leave at the root: references start there."""

Members = dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForcedRequest:
    """A request without a response format that needs the target's help."""

    request: ChatRequest
    tool: SchemaTool | None = None
    """None: nothing was forced, and answers are left as they are."""
    original: ChatRequest

    def restore(self, response: ChatResponse) -> ChatResponse:
        """Turn the call of the schema's tool in a whole answer into text."""
        return response if self.tool is None else restore(response, self.tool)

    def mapper(self) -> Callable[[Sequence[Event]], list[Event]]:
        """Give what does the same to the events of one stream."""
        return list if self.tool is None else SchemaAnswers(self.tool).feed

    def blamed(self, losses: Sequence[Loss]) -> tuple[Loss, ...]:
        """Name losses of what was put in by the field that the caller wrote."""
        ours = f"tools[{len(self.original.tools)}]"

        def is_ours(loss: Loss) -> bool:
            return loss.field.startswith(ours) or (loss.field == "tool_choice" and self.original.tool_choice is None)

        if self.tool is None:
            return tuple(losses)
        return tuple(replace(loss, field="response_format") if is_ours(loss) else loss for loss in losses)


def needs_tool(request: ChatRequest, means: StructuredOutput) -> bool:
    """Tell whether a target with these means holds the model to the request's format by a tool."""
    match means, request.response_format:
        case StructuredOutput.TOOL, JsonSchemaFormat() | JsonObjectFormat():
            return True
        case StructuredOutput.OBJECTS, JsonSchemaFormat():
            return True
        case StructuredOutput.SCHEMAS, JsonObjectFormat():
            return True
        case StructuredOutput.APART, JsonSchemaFormat() | JsonObjectFormat():
            return bool(request.tools)
        case _:
            return False


def force(request: ChatRequest) -> ForcedRequest:
    """Replace the response format of a request by a tool; without one that asks for JSON nothing changes."""
    match request.response_format:
        case JsonSchemaFormat() as form:
            schema, wraps = _object_schema(form.schema)
            name, description, strict = form.name, form.description, form.strict
        case JsonObjectFormat():
            schema, wraps = OPEN_SCHEMA, False
            name, description, strict = "", None, None
        case _:
            return ForcedRequest(request=request, original=request)
    name = _free_name(name, request.tools)
    choice = _choice(request, name)
    if choice is None:
        return ForcedRequest(request=replace(request, response_format=None), original=request)
    tool = FunctionTool(
        name=name,
        description=f"{description}\n\n{INSTRUCTION}" if description else INSTRUCTION,
        parameters=schema,
        strict=strict,
    )
    forced = replace(request, response_format=None, tools=(*request.tools, tool), tool_choice=choice)
    return ForcedRequest(request=forced, tool=SchemaTool(name=name, wraps=WRAPPED if wraps else None), original=request)


def _choice(request: ChatRequest, name: str) -> ToolChoice | None:
    """Choose so that the model calls something; None if the caller's own choice already demands a call."""
    if not request.tools:
        return ToolChoiceFunction(name=name)
    match request.tool_choice:
        case ToolChoiceMode(mode="none"):
            return ToolChoiceFunction(name=name)
        case ToolChoiceMode(mode="required") | ToolChoiceFunction():
            return None
        case RawToolChoice(json=json):
            return _with_allowed(json, name)
        case _:
            return ToolChoiceMode(mode="required")


def _with_allowed(json: JsonText, name: str) -> ToolChoice | None:
    """Let the model choose the schema's tool besides those that it is allowed
    (https://platform.openai.com/docs/guides/function-calling#tool-choice); of other choices nothing is known but that
    they demand a call."""
    match msgspec.json.decode(json):
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [*allowed]}}:
            tools = [*allowed, {"type": "function", "function": {"name": name}}]
            members = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}}
            return RawToolChoice(json=_written(members))
        case _:
            return None


def _free_name(name: str, tools: tuple[Tool, ...]) -> str:
    wanted = _NO_NAME.sub("_", name)[:MAX_NAME] or DEFAULT_NAME
    taken = {taken for tool in tools for taken in _names(tool)}
    numbered = (f"{wanted[: MAX_NAME - len(str(number)) - 1]}_{number}" for number in count(2))
    return wanted if wanted not in taken else next(name for name in numbered if name not in taken)


def _names(tool: Tool) -> Iterator[str]:
    match tool:
        case FunctionTool(name=name):
            yield name
        case RawTool(json=json):
            found: Any = msgspec.json.decode(json)
            match found:
                case {"name": str(name)}:
                    yield name
                case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:
                    yield name
                case _:
                    pass


def _object_schema(schema: JsonText | None) -> tuple[JsonText, bool]:
    """Give a schema of objects, and whether it wraps the one that was asked for."""
    if schema is None:
        return OPEN_SCHEMA, False
    try:
        members = msgspec.json.decode(schema, type=Members)
    except msgspec.ValidationError:
        # `true` and `false` are schemas too.
        return _wrapping(msgspec.Raw(schema), {}), True
    match msgspec.json.decode(members["type"]) if "type" in members else None:
        case "object":
            return schema, False
        case None if "properties" in members:
            return _written({"type": "object", **members}), False
        case _:
            kept = {name: members.pop(name) for name in _OF_ROOT if name in members}
            return _wrapping(members, kept), True


def _wrapping(inner: Members | msgspec.Raw, definitions: Members) -> JsonText:
    wrapper = {
        "type": "object",
        "properties": {WRAPPED: inner},
        "required": [WRAPPED],
        "additionalProperties": False,
    }
    return _written(wrapper | definitions)


def _written(value: object) -> JsonText:
    return JsonText(msgspec.json.encode(value).decode())
