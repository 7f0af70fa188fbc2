"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    JsonText,
    Message,
    RawTool,
    RawToolChoice,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMode,
)
from isthmusd.core.profile import Profile, StructuredOutput

from tests.unit.dialects_bedrock.requests import CHAT, CLAUDE, LLAMA, NOVA, said, sent, user

EMPTY = {"type": "object", "properties": {}}
F, G = FunctionTool(name="f"), FunctionTool(name="g")
HISTORY = (
    user("hi"),
    Message(role="assistant", tool_calls=(ToolCall(id="a", name="old", arguments="{}"),)),
    said("tool", "1", tool_call_id="a"),
)


def spec(name: str, **more: Any) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "inputSchema": {"json": EMPTY}, **more}}


def raw_choice(json: str) -> ToolChoice:
    return RawToolChoice(json=JsonText(json))


def test_functions_are_specs_and_their_schemas_pass_as_text() -> None:
    schema = JsonText('{"type":"object","z":1,"a":{"maximum":1.50,"minimum":12345678901234567890}}')
    tool = FunctionTool(name="f", description="d", parameters=schema, strict=True)

    encoded = CHAT.encode_request(_request(tool), CLAUDE, Profile())

    written = f'{{"toolSpec":{{"name":"f","description":"d","inputSchema":{{"json":{schema}}},"strict":true}}}}'
    assert written.encode() in encoded.body
    assert encoded.losses == ()


def _request(tool: Tool) -> Any:
    return ChatRequest(model="m", messages=(user("hi"),), tools=(tool,))


def test_a_function_may_say_little() -> None:
    tools = (FunctionTool(name="f", description=" ", strict=False), FunctionTool(name="g", parameters=JsonText("{}")))

    config = sent(tools=tools).body["toolConfig"]

    assert config == {"tools": [spec("f"), {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object"}}}}]}


def test_a_schema_that_is_no_object_s_is_lost() -> None:
    odd = sent(tools=(FunctionTool(name="f", parameters=JsonText("true")),))

    assert odd.body["toolConfig"] == {"tools": [spec("f")]}
    assert list(odd.losses) == ["tools[0].function.parameters"]


def test_strict_is_lost_where_models_are_not_held_to_schemas() -> None:
    lax = sent(tools=(FunctionTool(name="f", strict=True),), profile=Profile(structured_output=StructuredOutput.TOOL))

    assert lax.body["toolConfig"] == {"tools": [spec("f")]}
    assert list(lax.losses) == ["tools[0].function.strict"]


def test_tools_may_be_marked_for_the_cache_and_other_members_are_lost() -> None:
    extra = (("cache_control", JsonText('{"type":"ephemeral","ttl":"2h"}')), ("x", JsonText("1")))

    marked = sent(tools=(FunctionTool(name="f", extra=extra), G))

    assert marked.body["toolConfig"]["tools"] == [spec("f"), {"cachePoint": {"type": "default"}}, spec("g")]
    assert list(marked.losses) == ["tools[0].x"]


def test_tools_in_bedrock_s_own_form_pass_and_others_are_lost() -> None:
    native = RawTool(json=JsonText('{"type":"systemTool","systemTool":{"name":"nova_grounding"}}'))
    foreign = RawTool(json=JsonText('{"type":"web_search"}'))

    body = sent(tools=(native, foreign), model=NOVA)

    assert body.body["toolConfig"] == {"tools": [{"systemTool": {"name": "nova_grounding"}}]}
    assert body.losses == {"tools[1]": "Bedrock has no such tool"}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, {}),
        (ToolChoiceMode(mode="auto"), {"toolChoice": {"auto": {}}}),
        (ToolChoiceMode(mode="required"), {"toolChoice": {"any": {}}}),
        (ToolChoiceFunction(name="g"), {"toolChoice": {"tool": {"name": "g"}}}),
        (raw_choice('{"any":{}}'), {"toolChoice": {"any": {}}}),
        (raw_choice('{"auto":{}}'), {"toolChoice": {"auto": {}}}),
        (raw_choice('{"tool":{"name":"g"}}'), {"toolChoice": {"tool": {"name": "g"}}}),
        (raw_choice('{"type":"any"}'), {"toolChoice": {"any": {}}}),
        (raw_choice('{"type":"tool","name":"g"}'), {"toolChoice": {"tool": {"name": "g"}}}),
    ],
)
def test_choices(choice: ToolChoice | None, written: dict[str, Any]) -> None:
    chosen = sent(tools=(F, G), tool_choice=choice)

    assert chosen.body["toolConfig"] == {"tools": [spec("f"), spec("g")], **written}
    assert chosen.losses == {}


@pytest.mark.parametrize("choice", [ToolChoiceMode(mode="sometimes"), raw_choice('{"type":"x"}'), raw_choice("[]")])
def test_unknown_choices_are_lost(choice: ToolChoice) -> None:
    assert list(sent(tools=(F,), tool_choice=choice).losses) == ["tool_choice"]


