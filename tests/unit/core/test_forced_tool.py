"""Structured output by a tool that the model must call: what is asked, and how its answers become text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    Message,
    RawFormat,
    RawTool,
    RawToolChoice,
    ResponseFormat,
    TextFormat,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
    plain_text,
)
from isthmusd.core.forced_tool import INSTRUCTION, ForcedRequest, force, needs_tool
from isthmusd.core.profile import StructuredOutput
from isthmusd.core.request import Loss

OBJECT = JsonText('{"type": "object",  "properties": {"big": {"const": 12345678901234567890123}}}')
PERSON = JsonSchemaFormat(name="person", schema=OBJECT, description="Who.", strict=True)
LOOK_UP = FunctionTool(name="look_up")
NEEDED = ToolChoiceMode(mode="required")


def request(form: ResponseFormat | None = PERSON, *tools: Tool, choice: ToolChoice | None = None) -> ChatRequest:
    messages = (Message(role="user", content=plain_text("hi")),)
    return ChatRequest(model="m", messages=messages, tools=tools, tool_choice=choice, response_format=form)


def forced_tool(forced: ForcedRequest) -> FunctionTool:
    tool = forced.request.tools[-1]
    assert isinstance(tool, FunctionTool)
    return tool


def parameters(schema: Any) -> Any:
    form = JsonSchemaFormat(name="x", schema=JsonText(msgspec.json.encode(schema).decode()))
    return msgspec.json.decode(forced_tool(force(request(form))).parameters or "")


def test_a_schema_becomes_the_one_tool_and_must_be_called() -> None:
    forced = force(request())

    assert forced.request == ChatRequest(
        model="m",
        messages=request().messages,
        tools=(FunctionTool(name="person", description=f"Who.\n\n{INSTRUCTION}", parameters=OBJECT, strict=True),),
        tool_choice=ToolChoiceFunction(name="person"),
    )


def test_a_json_object_becomes_a_tool_with_an_open_schema() -> None:
    forced = force(request(JsonObjectFormat()))

    assert forced.request.tools == (
        FunctionTool(name="answer", description=INSTRUCTION, parameters=JsonText('{"type":"object"}')),
    )
    assert forced_tool(force(request(JsonSchemaFormat(name="x")))).parameters == '{"type":"object"}'


@pytest.mark.parametrize("form", [None, TextFormat(), RawFormat(json=JsonText('{"type":"grammar"}'))])
def test_other_formats_change_nothing(form: ResponseFormat | None) -> None:
    asked = request(form, LOOK_UP)

    forced = force(asked)

    assert forced == ForcedRequest(request=asked, original=asked)
    assert forced.blamed([Loss(field="tools[1]", reason="r")]) == (Loss(field="tools[1]", reason="r"),)


def allowed(mode: str, *names: str) -> RawToolChoice:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    return RawToolChoice(json=JsonText(msgspec.json.encode(choice).decode()))


@pytest.mark.parametrize(
    ("choice", "forced_choice"),
    [
        (None, NEEDED),
        (ToolChoiceMode(mode="auto"), NEEDED),
        (ToolChoiceMode(mode="none"), ToolChoiceFunction(name="person")),
        (allowed("auto", "look_up"), allowed("required", "look_up", "person")),
    ],
)
def test_beside_the_callers_tools_something_must_be_called(
    choice: ToolChoice | None, forced_choice: ToolChoice
) -> None:
    forced = force(request(PERSON, LOOK_UP, choice=choice))

    assert [tool.name for tool in forced.request.tools if isinstance(tool, FunctionTool)] == ["look_up", "person"]
    assert forced.request.tool_choice == forced_choice


@pytest.mark.parametrize(
    "choice",
    [
        NEEDED,
        ToolChoiceFunction(name="look_up"),
        allowed("required", "look_up"),
        RawToolChoice(json=JsonText('{"type":"custom","custom":{"name":"x"}}')),
    ],
)
def test_a_demanded_call_leaves_nothing_to_force(choice: ToolChoice) -> None:
    forced = force(request(PERSON, LOOK_UP, choice=choice))

    assert forced.tool is None
    assert forced.request == request(None, LOOK_UP, choice=choice)


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        (FunctionTool(name="person"), "person_2"),
        (RawTool(json=JsonText('{"type":"function","function":{"name":"person","x":1}}')), "person_2"),
        (RawTool(json=JsonText('{"type":"custom","custom":{"name":"person"}}')), "person_2"),
        (RawTool(json=JsonText('{"type":"bash","name":"person"}')), "person_2"),
        (RawTool(json=JsonText('{"type":"web_search"}')), "person"),
    ],
)
def test_names_do_not_collide_with_the_callers_tools(tool: Tool, name: str) -> None:
    assert forced_tool(force(request(PERSON, tool))).name == name


@pytest.mark.parametrize(
    ("asked", "name"), [("my answer.ü", "my_answer__"), ("", "answer"), ("x" * 70, "x" * 64), ("a-1_B", "a-1_B")]
)
def test_names_are_made_fit_for_functions(asked: str, name: str) -> None:
    assert forced_tool(force(request(JsonSchemaFormat(name=asked)))).name == name


def test_long_names_stay_apart_too() -> None:
    form = JsonSchemaFormat(name="x" * 64)

    name = forced_tool(force(request(form, FunctionTool(name="x" * 64), FunctionTool(name="x" * 62 + "_2")))).name

    assert name == "x" * 62 + "_3"


def test_schemas_of_other_values_are_wrapped() -> None:
    wrapped = {"type": "object", "required": ["value"], "additionalProperties": False}

    assert parameters({"type": "array"}) == wrapped | {"properties": {"value": {"type": "array"}}}
    assert parameters(True) == wrapped | {"properties": {"value": True}}
    assert parameters({"type": ["object", "null"]}) == wrapped | {"properties": {"value": {"type": ["object", "null"]}}}
    assert parameters({"$ref": "#/$defs/a", "$defs": {"a": {}}}) == wrapped | {
        "properties": {"value": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {}},
    }
    assert parameters({"properties": {"a": {}}}) == {"type": "object", "properties": {"a": {}}}


def test_losses_of_the_tool_are_losses_of_the_format() -> None:
    losses = [Loss(field=name, reason="r") for name in ("tools[0].strict", "tools[1].strict", "tool_choice", "seed")]

    fields = [loss.field for loss in force(request(PERSON, LOOK_UP)).blamed(losses)]
    chosen = [loss.field for loss in force(request(PERSON, LOOK_UP, choice=ToolChoiceMode(mode="auto"))).blamed(losses)]

    assert fields == ["tools[0].strict", "response_format", "response_format", "seed"]
    assert chosen == ["tools[0].strict", "response_format", "tool_choice", "seed"]


@settings(max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
)
def test_any_schema_becomes_one_of_objects(schema: Any) -> None:
    assert parameters(schema)["type"] == "object"


OBJECTS, SCHEMAS = JsonObjectFormat(), JsonSchemaFormat(name="thing", schema=JsonText("{}"))


@pytest.mark.parametrize(
    ("means", "form", "alone", "beside_tools"),
    [
        (StructuredOutput.NATIVE, SCHEMAS, False, False),
        (StructuredOutput.TOOL, SCHEMAS, True, True),
        (StructuredOutput.TOOL, OBJECTS, True, True),
        (StructuredOutput.TOOL, None, False, False),
        (StructuredOutput.OBJECTS, OBJECTS, False, False),
        (StructuredOutput.OBJECTS, SCHEMAS, True, True),
        (StructuredOutput.SCHEMAS, OBJECTS, True, True),
        (StructuredOutput.SCHEMAS, SCHEMAS, False, False),
        (StructuredOutput.APART, OBJECTS, False, True),
        (StructuredOutput.APART, SCHEMAS, False, True),
        (StructuredOutput.APART, None, False, False),
    ],
)
def test_when_a_tool_is_needed(
    means: StructuredOutput, form: ResponseFormat | None, alone: bool, beside_tools: bool
) -> None:
    plain = ChatRequest(model="m", messages=(), response_format=form)
    tooled = ChatRequest(model="m", messages=(), response_format=form, tools=(FunctionTool(name="f"),))

    assert (needs_tool(plain, means), needs_tool(tooled, means)) == (alone, beside_tools)
