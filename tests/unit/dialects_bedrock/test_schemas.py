"""Schemas of tools: what Converse and the models behind it refuse at their top."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import FunctionTool, JsonText

from tests.unit.dialects_bedrock.requests import CLAUDE, NOVA, sent

PATH = "tools[0].function.parameters"
X, Y = {"type": "integer"}, {"type": "string"}


def written(schema: object, model: str = CLAUDE) -> tuple[Any, list[str]]:
    tool = FunctionTool(name="f", parameters=JsonText(msgspec.json.encode(schema).decode()))
    made = sent(tools=(tool,), model=model)
    return made.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"], list(made.losses)


@pytest.mark.parametrize(
    ("schema", "sent_as", "lost"),
    [
        ({"properties": {"x": X}}, {"type": "object", "properties": {"x": X}}, []),
        ({"type": ["object", "null"], "title": "t"}, {"type": "object", "title": "t"}, [f"{PATH}.type"]),
        ({"type": "string"}, {"type": "object", "properties": {}}, [PATH]),
        ([1], {"type": "object", "properties": {}}, [PATH]),
    ],
)
def test_the_top_is_an_object(schema: object, sent_as: object, lost: list[str]) -> None:
    assert written(schema) == (sent_as, lost)


def test_alternatives_at_the_top_are_merged_for_claude() -> None:
    schema = {
        "type": "object",
        "properties": {"a": X},
        "required": ["a"],
        "anyOf": [
            {"properties": {"b": Y, "a": Y}, "required": ["b", "c"]},
            {"$ref": "#/$defs/two"},
        ],
        "$defs": {"two": {"properties": {"c": X}, "required": ["c"]}},
        "additionalProperties": False,
    }

    made, lost = written(schema)

    assert made == {
        "type": "object",
        "properties": {"a": X, "b": Y, "c": X},
        "required": ["a", "c"],
        "$defs": schema["$defs"],
        "additionalProperties": False,
    }
    assert lost == [f"{PATH}.anyOf"]
    assert written(schema, NOVA) == (schema, [])


def test_all_of_several_demands_what_each_does() -> None:
    branches = [{"properties": {"a": X}, "required": ["a"]}, {"properties": {"b": X}, "required": ["b", 1]}]

    assert written({"allOf": branches}) == (
        {"type": "object", "properties": {"a": X, "b": X}, "required": ["a", "b"]},
        [f"{PATH}.allOf"],
    )


@pytest.mark.parametrize(
    "branches",
    [[], "x", [True, 1], [{"$ref": "#/$defs/lost"}], [{"$ref": "elsewhere"}], [{"properties": 1, "required": 2}]],
)
def test_odd_alternatives_say_nothing(branches: object) -> None:
    assert written({"type": "object", "oneOf": branches})[0] == {"type": "object", "properties": {}}


def test_alternatives_that_go_round_in_circles_end() -> None:
    schema = {
        "anyOf": [{"$ref": "#/definitions/a"}],
        "definitions": {"a": {"properties": {"x": X}, "anyOf": [{"$ref": "#/definitions/a"}]}},
    }

    made, _ = written(schema)

    assert made["properties"] == {"x": X}


def test_a_schema_too_deep_to_read_is_lost() -> None:
    deep = '{"anyOf":' + "[" * 100_000 + "]" * 100_000 + "}"

    made = sent(tools=(FunctionTool(name="f", parameters=JsonText(deep)),))

    assert made.losses.keys() == {PATH}


def test_many_alternatives_that_name_each_other_are_each_read_once() -> None:
    names = [f"n{number}" for number in range(60)]
    branches = [{"$ref": f"#/$defs/{name}"} for name in names]
    definitions = {name: {"properties": {name: X}, "anyOf": branches} for name in names}

    made, _ = written({"anyOf": branches, "$defs": definitions})

    assert sorted(made["properties"]) == sorted(names)


def test_branches_within_branches_are_read_to_a_depth() -> None:
    nested: dict[str, Any] = {"properties": {"deep": X}}
    for _ in range(20):
        nested = {"anyOf": [nested], "properties": {"x": X}}

    assert written(nested)[0]["properties"] == {"x": X}