def test_allowed_tools_are_the_only_ones_offered() -> None:
    allowed = raw_choice(
        '{"type":"allowed_tools","allowed_tools":{"mode":"required",'
        '"tools":[{"type":"function","function":{"name":"g"}},{"type":"mcp"}]}}'
    )

    chosen = sent(tools=(F, G), tool_choice=allowed)

    assert chosen.body["toolConfig"] == {"tools": [spec("g")], "toolChoice": {"any": {}}}
    assert chosen.losses == {}


def test_without_a_choice_there_are_no_tools() -> None:
    none = sent(tools=(F,), tool_choice=ToolChoiceMode(mode="none"))

    assert "toolConfig" not in none.body
    assert none.losses == {}


def test_tools_stay_declared_where_the_history_holds_calls() -> None:
    none = sent(*HISTORY, tools=(F,), tool_choice=ToolChoiceMode(mode="none"))

    assert none.body["toolConfig"] == {"tools": [spec("f")]}
    assert list(none.losses) == ["tool_choice"]


def test_calls_of_the_history_are_declared_where_the_request_has_no_tools() -> None:
    bare = sent(*HISTORY)

    assert bare.body["toolConfig"] == {"tools": [spec("old")]}
    assert list(bare.losses) == ["tools"]


def test_a_result_without_its_call_is_declared_too() -> None:
    assert sent(HISTORY[0], HISTORY[2]).body["toolConfig"] == {"tools": [spec("unnamed")]}


@pytest.mark.parametrize(("mode", "lost"), [("auto", []), ("required", ["tool_choice"]), ("none", [])])
def test_a_choice_without_tools(mode: str, lost: list[str]) -> None:
    empty = sent(tool_choice=ToolChoiceMode(mode=mode))

    assert "toolConfig" not in empty.body
    assert list(empty.losses) == lost


@pytest.mark.parametrize(("mode", "lost"), [("auto", []), ("required", ["tool_choice"])])
def test_models_that_take_no_choice_get_none(mode: str, lost: list[str]) -> None:
    free = sent(tools=(F,), tool_choice=ToolChoiceMode(mode=mode), model=LLAMA)

    assert free.body["toolConfig"] == {"tools": [spec("f")]}
    assert list(free.losses) == lost


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, {"type": "auto"}),
        (ToolChoiceMode(mode="required"), {"type": "any"}),
        (ToolChoiceFunction(name="f"), {"type": "tool", "name": "f"}),
    ],
)
def test_claude_calls_one_tool_at_a_time_if_told(choice: ToolChoice | None, written: dict[str, str]) -> None:
    serial = sent(tools=(F,), tool_choice=choice, parallel_tool_calls=False)

    assert serial.body["toolConfig"] == {"tools": [spec("f")]}
    assert serial.body["additionalModelRequestFields"] == {
        "tool_choice": {**written, "disable_parallel_tool_use": True}
    }
    assert serial.losses == {}


def test_other_models_cannot_be_told_so() -> None:
    assert list(sent(tools=(F,), parallel_tool_calls=False, model=NOVA).losses) == ["parallel_tool_calls"]


MISTRAL, DEEPSEEK = "mistral.mistral-large-2407-v1:0", "us.deepseek.v3-v1:0"


@pytest.mark.parametrize("model", [MISTRAL, DEEPSEEK])
def test_a_model_that_takes_no_name_gets_the_named_tool_only(model: str) -> None:
    config = sent(tools=(F, G), tool_choice=ToolChoiceFunction(name="g"), model=model)

    assert config.body["toolConfig"] == {"tools": [spec("g")], "toolChoice": {"any": {}}}
    assert config.losses == {}


def test_a_model_that_cannot_be_made_to_call_is_left_to_choose() -> None:
    profile = Profile(refuses=frozenset({"tool_choice"}))

    forced = sent(tools=(F,), tool_choice=ToolChoiceMode(mode="required"), profile=profile)
    free = sent(tools=(F,), tool_choice=ToolChoiceMode(mode="auto"), profile=profile)

    assert forced.body["toolConfig"]["toolChoice"] == free.body["toolConfig"]["toolChoice"] == {"auto": {}}
    assert (list(forced.losses), free.losses) == (["tool_choice"], {})


def test_tools_are_marked_for_the_cache_of_claude_only() -> None:
    marked = FunctionTool(name="f", extra=(("cache_control", JsonText('{"type":"ephemeral"}')),))
    point = RawTool(json=JsonText('{"cachePoint":{"type":"default"}}'))

    written = sent(tools=(marked, point), model=NOVA)

    assert written.body["toolConfig"]["tools"] == [spec("f")]
    assert list(written.losses) == ["tools[0].cache_control", "tools[1]"]
    assert len(sent(tools=(marked, point)).body["toolConfig"]["tools"]) == 3


@pytest.mark.parametrize(
    "model", ["anthropic.claude-3-5-sonnet-20241022-v2:0", "us.anthropic.claude-3-haiku-20240307-v1:0"]
)
def test_claude_s_older_models_cannot_be_told_to_call_one_tool_at_a_time(model: str) -> None:
    written = sent(tools=(F,), parallel_tool_calls=False, model=model)

    assert "additionalModelRequestFields" not in written.body
    assert list(written.losses) == ["parallel_tool_calls"]
