"""Strict tools: as many as Anthropic takes in one request."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import JsonText
from isthmusd.dialects.anthropic.strictness import StrictBudget

from tests.unit.dialects_anthropic.sent import Sent, ask

LOOSE = {"type": ["string", "null"]}


def strict(*schemas: Any) -> Sent:
    tools = [
        {"type": "function", "function": {"name": f"f{place}", "parameters": schema, "strict": True}}
        for place, schema in enumerate(schemas)
    ]
    return ask(tools=tools)


def held(sent: Sent) -> list[bool]:
    return [tool.get("strict", False) for tool in sent.body["tools"]]


def of(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def test_strict_tools_beyond_the_limit_are_sent_as_they_are() -> None:
    open_schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 3}}}

    sent = strict(*[of({})] * 20, open_schema)

    assert held(sent) == [True] * 20 + [False]
    assert sent.body["tools"][20]["input_schema"] == open_schema
    assert sent.losses == ["tools[20].function.strict"]


@pytest.mark.parametrize(
    "schema",
    [
        of({f"p{number}": {"type": "string"} for number in range(25)}),
        {"type": "object", "properties": {f"p{number}": {} for number in range(25)}},
        of({"list": {"type": "array", "items": of({f"p{number}": {} for number in range(25)})}}, "list"),
        of({f"p{number}": LOOSE for number in range(17)}, *[f"p{number}" for number in range(17)]),
        of({f"p{number}": {"anyOf": [{}, {}]} for number in range(17)}, *[f"p{number}" for number in range(17)]),
    ],
)
def test_schema_that_is_too_loose_leaves_room_for_others(schema: Any) -> None:
    sent = strict(schema, of({"a": LOOSE}))

    assert held(sent) == [False, True]
    assert sent.losses == ["tools[0].function.strict"]


def test_schemas_within_the_limits_are_held_to() -> None:
    exactly = of({f"p{number}": LOOSE for number in range(16)})

    assert held(strict(exactly, of({"a": {"type": "string"}}))) == [True, True]


def test_strict_tool_without_parameters_is_closed() -> None:
    sent = strict(None)

    assert sent.body["tools"][0]["input_schema"] == {"type": "object", "properties": {}, "additionalProperties": False}
    assert sent.losses == []


@pytest.mark.parametrize("schema", ['{"not":' * 3000 + "{}" + "}" * 3000, "{", "true"])
def test_what_cannot_be_read_is_for_the_provider_to_judge(schema: str) -> None:
    assert StrictBudget(optional=0, unions=0).spend(JsonText(schema))
