"""Conversations: instructions, turns that alternate, tool calls and their results."""

from __future__ import annotations

import re

import pytest
from isthmusd.core.chat import (
    AudioPart,
    ImagePart,
    JsonText,
    Message,
    RawPart,
    RawToolCall,
    TextPart,
    ThinkingPart,
    ToolCall,
)
from isthmusd.dialects.bedrock.call_ids import tool_use_id

from tests.unit.dialects_bedrock.requests import said, sent, user

PNG = "iVBORw0KGgoAAAANSUhEUg=="
MARK = (("cache_control", JsonText('{"type":"ephemeral"}')),)
POINT = {"cachePoint": {"type": "default"}}


def call(call_id: str, arguments: str = "{}", name: str = "f") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def result(call_id: str, text: str) -> Message:
    return said("tool", text, tool_call_id=call_id)


def test_instructions_stand_apart_and_none_is_dropped() -> None:
    body = sent(said("system", "a"), said("developer", "b"), user("hi"))

    assert body.body["system"] == [{"text": "a"}, {"text": "b"}]
    assert body.losses == {}


def test_later_instructions_are_moved_to_the_head_in_order() -> None:
    moved = sent(said("system", "a"), user("hi"), said("system", "b"), user("ho"))

    assert moved.body["system"] == [{"text": "a"}, {"text": "b"}]
    assert moved.body["messages"] == [{"role": "user", "content": [{"text": "hi"}, {"text": "ho"}]}]
    assert list(moved.losses) == ["messages[2].role"]


def test_instructions_hold_texts_only() -> None:
    image = Message(role="system", content=(TextPart(text="a"), ImagePart(data_base64=PNG, mime_type="image/png")))

    body = sent(image, user("hi"))

    assert body.body["system"] == [{"text": "a"}]
    assert body.losses == {"messages[0].content": "Bedrock takes no image in instructions"}


def test_instructions_alone_get_a_turn_to_answer() -> None:
    alone = sent(said("system", "a"))

    assert alone.body["system"] == [{"text": "a"}]
    assert [turn["role"] for turn in alone.body["messages"]] == ["user"]
    assert list(alone.losses) == ["messages"]


def test_the_user_speaks_first() -> None:
    body = sent(said("assistant", "hello"), user("hi"))

    assert [turn["role"] for turn in body.body["messages"]] == ["user", "assistant", "user"]
    assert list(body.losses) == ["messages"]


def test_turns_of_one_role_are_one_turn() -> None:
    body = sent(user("a"), user("b"), said("assistant", "c"), said("assistant", "d"), user("e"))

    assert body.body["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "content": [{"text": "e"}]},
    ]


def test_blank_texts_are_left_out_and_so_are_turns_that_say_nothing() -> None:
    empty = Message(role="assistant", content=None)

    body = sent(user("a"), said("assistant", ""), empty, user(" \n"), user("b"))

    assert body.body["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]
    assert body.losses == {}


def test_a_turn_keeps_thinking_text_and_calls_in_order() -> None:
    turn = Message(
        role="assistant",
        content=(ThinkingPart(text="hm", signature="sig"), TextPart(text="I look.")),
        tool_calls=(call("a", '{"n": 1.50, "big": 12345678901234567890}'), call("b", "")),
    )

    body = sent(user("hi"), turn, result("a", "1"), result("b", "2"))

    assert body.body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"text": "I look."},
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {"n": 1.5, "big": 12345678901234567890}}},
        {"toolUse": {"toolUseId": "b", "name": "f", "input": {}}},
    ]
    assert body.body["messages"][2] == {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "a", "content": [{"text": "1"}]}},
            {"toolResult": {"toolUseId": "b", "content": [{"text": "2"}]}},
        ],
    }


@pytest.mark.parametrize("arguments", ["{bad", "[1]", '"x"', "[" * 5000])
def test_arguments_that_are_no_object_are_wrapped(arguments: str) -> None:
    turn = Message(role="assistant", tool_calls=(call("a", arguments),))

    body = sent(user("hi"), turn, result("a", "1"))

    assert body.body["messages"][1]["content"][0]["toolUse"]["input"] == {"arguments": arguments}
    assert "messages[1].tool_calls[0].function.arguments" in body.losses


def test_a_call_that_is_no_function_s_is_lost() -> None:
    turn = Message(role="assistant", tool_calls=(RawToolCall(json=JsonText('{"type":"custom"}')),))

    assert sent(user("hi"), turn).losses == {"messages[1].tool_calls[0]": "Bedrock has calls of functions only"}


