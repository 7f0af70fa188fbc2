"""Messages as Google's turns: the order of everything, calls and their results, and signatures that come back."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import ChatRequest, Message, TextPart, ThinkingPart, ToolCall
from isthmusd.core.profile import Profile

from tests.unit.dialects_gemini.asking import asked, read, send, turns

Json = dict[str, Any]

USER: Json = {"role": "user", "content": "Hi"}


def call(name: str, arguments: str = "{}", call_id: str = "c1", **extra: Any) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **extra}


def signed(signature: str) -> Json:
    return {"extra_content": {"google": {"thought_signature": signature}}}


def test_system_and_developer_messages_become_one_instruction_in_order() -> None:
    sent = turns(
        {"role": "system", "content": "One"},
        {"role": "developer", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}]},
        USER,
        {"role": "system", "content": "Three"},
    )

    assert sent.body["systemInstruction"] == {"parts": [{"text": "One"}, {"text": "Two"}, {"text": "Three"}]}
    assert sent.body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert sent.losses == ()


def test_instruction_without_a_turn_is_sent_as_a_turn() -> None:
    sent = turns({"role": "system", "content": "One"})

    assert "systemInstruction" not in sent.body
    assert sent.body["contents"] == [{"role": "user", "parts": [{"text": "One"}]}]
    assert sent.losses == ("messages[0].role",)


def test_request_that_says_nothing_still_has_a_turn() -> None:
    assert turns({"role": "user", "content": ""}).body["contents"] == [{"role": "user", "parts": [{"text": ""}]}]


def test_instruction_takes_text_only() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    sent = turns({"role": "system", "content": [image, {"type": "text", "text": "One"}]}, USER)

    assert sent.body["systemInstruction"] == {"parts": [{"text": "One"}]}
    assert sent.losses == ("messages[0].content",)


def test_turns_of_one_role_stay_apart() -> None:
    sent = turns(USER, USER, {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"})

    assert [turn["role"] for turn in sent.body["contents"]] == ["user", "user", "model", "model"]


def test_calls_join_the_models_turn_before_them() -> None:
    sent = turns(USER, {"role": "assistant", "content": "A"}, {"role": "assistant", "tool_calls": [call("f")]})

    assert sent.body["contents"][1:] == [
        {"role": "model", "parts": [{"text": "A"}, {"functionCall": {"id": "c1", "name": "f", "args": {}}}]}
    ]


def test_thinking_text_and_calls_keep_their_order() -> None:
    message = Message(
        role="assistant",
        content=(ThinkingPart(text="Hm", signature="c2ln"), ThinkingPart(), TextPart(text="A")),
        tool_calls=(ToolCall(id="c1", name="f", arguments='{"z":1,"a":12345678901234567890}'),),
    )

    sent = send(ChatRequest(model="m", messages=(message,)))

    assert sent.body["contents"][0]["parts"] == [
        {"text": "Hm", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "A"},
        {"functionCall": {"id": "c1", "name": "f", "args": {"z": 1, "a": 12345678901234567890}}},
    ]
    assert sent.losses == ()


def test_redacted_thinking_is_a_loss() -> None:
    message = Message(role="assistant", content=(ThinkingPart(redacted_data="xx"),))

    sent = send(ChatRequest(model="m", messages=(message,)))

    assert sent.losses == ("messages[0].content[0].redacted_data",)


def test_parallel_results_come_in_one_turn_in_the_order_of_their_calls() -> None:
    sent = turns(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("f"), call("g", call_id="c2")]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "user", "content": "And?"},
    )

    assert sent.body["contents"][2:] == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"result": "one"}}},
                {"functionResponse": {"id": "c2", "name": "g", "response": {"result": "two"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]
    assert sent.losses == ()


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ('{"b": 1, "a": [2]}', {"b": 1, "a": [2]}),
        ("[1, 2]", {"result": [1, 2]}),
        ("5", {"result": "5"}),
        ("plain", {"result": "plain"}),
        ("", {"result": ""}),
        ("{broken", {"result": "{broken"}),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"result": "ab"}),
    ],
)
def test_results_are_objects(content: Any, response: Json) -> None:
    sent = turns(
        {"role": "assistant", "tool_calls": [call("f")]}, {"role": "tool", "tool_call_id": "c1", "content": content}
    )

    assert sent.body["contents"][1]["parts"][0]["functionResponse"]["response"] == response


def test_pictures_of_results_follow_all_results() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sent = turns(
        {"role": "assistant", "tool_calls": [call("f"), call("g", call_id="c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": [image, {"type": "text", "text": "one"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
    )

    kinds = [next(iter(part)) for part in sent.body["contents"][1]["parts"]]

    assert kinds == ["functionResponse", "functionResponse", "inlineData"]


def test_result_of_an_unknown_call_is_named_as_well_as_can_be() -> None:
    sent = turns(USER, {"role": "tool", "tool_call_id": "c9", "content": "x"})

    assert sent.body["contents"][1]["parts"][0]["functionResponse"]["name"] == "c9"
    assert sent.losses == ("messages[1].tool_call_id",)


def test_result_of_the_older_kind_names_its_function() -> None:
    sent = turns(USER, {"role": "function", "name": "f", "content": "x"})

    result = sent.body["contents"][1]["parts"][0]["functionResponse"]
    assert result == {"name": "f", "response": {"result": "x"}}
    assert sent.losses == ()


def test_ids_that_the_gateway_made_do_not_go_to_google() -> None:
    sent = turns(
        {"role": "assistant", "tool_calls": [call("f", call_id="call_0st4mp_0_0")]},
        {"role": "tool", "tool_call_id": "call_0st4mp_0_0", "content": "x"},
    )

    assert sent.body["contents"][0]["parts"][0]["functionCall"] == {"name": "f", "args": {}}
    assert sent.body["contents"][1]["parts"][0]["functionResponse"]["name"] == "f"


def test_no_ids_go_to_a_server_that_refuses_them() -> None:
    request = read(
        messages=[
            {"role": "assistant", "tool_calls": [call("f")]},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
        ]
    )

    sent = send(request, profile=Profile(accepts_tool_call_ids=False))

    assert "id" not in sent.body["contents"][0]["parts"][0]["functionCall"]
    assert "id" not in sent.body["contents"][1]["parts"][0]["functionResponse"]


@pytest.mark.parametrize(
    ("arguments", "args", "losses"),
    [
        ("", {}, ()),
        (" ", {}, ()),
        ('{"a": 1.0}', {"a": 1.0}, ()),
        ("{broken", {"arguments": "{broken"}, ("messages[0].tool_calls[0].function.arguments",)),
        ("[1]", {"arguments": [1]}, ("messages[0].tool_calls[0].function.arguments",)),
    ],
)
def test_arguments_are_sent_whatever_they_are(arguments: str, args: Json, losses: tuple[str, ...]) -> None:
    sent = turns({"role": "assistant", "tool_calls": [call("f", arguments)]})

    assert sent.body["contents"][0]["parts"][0]["functionCall"]["args"] == args
    assert sent.losses == losses


def test_calls_of_other_kinds_are_sent_as_function_calls() -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    strange = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a":1}', "new": 1}}
    unknown = {"id": "c3", "type": "novel"}
    broken = {"id": 4, "type": "novel"}

    sent = turns(
        {"role": "assistant", "tool_calls": [custom, strange, unknown, broken]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    )

    assert [part["functionCall"]["args"] for part in sent.body["contents"][0]["parts"]] == [{"input": "ls"}, {"a": 1}]
    assert sent.body["contents"][1]["parts"][0]["functionResponse"]["name"] == "sh"
    assert sent.losses == tuple(f"messages[0].tool_calls[{place}]" for place in range(4))


def test_signatures_go_back_where_they_came_from() -> None:
    sent = turns(
        USER,
        {
            "role": "assistant",
            "content": "A",
            "tool_calls": [call("f", **signed("Y2FsbA==")), call("g", call_id="c2")],
            **signed("dGV4dA=="),
        },
    )

    parts = sent.body["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["dGV4dA==", "Y2FsbA==", None]
    assert sent.losses == ()


def test_signature_of_a_text_that_is_gone_goes_back_on_an_empty_one() -> None:
    sent = turns(USER, {"role": "assistant", "content": None, **signed("dGV4dA==")})

    assert sent.body["contents"][1]["parts"] == [{"text": "", "thoughtSignature": "dGV4dA=="}]


def test_signature_skips_thoughts() -> None:
    message = Message(
        role="assistant",
        content=(TextPart(text="A"), ThinkingPart(text="Hm")),
        extra=read(messages=[{"role": "assistant", "content": "A", **signed("dGV4dA==")}]).messages[0].extra,
    )

    sent = send(ChatRequest(model="m", messages=(message,)))

    assert sent.body["contents"][0]["parts"] == [
        {"text": "A", "thoughtSignature": "dGV4dA=="},
        {"text": "Hm", "thought": True},
    ]


@pytest.mark.parametrize(
    ("model", "demanded"),
    [
        ("gemini-3-pro-preview", True),
        ("gemini-3.1-flash", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-pro", False),
        ("gemini-1.5-flash-latest", False),
        ("gemma-3", False),
    ],
)
def test_calls_without_a_signature_get_the_documented_value_where_one_is_demanded(model: str, demanded: bool) -> None:
    request = read(messages=[{"role": "assistant", "tool_calls": [call("f"), call("g", call_id="c2")]}])

    parts = send(request, model).body["contents"][0]["parts"]

    bypass = "skip_thought_signature_validator" if demanded else None
    assert [part.get("thoughtSignature") for part in parts] == [bypass, None]


def test_calls_with_a_signature_keep_it() -> None:
    request = read(messages=[{"role": "assistant", "tool_calls": [call("f", **signed("Y2FsbA=="))]}])

    parts = send(request, "gemini-3-pro").body["contents"][0]["parts"]

    assert parts[0]["thoughtSignature"] == "Y2FsbA=="


def test_parts_and_pictures_of_earlier_answers_go_back() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    elsewhere = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}

    sent = turns(
        {
            "role": "assistant",
            "content": "A",
            "extra_content": {"google": {"parts": [code]}},
            "images": [{**picture, **signed("aW1n")}, elsewhere],
        }
    )

    assert sent.body["contents"][0]["parts"] == [
        code,
        {"text": "A"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "aW1n"},
    ]
    assert sent.losses == ("messages[0].images[1]",)


def test_what_no_turn_can_say_is_a_loss() -> None:
    sent = turns(
        {"role": "user", "content": "Hi", "name": "Bo", "cache_control": {"type": "ephemeral"}},
        {"role": "critic", "content": "No"},
        {
            "role": "assistant",
            "content": None,
            "refusal": "I will not.",
            "audio": {"id": "a1"},
            "annotations": [],
            "function_call": None,
            "images": "none",
            "extra_content": {"google": 1},
        },
        {"role": "assistant", "content": "", "extra_content": {"other": {}}},
    )

    assert set(sent.losses) == {
        "messages[0].cache_control",
        "messages[0].name",
        "messages[1].role",
        "messages[2].extra_content",
        "messages[2].images",
        "messages[2].audio",
        "messages[3].extra_content",
    }
    assert sent.body["contents"][2] == {"role": "model", "parts": [{"text": "I will not."}]}
    assert len(sent.body["contents"]) == 3


def test_harmless_defaults_are_no_losses() -> None:
    sent = asked(
        n=1,
        store=False,
        logprobs=False,
        tool_choice="auto",
        tools=[{"type": "function", "function": {"name": "f"}}],
        response_format={"type": "text"},
        modalities=["text"],
        frequency_penalty=0,
        presence_penalty=0.0,
        parallel_tool_calls=True,
        service_tier="auto",
        metadata={},
        logit_bias={},
        seed=None,
        unknown=None,
        repetition_penalty=1,
        min_p=0,
    )

    assert sent.losses == ()
    assert "generationConfig" not in sent.body
