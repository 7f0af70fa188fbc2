"""Tools and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import (
    FunctionTool,
    JsonText,
    RawTool,
    RawToolChoice,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)

from tests.unit.dialects_cohere.wire import NO_FIELD, asked

LOOK = FunctionTool(name="look", description="Looks.", parameters=JsonText('{"type":"object","properties":{"q":{}}}'))
ADD = FunctionTool(name="add")


def function(name: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {}}} | members,
    }


LOOKS = function("look", description="Looks.", parameters={"type": "object", "properties": {"q": {}}})


def raw(value: Any) -> JsonText:
    return JsonText(msgspec.json.encode(value).decode())


def test_functions_are_declared() -> None:
    assert asked(tools=(LOOK, ADD)) == ({"tools": [LOOKS, function("add")]}, {})


def test_members_that_it_does_not_know_are_lost_and_never_sent() -> None:
    marked = FunctionTool(name="add", extra=(("cache_control", JsonText('{"type":"ephemeral"}')),))
    odd = RawTool(json=raw({"type": "function", "function": {"name": "odd", "strict": True, "examples": [1]}}))

    assert asked(tools=(marked, odd, RawTool(json=raw({"type": "web_search"})))) == (
        {"tools": [function("add"), function("odd")]},
        {
            "tools[0].cache_control": NO_FIELD,
            "tools[1].function.examples": NO_FIELD,
            "tools[1].function.strict": "Cohere is strict with all tools or none, and others demand no parameter",
            "tools[2]": "Cohere has functions only",
        },
    )


def test_strictness_is_for_all_tools() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    strict = FunctionTool(name="add", strict=True, parameters=raw(schema))
    loose = replace(strict, name="loose", strict=None)
    odd = RawTool(json=raw({"type": "function", "function": {"name": "odd", "strict": True, "parameters": schema}}))
    bare = FunctionTool(name="bare", strict=True)

    assert asked(tools=(strict, odd))[0]["strict_tools"] is True
    mixed, lost = asked(tools=(loose, strict))
    assert "strict_tools" not in mixed
    assert lost == {"tools[1].function.strict": "Cohere is strict with all tools or none, and others are not"}
    demanding, lost = asked(tools=(strict, bare))
    assert "strict_tools" not in demanding
    assert list(lost) == ["tools[0].function.strict", "tools[1].function.strict"]


def allowed(mode: str, *names: str) -> RawToolChoice:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return RawToolChoice(json=raw({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}))


HIDDEN = {"tools": "Cohere cannot be held to some of the tools: the others were not sent"}


@pytest.mark.parametrize(
    ("choice", "names", "word", "losses"),
    [
        (ToolChoiceMode(mode="auto"), ["look", "add"], None, {}),
        (ToolChoiceMode(mode="none"), ["look", "add"], "NONE", {}),
        (ToolChoiceMode(mode="required"), ["look", "add"], "REQUIRED", {}),
        (ToolChoiceMode(mode="any"), ["look", "add"], None, {"tool_choice": "Cohere has no such choice"}),
        (ToolChoiceFunction(name="add"), ["add"], "REQUIRED", HIDDEN),
        (
            ToolChoiceFunction(name="gone"),
            ["look", "add"],
            "REQUIRED",
            {"tool_choice": "there is no such tool: any of them is required"},
        ),
        (allowed("auto", "look"), ["look"], None, HIDDEN),
        (allowed("required", "look", "add"), ["look", "add"], "REQUIRED", {}),
        (
            RawToolChoice(json=raw({"type": "custom", "custom": {"name": "x"}})),
            ["look", "add"],
            None,
            {"tool_choice": "Cohere has no such choice"},
        ),
    ],
)
def test_choices(choice: ToolChoice, names: list[str], word: str | None, losses: dict[str, str]) -> None:
    body, lost = asked(tools=(LOOK, ADD), tool_choice=choice)

    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == word
    assert lost == losses


def test_the_only_tool_can_be_demanded_by_name() -> None:
    body, losses = asked(tools=(ADD,), tool_choice=ToolChoiceFunction(name="add"))

    assert body == {"tools": [function("add")], "tool_choice": "REQUIRED"}
    assert losses == {}


def test_tools_of_other_makes_are_not_mistaken_for_functions() -> None:
    search = RawTool(json=raw({"type": "web_search"}))

    body, losses = asked(tools=(search, ADD), tool_choice=ToolChoiceFunction(name="add"))

    assert body["tools"] == [function("add")]
    assert losses == HIDDEN


def test_choices_without_tools() -> None:
    assert asked(tool_choice=ToolChoiceMode(mode="none")) == ({}, {})
    assert asked(tool_choice=ToolChoiceMode(mode="required")) == ({}, {"tool_choice": "there is no tool to choose"})
