"""What models want of turns: results of tools apart, cache points in their places, ids that differ."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import FilePart, FunctionTool, ImagePart, JsonText, Message, RawPart, TextPart, ToolCall
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects_bedrock.requests import CLAUDE, GPT, LLAMA, NOVA, said, sent, user

MISTRAL = "mistral.mistral-large-2407-v1:0"
MARK = (("cache_control", JsonText('{"type":"ephemeral"}')),)
HOUR = (("cache_control", JsonText('{"type":"ephemeral","ttl":"1h"}')),)
POINT = {"cachePoint": {"type": "default"}}
CALLED = Message(role="assistant", tool_calls=(ToolCall(id="a", name="f", arguments="{}"),))
ANSWERED = said("tool", "1", tool_call_id="a")
RESULT = {"toolResult": {"toolUseId": "a", "content": [{"text": "1"}]}}
CSV = FilePart(data_base64="YSxi", mime_type="text/csv", filename="t.csv")
TOOLS = (FunctionTool(name="f"),)
PDF = FilePart(data_base64="JVBERi0=", mime_type="application/pdf", filename="t.pdf")


def contents(*messages: Message, model: str = CLAUDE) -> list[Any]:
    return [turn["content"] for turn in sent(*messages, model=model).body["messages"]]


@pytest.mark.parametrize("model", [LLAMA, MISTRAL])
def test_results_stand_alone_where_the_model_wants_them_so(model: str) -> None:
    written = sent(user("hi"), CALLED, ANSWERED, user("and?"), model=model, tools=TOOLS)

    turns = written.body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert [turn["content"] for turn in turns[2:]] == [[RESULT], [{"text": "."}], [{"text": "and?"}]]
    assert list(written.losses) == ["messages"]


@pytest.mark.parametrize("model", [CLAUDE, NOVA, GPT])
def test_a_text_may_follow_results_elsewhere(model: str) -> None:
    written = sent(user("hi"), CALLED, ANSWERED, user("and?"), model=model, tools=TOOLS)

    assert written.body["messages"][2]["content"] == [RESULT, {"text": "and?"}]
    assert written.losses == {}


def test_claude_takes_no_document_beside_results() -> None:
    files = Message(role="user", content=(TextPart(text="see"), CSV))

    written = contents(user("hi"), CALLED, ANSWERED, files)

    assert written[2:4] == [[RESULT], [{"text": "."}]]
    assert [next(iter(block)) for block in written[4]] == ["text", "document"]
    assert len(contents(user("hi"), CALLED, ANSWERED, files, model=NOVA)) == 3


def test_results_lead_their_turn() -> None:
    asked = Message(
        role="assistant", tool_calls=tuple(ToolCall(id=name, name="f", arguments="{}") for name in ("a", "b"))
    )

    written = contents(user("hi"), asked, ANSWERED, user("wait"), said("tool", "2", tool_call_id="b"))

    assert written[2] == [RESULT, {"toolResult": {"toolUseId": "b", "content": [{"text": "2"}]}}, {"text": "wait"}]


def test_the_white_space_that_a_text_to_continue_ends_with_is_left_out() -> None:
    written = sent(user("hi"), said("assistant", "Well, \n"))

    assert written.body["messages"][1]["content"] == [{"text": "Well,"}]
    assert list(written.losses) == ["messages[-1].content"]


def test_a_mark_without_anything_to_mark_is_lost() -> None:
    blank = Message(role="user", content=(TextPart(text=" ", extra=MARK), TextPart(text="a")), extra=())

    written = sent(blank, said("assistant", "b"), Message(role="user", content=(TextPart(text=""),), extra=MARK))

    assert [turn["content"] for turn in written.body["messages"]] == [[{"text": "a"}], [{"text": "b"}], [{"text": "."}]]
    assert list(written.losses) == [
        "messages[0].content[0].cache_control",
        "messages[2].cache_control",
        "messages[2]",
    ]


def test_a_point_at_the_head_of_a_turn_is_lost_and_two_are_one() -> None:
    point = RawPart(json=JsonText('{"cachePoint":{"type":"default"}}'))
    parts = (point, TextPart(text="a", extra=MARK), point, TextPart(text="b"))

    written = sent(Message(role="user", content=parts))

    assert written.body["messages"][0]["content"] == [{"text": "a"}, POINT, {"text": "b"}]
    assert list(written.losses) == ["messages"]


def test_a_point_behind_a_document_goes_before_it_unless_that_is_a_pdf() -> None:
    text = TextPart(text="see")

    table = contents(Message(role="user", content=(text, CSV), extra=MARK))
    paper = contents(Message(role="user", content=(text, PDF), extra=MARK))
    alone = sent(Message(role="user", content=(CSV,), extra=MARK))

    assert [next(iter(block)) for block in table[0]] == ["text", "cachePoint", "document"]
    assert [next(iter(block)) for block in paper[0]] == ["text", "document", "cachePoint"]
    assert [next(iter(block)) for block in alone.body["messages"][0]["content"]] == ["text", "document"]
    assert list(alone.losses) == ["messages"]


def test_nova_caches_no_tools_and_not_for_an_hour() -> None:
    talk = (said("system", "s", extra=HOUR), said("user", "hi", extra=HOUR), CALLED)

    written = sent(*talk, said("tool", "1", tool_call_id="a", extra=MARK), model=NOVA, tools=TOOLS)

    assert written.body["system"] == [{"text": "s"}, POINT]
    assert [turn["content"] for turn in written.body["messages"]][::2] == [[{"text": "hi"}, POINT], [RESULT]]
    assert list(written.losses) == ["messages"]


def test_models_without_a_cache_get_no_points() -> None:
    point = RawPart(json=JsonText('{"cachePoint":{"type":"default"}}'))

    written = sent(Message(role="user", content=(TextPart(text="a", extra=MARK), point)), model=LLAMA)

    assert written.body["messages"][0]["content"] == [{"text": "a"}]
    assert list(written.losses) == ["messages[0].content[0].cache_control", "messages[0].content[1]"]


def test_calls_from_before_there_were_tools() -> None:
    legacy = (("function_call", JsonText('{"name":"f","arguments":"{\\"x\\":1}"}')),)

    written = sent(
        user("hi"),
        Message(role="assistant", extra=legacy),
        said("function", "1", name="f"),
        said("assistant", "ok"),
        tools=TOOLS,
    )

    _, asked, answered, _ = written.body["messages"]
    assert asked["content"] == [{"toolUse": {"toolUseId": "call_1", "name": "f", "input": {"x": 1}}}]
    assert answered["content"][0]["toolResult"]["toolUseId"] == "call_1"
    assert written.losses == {}


def test_an_odd_call_from_before_is_lost() -> None:
    odd = (("function_call", JsonText('"f"')),)
    none = (("function_call", JsonText("null")),)

    assert list(sent(user("hi"), said("assistant", "a", extra=odd)).losses) == ["messages[1].function_call"]
    assert sent(user("hi"), said("assistant", "a", extra=none)).losses == {}


def test_calls_without_ids_or_with_the_same_ones_get_ids_of_their_own() -> None:
    def turn(*ids: str) -> Message:
        return Message(role="assistant", tool_calls=tuple(ToolCall(id=name, name="f", arguments="") for name in ids))

    def answer(name: str | None) -> Message:
        return said("tool", "1", tool_call_id=name)

    written = sent(
        *(user("hi"), turn("", ""), answer(""), answer(None)),
        *(turn("x"), answer("x"), turn("x"), answer(None), answer("lost"), answer(None)),
    ).body["messages"]

    asked = [[block["toolUse"]["toolUseId"] for block in turn["content"]] for turn in written[1::2]]
    answered = [[block["toolResult"]["toolUseId"] for block in turn["content"]] for turn in written[2::2]]
    assert asked == [["call_1", "call_1_2"], ["x"], ["x_2"]]
    assert answered == [["call_1", "call_1_2"], ["x"], ["x_2", "lost", "call_3"]]


def test_an_image_may_stand_beside_results_of_claude() -> None:
    image = Message(role="user", content=(ImagePart(data_base64="iVBORw0KGgo=", mime_type="image/png"),))

    assert [next(iter(block)) for block in contents(user("hi"), CALLED, ANSWERED, image)[2]] == ["toolResult", "image"]


def test_a_failed_result_says_something() -> None:
    failed = Message(role="tool", tool_call_id="a", extra=(("is_error", JsonText("true")),))

    assert contents(user("hi"), CALLED, failed)[2] == [
        {"toolResult": {"toolUseId": "a", "content": [{"text": "."}], "status": "error"}}
    ]


def test_long_histories_take_no_longer_than_they_are_long() -> None:
    """Each of these took minutes where each call, name or point was compared with all before it."""
    many = 20_000
    same = tuple(ToolCall(id="a", name="f", arguments="") for _ in range(many))
    files = tuple(FilePart(data_base64="YQ==", mime_type="text/csv", filename="t", extra=MARK) for _ in range(many))

    written = contents(Message(role="user", content=files), Message(role="assistant", tool_calls=same))

    assert len({block["toolUse"]["toolUseId"] for block in written[1]}) == many
    assert len({block["document"]["name"] for block in written[0][1:]}) == many


@pytest.mark.parametrize(
    ("model", "profile", "asked"),
    [
        (CLAUDE, Profile(), False),
        (CLAUDE, Profile(thinking=Thinking.LEVEL), True),
        (LLAMA, Profile(), True),
        (NOVA, Profile(), True),
    ],
)
def test_models_that_answer_the_user_only_are_asked_to_continue(model: str, profile: Profile, asked: bool) -> None:
    written = sent(user("hi"), said("assistant", "Well"), model=model, profile=profile)

    assert written.body["messages"][2:] == ([{"role": "user", "content": [{"text": "Continue."}]}] if asked else [])
    assert list(written.losses) == (["messages"] if asked else [])


def test_calls_without_results_are_for_bedrock_to_judge() -> None:
    assert len(contents(user("hi"), CALLED, model=LLAMA)) == 2


@pytest.mark.parametrize("blank", ["", " \n"])
def test_an_empty_text_is_a_question_too(blank: str) -> None:
    written = sent(user(blank))

    assert written.body["messages"] == [{"role": "user", "content": [{"text": "."}]}]
    assert list(written.losses) == ["messages"]
