"""Messages become a system prompt and turns."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import ChatRequest, JsonText, Message, RawPart, TextPart, ThinkingPart, ToolCall

from tests.unit.dialects_anthropic.sent import HI, USER, ask, send, turns

MARK = {"type": "ephemeral"}


def call(call_id: str, arguments: str = "{}", **members: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}, **members}


def calling(*calls: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **members}


def result(call_id: str, content: Any = "done", **members: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **members}


def test_texts_are_sent_as_strings() -> None:
    sent = turns({"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "Hello"}, USER)

    assert sent.body["system"] == "Be brief."
    assert sent.body["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Hi"},
    ]
    assert sent.losses == []


def test_instructions_at_the_head_become_blocks_of_the_system_prompt_in_their_order() -> None:
    marked = {"type": "text", "text": "B", "cache_control": MARK}

    sent = turns(
        {"role": "system", "content": "A"},
        {"role": "developer", "content": [marked]},
        {"role": "system", "content": "C", "cache_control": MARK},
        USER,
    )

    assert sent.body["system"] == [
        {"type": "text", "text": "A"},
        marked,
        {"type": "text", "text": "C", "cache_control": MARK},
    ]
    assert sent.losses == []


def test_later_instructions_are_moved_to_the_system_prompt_with_a_loss() -> None:
    sent = turns({"role": "system", "content": "A"}, USER, {"role": "developer", "content": "B"})

    assert sent.body["system"] == [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert sent.body["messages"] == [USER]
    assert sent.losses == ["messages[2].role"]


def test_instructions_alone_are_asked_as_a_user() -> None:
    sent = turns({"role": "system", "content": "Tell a joke."})

    assert "system" not in sent.body
    assert sent.body["messages"] == [{"role": "user", "content": "Tell a joke."}]
    assert sent.losses == ["messages[0].role"]


def test_system_prompt_takes_nothing_but_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}

    sent = turns({"role": "system", "content": [{"type": "text", "text": "A"}, image]}, USER)

    assert sent.body["system"] == "A"
    assert sent.losses == ["messages[0].content"]


def test_unknown_role_is_sent_as_a_user_and_a_name_is_lost() -> None:
    sent = turns({"role": "critic", "content": "Boo", "name": "joe"})

    assert sent.body["messages"] == [{"role": "user", "content": "Boo"}]
    assert sent.losses == ["messages[0].role", "messages[0].name"]


def test_turns_without_content_are_left_out() -> None:
    sent = turns({"role": "user", "content": ""}, {"role": "assistant", "content": None}, USER)

    assert sent.body["messages"] == [USER]
    assert sent.losses == ["messages[0]", "messages[1]"]


def test_empty_texts_among_others_are_left_out() -> None:
    parts = [{"type": "text", "text": text} for text in ("", "Hi", " \n")]

    sent = turns({"role": "user", "content": parts})

    assert sent.body["messages"] == [USER]
    assert sent.losses == ["messages[0].content[2]"]


def test_white_space_at_the_end_of_a_prefill_is_cut() -> None:
    sent = turns(USER, {"role": "assistant", "content": "Sure: "})

    assert sent.body["messages"][-1] == {"role": "assistant", "content": "Sure:"}
    assert sent.losses == ["messages[1].content"]


def test_thinking_text_and_calls_keep_their_order() -> None:
    message = Message(
        role="assistant",
        content=(
            ThinkingPart(text="hm", signature="s1"),
            ThinkingPart(redacted_data="xyz"),
            TextPart(text="Let me see."),
        ),
        tool_calls=(ToolCall(id="a", name="f", arguments='{"b": 12345678901234567890123, "a": 1.0}'),),
    )

    sent = send(ChatRequest(model="m", messages=(HI, message)))

    assert [block["type"] for block in sent.body["messages"][1]["content"]] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
    ]
    assert '"input":{"b": 12345678901234567890123, "a": 1.0}' in sent.text
    assert sent.losses == []


def test_thinking_without_a_signature_is_lost() -> None:
    sent = turns(USER, {"role": "assistant", "content": "Hello", "reasoning_content": "hm"}, USER)

    assert sent.body["messages"][1] == {"role": "assistant", "content": "Hello"}
    assert sent.losses == ["messages[1].content[0]"]


def test_refusal_is_sent_as_text_and_audio_is_lost() -> None:
    sent = turns(USER, {"role": "assistant", "content": None, "refusal": "No.", "audio": {"id": "x"}}, USER)

    assert sent.body["messages"][1] == {"role": "assistant", "content": "No."}
    assert sent.losses == ["messages[1].audio"]


def test_results_of_parallel_calls_share_a_turn_and_what_follows_has_its_own() -> None:
    sent = turns(USER, calling(call("a"), call("b")), result("b", "2"), result("a", "1"), USER)

    assert sent.body["messages"][2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "b", "content": "2"},
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
            ],
        },
        USER,
    ]
    assert sent.losses == []


def test_result_holds_images_and_says_whether_it_failed() -> None:
    content = [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "tool_use", "id": "x", "name": "g", "input": {}},
    ]

    sent = turns(USER, calling(call("a")), result("a", content, is_error=True, cache_control=MARK, name="f"))

    assert sent.body["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [
                {"type": "text", "text": "See:"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            ],
            "is_error": True,
            "cache_control": MARK,
        }
    ]
    assert sent.losses == ["messages[2].content"]


def test_empty_result_has_no_content() -> None:
    sent = turns(USER, calling(call("a")), result("a", ""))

    assert sent.body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]
    assert sent.losses == []


@pytest.mark.parametrize(
    ("arguments", "sent_input", "losses"),
    [
        ("", {}, []),
        ("null", {}, []),
        ('{"a":', {"arguments": '{"a":'}, ["messages[1].tool_calls[0].function.arguments"]),
        ("[1]", {"arguments": "[1]"}, ["messages[1].tool_calls[0].function.arguments"]),
    ],
)
def test_arguments_that_are_no_object_are_sent_all_the_same(
    arguments: str, sent_input: dict[str, Any], losses: list[str]
) -> None:
    sent = turns(USER, calling(call("a", arguments)), result("a"))

    assert sent.body["messages"][1]["content"][0]["input"] == sent_input
    assert sent.losses == losses


def ids(sent: dict[str, Any]) -> list[str]:
    blocks = [block for turn in sent["messages"] if isinstance(turn["content"], list) for block in turn["content"]]
    return [block.get("id") or block["tool_use_id"] for block in blocks]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([calling(call("a.b"), call("a:b")), result("a:b"), result("a.b")], None, id="foreign letters"),
        pytest.param([calling(call(""), call("")), result(""), result("")], None, id="no ids at all"),
        pytest.param([calling(call(""), call("b")), result("x"), result("b")], None, id="call without id"),
        pytest.param([calling(call("a"), call("b")), result(""), result("")], ["a", "b", "a", "b"], id="bare results"),
        pytest.param(
            [calling(call("a")), result("a"), calling(call("a")), result("a")], ["a", "a", "a_2", "a_2"], id="again"
        ),
        pytest.param([calling(call("a")), result("z")], ["a", "z"], id="result of no call"),
        pytest.param([calling(call("a")), result("a"), result("")], ["a", "a", "call_1"], id="one result too many"),
    ],
)
def test_ids_of_calls_are_made_fit_and_results_follow_them(
    messages: list[dict[str, Any]], expected: list[str] | None
) -> None:
    sent = ids(turns(USER, *messages).body)

    assert all(name.replace("_", "").replace("-", "").isalnum() for name in sent)
    if expected is not None:
        assert sent == expected
    else:
        half = len(sent) // 2
        assert len(set(sent[:half])) == half
        assert sorted(sent[:half]) == sorted(sent[half:])
    assert ids(turns(USER, *messages).body) == sent


def test_results_find_the_calls_whose_ids_had_foreign_letters() -> None:
    sent = turns(USER, calling(call("a.b", '{"n":1}'), call("a:b", '{"n":2}')), result("a:b", "two"))

    second = sent.body["messages"][1]["content"][1]
    assert second["input"] == {"n": 2}
    assert sent.body["messages"][2]["content"][0]["tool_use_id"] == second["id"]


def test_members_of_a_call_that_anthropic_knows_pass_and_others_are_lost() -> None:
    sent = turns(USER, calling(call("a", cache_control=MARK, extra_content={"google": {}})), result("a"))

    assert sent.body["messages"][1]["content"][0]["cache_control"] == MARK
    assert sent.losses == ["messages[1].tool_calls[0].extra_content"]


def test_calls_that_the_hub_does_not_know() -> None:
    native = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    odd = {"type": "function", "id": "a", "function": {"name": "f", "arguments": "{}", "x": 1}}
    custom = {"type": "custom", "id": "c", "custom": {"name": "g", "input": "text"}}

    sent = turns(USER, calling(native, odd, custom), result("a"))

    assert sent.body["messages"][1]["content"] == [
        native,
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "c", "name": "g", "input": {"input": "text"}},
    ]
    assert sent.losses == ["messages[1].tool_calls[1].function", "messages[1].tool_calls[2].custom.input"]


def test_function_calls_from_before_tools_are_understood() -> None:
    sent = turns(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "1"},
    )

    call_id = sent.body["messages"][1]["content"][0]["id"]
    assert sent.body["messages"][1]["content"] == [{"type": "tool_use", "id": call_id, "name": "f", "input": {"a": 1}}]
    assert sent.body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": call_id, "content": "1"}]
    assert sent.losses == []


def test_broken_function_call_is_lost() -> None:
    sent = turns(USER, {"role": "assistant", "content": "x", "function_call": {"arguments": "1"}}, USER)

    assert sent.losses == ["messages[1].function_call"]


def test_empty_members_of_an_answer_that_comes_back_say_nothing() -> None:
    answer = {"role": "assistant", "content": "x", "annotations": [], "function_call": None, "other": {}}

    assert turns(USER, answer, USER).losses == []
    assert turns(USER, {**answer, "annotations": [{"type": "url_citation"}]}, USER).losses == [
        "messages[1].annotations"
    ]


def test_cache_marker_of_a_message_lands_on_its_last_block() -> None:
    sent = turns(
        {"role": "user", "content": "Hi", "cache_control": MARK},
        calling(call("a"), content="Look", cache_control=MARK),
        result("a"),
    )

    assert sent.body["messages"][0]["content"] == [{"type": "text", "text": "Hi", "cache_control": MARK}]
    assert [block.get("cache_control") for block in sent.body["messages"][1]["content"]] == [None, MARK]
    assert sent.losses == []


def test_cache_marker_finds_no_place_on_thinking() -> None:
    thinking = ThinkingPart(text="hm", signature="s")
    marker = (("cache_control", JsonText('{"type":"ephemeral"}')),)

    sent = send(
        ChatRequest(
            model="m",
            messages=(
                HI,
                Message(role="assistant", content=(thinking,), extra=marker),
                Message(role="assistant", content=(TextPart(text="x"), thinking), extra=marker),
            ),
        )
    )

    assert sent.body["messages"][2]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert sent.losses == ["messages[1].cache_control"]


def test_blocks_that_only_anthropic_understands_come_back_between_thinking_and_text() -> None:
    blocks = '[{"type":"server_tool_use","id":"s","name":"web_search","input":{}},{"type":"web_search_tool_result"}]'
    answer = Message(
        role="assistant",
        content=(ThinkingPart(text="hm", signature="s"), TextPart(text="x")),
        extra=(("content_blocks", JsonText(blocks)),),
    )

    sent = send(ChatRequest(model="m", messages=(HI, answer, HI)))

    kinds = [block["type"] for block in sent.body["messages"][1]["content"]]
    assert kinds == ["thinking", "server_tool_use", "web_search_tool_result", "text"]
    assert sent.losses == []


def test_blocks_that_are_no_array_are_lost() -> None:
    answer = {"role": "assistant", "content": "x", "content_blocks": "y"}

    assert turns(USER, answer, USER).losses == ["messages[1].content_blocks"]


def test_content_block_without_a_type_is_lost() -> None:
    strange = Message(role="user", content=(RawPart(json=JsonText("[1]")), TextPart(text="Hi")))

    sent = send(ChatRequest(model="m", messages=(strange,)))

    assert sent.body["messages"] == [USER]
    assert sent.losses == ["messages[0].content[0]"]


def test_conversation_may_begin_with_the_assistant() -> None:
    sent = ask(messages=[{"role": "assistant", "content": "Hello"}, USER])

    assert sent.body["messages"] == [{"role": "assistant", "content": "Hello"}, USER]
