"""Tools, the choice among them, and the form of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.chat import ChatRequest, FunctionTool, JsonSchemaFormat, JsonText, RawFormat, RawTool, RawToolChoice
from isthmusd.core.profile import StructuredOutput
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED

from tests.unit.dialects_anthropic.sent import BUDGET, HI, LEVEL, Sent, ask, send

BY_TOOL = replace(BUDGET, structured_output=StructuredOutput.TOOL)
EMPTY = {"type": "object", "properties": {}}


def function(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **members}}


def tooled(*tools: dict[str, Any], **members: Any) -> Sent:
    return ask(tools=list(tools), **members)


def test_functions() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    marked = function("g", parameters=schema) | {"cache_control": {"type": "ephemeral"}, "x": 1}

    sent = tooled(function(description="D", strict=False), marked)

    assert sent.body["tools"] == [
        {"name": "f", "description": "D", "input_schema": EMPTY},
        {"name": "g", "input_schema": schema, "cache_control": {"type": "ephemeral"}},
    ]
    assert sent.losses == ["tools[1].x"]


@pytest.mark.parametrize(
    ("parameters", "sent_as", "losses"),
    [
        ('{"type":"object", "b":1.0,"a":12345678901234567890123}', None, []),
        ("{}", '{"type":"object"}', []),
        ('{ "properties": {}}', '{"type":"object","properties": {}}', []),
        ("null", '{"type":"object","properties":{}}', []),
        ("true", '{"type":"object","properties":{}}', ["tools[0].function.parameters"]),
    ],
)
def test_schemas_pass_as_they_were_written_but_for_their_type(
    parameters: str, sent_as: str | None, losses: list[str]
) -> None:
    tool = FunctionTool(name="f", parameters=JsonText(parameters))

    sent = send(ChatRequest(model="m", messages=(HI,), tools=(tool,)))

    assert f'"input_schema":{sent_as or parameters}' in sent.text
    assert sent.losses == losses


def test_strict_function_is_held_to_a_schema_that_anthropic_can_hold_it_to() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}

    native = tooled(function(parameters=schema, strict=True))
    by_tool = tooled(function(parameters=schema, strict=True), profile=BY_TOOL)

    assert native.body["tools"] == [
        {
            "name": "f",
            "strict": True,
            "input_schema": {
                "type": "object",
                "properties": {"a": {"type": "integer"}},
                "additionalProperties": False,
            },
        }
    ]
    assert native.losses == ["tools[0].function.parameters.properties.a.minimum"]
    assert by_tool.body["tools"] == [{"name": "f", "input_schema": schema}]
    assert by_tool.losses == ["tools[0].function.strict"]


@pytest.mark.parametrize(
    ("tool", "beta"),
    [
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, None),
        (
            {"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1},
            "computer-use-2025-01-24",
        ),
        ({"type": "mcp_toolset", "mcp_server_name": "n"}, "mcp-client-2025-11-20"),
        ({"type": "custom", "name": "f", "input_schema": EMPTY}, None),
    ],
)
def test_tools_of_anthropic_pass(tool: dict[str, Any], beta: str | None) -> None:
    sent = tooled(tool)

    assert sent.body["tools"] == [tool]
    assert sent.headers.get("anthropic-beta") == beta
    assert sent.losses == []


def test_function_with_members_of_anthropic_inside() -> None:
    sent = tooled(function(cache_control={"type": "ephemeral"}, parameters={"type": "object"}, x=1))

    assert sent.body["tools"] == [
        {"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    ]
    assert sent.losses == ["tools[0].x"]


@pytest.mark.parametrize(
    "tool",
    [
        '{"type":"web_search_preview"}',
        '{"type":"custom","custom":{"name":"f"}}',
        '{"type":"function","function":{"x":1}}',
        "[]",
    ],
)
def test_tools_of_others_are_lost(tool: str) -> None:
    sent = send(ChatRequest(model="m", messages=(HI,), tools=(RawTool(json=JsonText(tool)),)))

    assert "tools" not in sent.body
    assert sent.losses == ["tools[0]"]


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [function(name) for name in names]}}


@pytest.mark.parametrize(
    ("choice", "native", "names"),
    [
        ("auto", {"type": "auto"}, "fg"),
        ("none", {"type": "none"}, "fg"),
        ("required", {"type": "any"}, "fg"),
        (function("g"), {"type": "tool", "name": "g"}, "fg"),
        (allowed("auto", "g"), {"type": "auto"}, "g"),
        (allowed("required", "f", "g"), {"type": "any"}, "fg"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"name": "f"}]}, {"type": "any"}, "f"),
        ({"type": "tool", "name": "f"}, {"type": "tool", "name": "f"}, "fg"),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"type": "any", "disable_parallel_tool_use": True},
            "fg",
        ),
        (None, None, "fg"),
    ],
)
def test_choices(choice: Any, native: Any, names: str) -> None:
    sent = tooled(function("f"), function("g"), tool_choice=choice)

    assert sent.body.get("tool_choice") == native
    assert "".join(tool["name"] for tool in sent.body["tools"]) == names
    assert sent.losses == []


@pytest.mark.parametrize("choice", ["odd", {"type": "custom", "custom": {"name": "f"}}])
def test_choice_that_anthropic_lacks_is_lost(choice: Any) -> None:
    sent = tooled(function(), tool_choice=choice)

    assert "tool_choice" not in sent.body
    assert sent.losses == ["tool_choice"]


def test_choice_that_is_no_object_is_lost() -> None:
    request = ChatRequest(
        model="m",
        messages=(HI,),
        tools=(FunctionTool(name="f"),),
        tool_choice=RawToolChoice(json=JsonText("[]")),
    )

    assert send(request).losses == ["tool_choice"]


@pytest.mark.parametrize(
    ("choice", "native"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
    ],
)
def test_one_call_at_a_time(choice: str | None, native: dict[str, Any]) -> None:
    sent = tooled(function(), tool_choice=choice, parallel_tool_calls=False)

    assert sent.body["tool_choice"] == native
    assert sent.losses == []


@pytest.mark.parametrize("profile", [BUDGET, LEVEL])
def test_thinking_model_cannot_be_forced(profile: Any) -> None:
    sent = tooled(function(), tool_choice="required", reasoning_effort="low", profile=profile)

    assert sent.body["tool_choice"] == {"type": "auto"}
    assert sent.body["thinking"]["type"] in ("enabled", "adaptive")
    assert sent.losses == ["tool_choice"]


def test_some_models_cannot_be_forced_at_all() -> None:
    unforced = replace(LEVEL, refuses=frozenset({"tool_choice"}))

    sent = tooled(function(), tool_choice="required", profile=unforced)

    assert sent.body["tool_choice"] == {"type": "auto"}
    assert sent.losses == ["tool_choice"]


def formed(schema: Any, **members: Any) -> Sent:
    inner = {"name": "n", "schema": schema, **members}
    return ask(response_format={"type": "json_schema", "json_schema": inner})


PLAIN = {
    "type": "object",
    "properties": {
        "when": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/d"}]}},
        "minimum": {"enum": [{"minimum": 1}]},
    },
    "required": ["when"],
    "additionalProperties": False,
    "$defs": {"d": {"type": "number", "default": 1.50}},
}


def test_schema_passes() -> None:
    sent = formed(PLAIN, strict=True)

    assert sent.body["output_config"] == {"format": {"type": "json_schema", "schema": PLAIN}}
    assert "anthropic-beta" not in sent.headers
    assert sent.losses == []


def test_schema_without_need_of_change_passes_as_it_was_written() -> None:
    text = '{"type":"array", "items":{"const":12345678901234567890123}}'
    form = JsonSchemaFormat(name="n", schema=JsonText(text))

    sent = send(ChatRequest(model="m", messages=(HI,), response_format=form))

    assert f'"schema":{text}' in sent.text


def test_keywords_that_anthropic_refuses_are_taken_out() -> None:
    where = "response_format.json_schema.schema"

    sent = formed(
        {
            "type": "object",
            "properties": {
                "a": {"type": "string", "minLength": 1, "format": "regex"},
                "b": {"type": "array", "minItems": 2, "items": {"type": "integer", "maximum": 5}},
                "c": {"oneOf": [{"type": "integer", "multipleOf": 2}, True]},
                "d": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "additionalProperties": False,
        },
        description="D",
    )

    assert sent.body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"anyOf": [{"type": "integer"}, True]},
            "d": {"type": "object", "additionalProperties": False},
        },
        "additionalProperties": False,
    }
    assert sent.losses == [
        "response_format.json_schema.description",
        f"{where}.properties.a.minLength",
        f"{where}.properties.a.format",
        f"{where}.properties.b.minItems",
        f"{where}.properties.b.items.maximum",
        f"{where}.properties.c.oneOf",
        f"{where}.properties.c.oneOf[0].multipleOf",
        f"{where}.properties.d.additionalProperties",
    ]


def test_open_object_is_closed() -> None:
    sent = formed({"properties": {"a": {"type": "string"}}})

    assert sent.body["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert sent.losses == []


def test_object_that_may_be_null_is_closed_too() -> None:
    schema = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}

    sent = formed(schema)

    assert sent.body["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert sent.losses == ["response_format.json_schema.schema.additionalProperties"]


def test_schema_of_absurd_depth_passes_for_the_provider_to_judge() -> None:
    deep = JsonText("[" * 3000 + "]" * 3000)
    request = ChatRequest(model="m", messages=(HI,), response_format=JsonSchemaFormat(name="n", schema=deep))

    encoded = CALLED[Operation.CHAT].encode_request(request, "claude-x", BUDGET)

    assert deep.encode() in encoded.body
    assert encoded.losses == ()


@pytest.mark.parametrize(
    ("form", "profile"),
    [
        ({"type": "json_object"}, BUDGET),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, BUDGET),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}, BY_TOOL),
        ({"type": "grammar"}, BUDGET),
    ],
)
def test_forms_that_a_model_cannot_be_held_to_are_lost(form: dict[str, Any], profile: Any) -> None:
    sent = ask(profile, response_format=form)

    assert "output_config" not in sent.body
    assert sent.losses == ["response_format"]


def test_forms_of_anthropic_pass() -> None:
    native = {"type": "json_schema", "schema": {"type": "object"}}

    assert ask(response_format=native).body["output_config"] == {"format": native}
    assert ask(output_format=native).body["output_config"] == {"format": native}
    assert ask(output_config={"effort": "low", "format": native}).body["output_config"] == {
        "effort": "low",
        "format": native,
    }


def test_form_that_is_no_object_is_lost() -> None:
    request = ChatRequest(model="m", messages=(HI,), response_format=RawFormat(json=JsonText("[]")))

    assert send(request).losses == ["response_format"]