def test_ids_that_bedrock_refuses_are_replaced_alike_in_call_and_result() -> None:
    wild = "call|1/ä" + "x" * 80
    turn = Message(role="assistant", tool_calls=(call(wild), call("functions.f:0")))

    _, asked, answered = sent(user("hi"), turn, result(wild, "1"), result("functions.f:0", "2")).body["messages"]

    asked_ids = [block["toolUse"]["toolUseId"] for block in asked["content"]]
    assert asked_ids == [block["toolResult"]["toolUseId"] for block in answered["content"]]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", asked_id) for asked_id in asked_ids)


def test_different_ids_stay_different() -> None:
    assert tool_use_id("a b") != tool_use_id("a_b") != tool_use_id("a/b") != tool_use_id("a b")
    assert len(tool_use_id("")) > 0
    assert tool_use_id("\ud800") != tool_use_id("_")


def test_results_hold_texts_json_and_images() -> None:
    turn = Message(role="assistant", tool_calls=(call("a"),))
    answer = Message(
        role="tool",
        tool_call_id="a",
        content=(
            TextPart(text="see", extra=MARK),
            ImagePart(data_base64=PNG, mime_type="image/png"),
            RawPart(json=JsonText('{"type":"json","json":{"n":1}}')),
            AudioPart(data_base64="AAAA", format="wav"),
        ),
        extra=(("is_error", JsonText("true")),),
    )

    body = sent(user("hi"), turn, answer)

    assert body.body["messages"][2]["content"] == [
        {
            "toolResult": {
                "toolUseId": "a",
                "content": [
                    {"text": "see"},
                    {"image": {"format": "png", "source": {"bytes": PNG}}},
                    {"json": {"n": 1}},
                ],
                "status": "error",
            }
        },
        POINT,
    ]
    losses = [field for field in body.losses if field != "tools"]
    assert losses == ["messages[2].content"]


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ((("status", JsonText('"success"')),), {"status": "success"}),
        ((("status", JsonText('"odd"')),), {}),
        ((("is_error", JsonText("false")),), {}),
    ],
)
def test_results_say_how_they_went(extra: tuple[tuple[str, JsonText], ...], status: dict[str, str]) -> None:
    turn = Message(role="assistant", tool_calls=(call("a"),))

    _, _, answered = sent(user("hi"), turn, said("tool", "x", tool_call_id="a", extra=extra)).body["messages"]

    assert answered["content"] == [{"toolResult": {"toolUseId": "a", "content": [{"text": "x"}], **status}}]


def test_an_empty_result_is_still_a_result() -> None:
    turn = Message(role="assistant", tool_calls=(call("a"),))

    _, _, answered = sent(user("hi"), turn, result("a", "")).body["messages"]

    assert answered["content"] == [{"toolResult": {"toolUseId": "a", "content": []}}]


def test_cache_marks_become_blocks_behind_what_they_mark() -> None:
    hour = (("cache_control", JsonText('{"type":"ephemeral","ttl":"1h"}')),)
    own = (("cachePoint", JsonText('{"type":"default"}')),)
    odd = (("cache_control", JsonText("5")),)

    body = sent(
        Message(role="system", content=(TextPart(text="s", extra=MARK),)),
        Message(role="user", content=(TextPart(text="a", extra=hour), TextPart(text="b"))),
        said("assistant", "c", extra=own),
        said("user", "d", extra=odd),
    )

    assert body.body["system"] == [{"text": "s"}, POINT]
    assert [turn["content"] for turn in body.body["messages"]] == [
        [{"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "b"}],
        [{"text": "c"}, POINT],
        [{"text": "d"}, POINT],
    ]
    assert body.losses == {}


def test_what_stands_beside_a_message_is_lost() -> None:
    body = sent(
        said("user", "a", name="Ann", extra=(("weight", JsonText("1")), ("cache_control", JsonText("null")))),
        said(
            "assistant", "b", audio=JsonText('{"id":"x"}'), refusal="I won't.", extra=(("annotations", JsonText("[]")),)
        ),
        said("critic", "c"),
    )

    assert body.body["messages"][1]["content"] == [{"text": "b"}, {"text": "I won't."}]
    assert body.body["messages"][2] == {"role": "user", "content": [{"text": "c"}]}
    assert set(body.losses) == {"messages[0].name", "messages[0].weight", "messages[1].audio", "messages[2].role"}
