"""Messages as Cohere takes them: roles, parts, tool calls and their results, and plans that go back."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import (
    AudioPart,
    ChatRequest,
    Extra,
    FilePart,
    ImagePart,
    JsonText,
    Message,
    Part,
    RawPart,
    RawToolCall,
    Reasoning,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    plain_text,
)
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects_cohere.wire import NO_FIELD, sent, written


def said(role: str, *parts: Part, **members: Any) -> Message:
    return Message(role=role, content=parts or None, **members)


def extra(**members: str) -> Extra:
    return tuple((name, JsonText(text)) for name, text in members.items())


def test_roles_keep_their_place() -> None:
    messages = [
        said(role, TextPart(text=role)) for role in ("system", "developer", "user", "system", "assistant", "user")
    ]

    assert written(*messages) == (
        [
            {"role": role, "content": text}
            for role, text in [
                ("system", "system"),
                ("system", "developer"),
                ("user", "user"),
                ("system", "system"),
                ("assistant", "assistant"),
                ("user", "user"),
            ]
        ],
        {},
    )
    assert written(said("critic", TextPart(text="x"))) == (
        [{"role": "user", "content": "x"}],
        {"messages[0].role": "Cohere has no such role: sent as the user's"},
    )


def test_images_and_texts_of_the_user() -> None:
    parts = (
        TextPart(text="look"),
        ImagePart(url="https://x/y.png", detail="low"),
        ImagePart(data_base64="QUJD", mime_type="image/webp"),
        ImagePart(data_base64="QUJD"),
        RawPart(json=JsonText('{"type":"image_url","image_url":{"url":"https://x","odd":1}}')),
        TextPart(text=""),
    )

    messages, losses = written(said("user", *parts))

    assert messages[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "https://x", "odd": 1}},
    ]
    assert losses == {}


@pytest.mark.parametrize(
    ("role", "part", "lost"),
    [
        ("user", AudioPart(data_base64="", format="wav"), {"": "Cohere takes no audio"}),
        ("user", FilePart(file_id="f"), {"": "Cohere takes no files: send their text, or 'documents'"}),
        ("user", ImagePart(file_id="f"), {"": "Cohere takes images by URL or as data, not by file id"}),
        ("system", ImagePart(url="u"), {"": "Cohere takes no images in messages of the role 'system'"}),
        ("user", ThinkingPart(text="t"), {"": "Cohere takes no thinking in messages of the role 'user'"}),
        (
            "user",
            RawPart(json=JsonText('{"type":"video"}')),
            {"": "Cohere has no such part in messages of the role 'user'"},
        ),
        ("user", RawPart(json=JsonText('{"a":1}')), {"": "Cohere has no such part in messages of the role 'user'"}),
        ("user", TextPart(text="", extra=extra(cache_control="{}")), {".cache_control": NO_FIELD}),
        (
            "user",
            ImagePart(url=None, extra=extra(x="1")),
            {".x": NO_FIELD, "": "Cohere takes images by URL or as data, not by file id"},
        ),
    ],
)
def test_parts_that_it_does_not_take(role: str, part: Part, lost: dict[str, str]) -> None:
    messages, losses = written(said(role, TextPart(text="see"), part))

    assert messages == [{"role": role, "content": "see"}]
    assert losses == {f"messages[0].content[1]{name}": reason for name, reason in lost.items()}


def test_members_of_messages_that_it_does_not_know() -> None:
    _, losses = written(
        said("user", TextPart(text="a"), name="bob", extra=extra(cache_control="{}", weight="null")),
        said("assistant", TextPart(text="b"), audio=JsonText('{"id":"x"}'), extra=extra(annotations="[]", x="1")),
        said("assistant", TextPart(text="c"), extra=extra(annotations="[{}]")),
    )

    assert losses == dict.fromkeys(
        [
            "messages[0].name",
            "messages[0].cache_control",
            "messages[1].audio",
            "messages[1].x",
            "messages[2].annotations",
        ],
        NO_FIELD,
    )


CALLS = (ToolCall(id="c1", name="look", arguments='{"q": 1}'), ToolCall(id="c2", name="add", arguments=""))


def test_a_round_of_tools() -> None:
    messages, losses = written(
        said("assistant", ThinkingPart(text="hm"), TextPart(text="Wait."), tool_calls=CALLS),
        said("tool", TextPart(text='{"r":1}'), tool_call_id="c1", name="look"),
        said(
            "tool",
            TextPart(text="a"),
            RawPart(json=JsonText('{"type":"document","document":{"data":{"t":"b"}}}')),
            tool_call_id="c2",
        ),
    )

    assert messages == [
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}],
            "tool_plan": "Wait.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}},
                {"id": "c2", "type": "function", "function": {"name": "add", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"r":1}'},
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "document", "document": {"data": {"t": "b"}}},
            ],
        },
    ]
    assert losses == {}


@pytest.mark.parametrize(
    ("arguments", "as_sent", "is_lost"),
    [
        ("", "{}", False),
        (" \n", "{}", False),
        ("null", "{}", False),
        ('{"a":12345678901234567890123}', '{"a":12345678901234567890123}', False),
        ('{"a": [1', '{"arguments":"{\\"a\\": [1"}', True),
        ("[1]", '{"arguments":"[1]"}', True),
    ],
)
def test_arguments_are_always_an_object(arguments: str, as_sent: str, is_lost: bool) -> None:
    messages, losses = written(said("assistant", tool_calls=(ToolCall(id="c", name="f", arguments=arguments),)))

    assert messages == [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": as_sent}}],
        }
    ]
    assert list(losses) == (["messages[0].tool_calls[0].function.arguments"] if is_lost else [])


def test_calls_and_results_without_ids_find_each_other() -> None:
    messages, _ = written(
        said(
            "assistant",
            tool_calls=(ToolCall(id="", name="f", arguments="{}"), ToolCall(id="", name="g", arguments="{}")),
        ),
        said("tool", TextPart(text="a")),
        said("tool", TextPart(text="b")),
        said("tool"),
    )

    assert [call["id"] for call in messages[0]["tool_calls"]] == ["call_1", "call_2"]
    assert [(message["tool_call_id"], message["content"]) for message in messages[1:]] == [
        ("call_1", "a"),
        ("call_2", "b"),
        ("call_unknown", ""),
    ]


def test_functions_of_the_older_kind() -> None:
    legacy = extra(function_call='{"name":"f","arguments":"{}"}')

    messages, losses = written(
        said("assistant", extra=legacy),
        said("function", TextPart(text="a"), name="f"),
        said("assistant", TextPart(text="x"), extra=extra(function_call="null")),
        said("assistant", TextPart(text="x"), extra=extra(function_call="7")),
    )

    assert messages[0]["tool_calls"][0]["id"] == messages[1]["tool_call_id"] == "call_1"
    assert "tool_calls" not in messages[2]
    assert losses == {}


def test_calls_that_it_does_not_know_are_lost() -> None:
    call = ToolCall(id="c", name="f", arguments="{}", extra=extra(extra_content='{"google":{}}'))
    odd = RawToolCall(json=JsonText('{"type":"custom"}'))

    messages, losses = written(said("assistant", tool_calls=(call, odd)))

    assert len(messages[0]["tool_calls"]) == 1
    assert losses == {
        "messages[0].tool_calls[0].extra_content": NO_FIELD,
        "messages[0].tool_calls[1]": "Cohere has calls of functions only",
    }


def test_thinking_of_others_goes_back_as_text() -> None:
    parts = (ThinkingPart(text="hm", signature="s", extra=extra(x="1")), ThinkingPart(redacted_data="r"))

    messages, losses = written(said("assistant", *parts, TextPart(text="a")))

    assert messages[0]["content"] == [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]
    assert losses == {
        "messages[0].content[0].signature": "Cohere's thinking is plain text",
        "messages[0].content[0].x": NO_FIELD,
        "messages[0].content[1].redacted_data": "Cohere's thinking is plain text",
    }


def test_plans_go_back_as_plans() -> None:
    own = extra(tool_plan='"I look."', citations='[{"start":0}]', annotations="[{}]")

    for thought in ((ThinkingPart(text="I look."),), (), (ThinkingPart(text="hm"), ThinkingPart(text="I look."))):
        messages, losses = written(said("assistant", *thought, tool_calls=CALLS[:1], extra=own))
        assert messages[0]["tool_plan"] == "I look."
        assert messages[0]["citations"] == [{"start": 0}]
        assert messages[0].get("content") == ([{"type": "thinking", "thinking": "hm"}] if len(thought) > 1 else None)
        assert losses == {}

    spoken, _ = written(said("assistant", TextPart(text="Now. "), tool_calls=CALLS[:1], refusal="", extra=own))
    assert spoken[0]["tool_plan"] == "I look.\n\nNow."

    joined, _ = written(said("assistant", ThinkingPart(text="hm I look."), TextPart(text="x"), extra=own))
    assert joined[0]["content"] == [{"type": "thinking", "thinking": "hm "}, {"type": "text", "text": "x"}]


def test_odd_plans_and_citations_say_nothing() -> None:
    messages, losses = written(
        said("assistant", TextPart(text="a"), extra=extra(tool_plan="null", citations="null")),
        said("assistant", TextPart(text="a"), extra=extra(tool_plan="7")),
    )

    assert messages == [{"role": "assistant", "content": "a"}] * 2
    assert losses == {}


def test_refusals_are_text() -> None:
    messages, losses = written(
        said("assistant", RefusalPart(text="No.")),
        said("assistant", refusal="Never."),
        said("assistant", TextPart(text="Well."), refusal="No."),
    )

    assert [message["content"] for message in messages] == [
        "No.",
        "Never.",
        [{"type": "text", "text": "Well."}, {"type": "text", "text": "No."}],
    ]
    assert losses == {}


def test_empty_messages() -> None:
    messages, losses = written(
        Message(role="user", content=plain_text("")),
        Message(role="assistant", content=plain_text("")),
        Message(role="assistant"),
    )

    assert messages == [{"role": "user", "content": ""}]
    assert losses == {f"messages[{place}]": "Cohere refuses messages that say nothing: left out" for place in (1, 2)}


UNTHINKING = Profile(thinking=Thinking.NONE)
TURN = (ThinkingPart(text="hm", signature="s"), TextPart(text="Wait.", extra=extra(x="1")))


@pytest.mark.parametrize(
    ("profile", "request_extra"), [(UNTHINKING, ()), (Profile(), extra(thinking='{"type":"disabled"}'))]
)
def test_models_that_do_not_think_get_no_thinking_back(profile: Profile, request_extra: Extra) -> None:
    def asked(*messages: Message) -> tuple[list[Any], dict[str, str]]:
        body, losses = sent(ChatRequest(model="m", messages=messages, extra=request_extra), profile)
        return body["messages"], losses

    called, lost = asked(said("assistant", *TURN, tool_calls=CALLS[:1]))
    plain, lost_too = asked(said("assistant", *TURN[:1], TextPart(text="a")))

    assert called[0]["tool_plan"] == "hm\n\nWait."
    assert "content" not in called[0]
    assert lost == {
        "messages[0].content[0].signature": "Cohere's thinking is plain text",
        "messages[0].content[1].x": NO_FIELD,
    }
    assert plain == [{"role": "assistant", "content": "a"}]
    assert lost_too == {"messages[0].content[0]": "the model takes no thinking"}


@pytest.mark.parametrize("thinking", ['{"type":"enabled"}', '"odd"'])
def test_the_caller_s_own_words_about_thinking_count(thinking: str) -> None:
    request = ChatRequest(
        model="m", messages=(said("assistant", *TURN[:1], tool_calls=CALLS[:1]),), extra=extra(thinking=thinking)
    )

    assert sent(request)[0]["messages"][0]["content"] == [{"type": "thinking", "thinking": "hm"}]


@pytest.mark.parametrize(("effort", "kept"), [("none", False), ("low", True), (None, True)])
def test_thinking_goes_back_where_the_model_thinks(effort: str | None, kept: bool) -> None:
    request = ChatRequest(
        model="m",
        messages=(said("assistant", *TURN[:1], tool_calls=CALLS[:1]),),
        reasoning=Reasoning(effort=effort),
    )

    assert ("content" in sent(request)[0]["messages"][0]) is kept
