"""Histories that began elsewhere: at other models, in older formats, for hosts that take less."""

from __future__ import annotations

import pytest
from isthmusd.core.chat import ChatRequest, Message, TextPart, ThinkingPart
from isthmusd.core.profile import Profile

from tests.unit.dialects_gemini.asking import read, send, turns

USER = {"role": "user", "content": "Hi"}
CLAUDES = "ErcBCkgIBhABGAIqQKi5Qw0bSgXWzA"


def test_signatures_of_claude_stay_behind() -> None:
    content = (ThinkingPart(text="Hm", signature=CLAUDES), ThinkingPart(signature=CLAUDES), TextPart(text="A"))

    sent = send(ChatRequest(model="m", messages=(Message(role="assistant", content=content),)))

    assert sent.body["contents"][0]["parts"] == [{"text": "Hm", "thought": True}, {"text": "A"}]
    assert sent.losses == ("messages[0].content[0].signature", "messages[0].content[1].signature")


@pytest.mark.parametrize("signature", ["Ci8Bjz1rXzabcdefghijklmn", "EpEBCo4BAbabcdefghijklmn", "abc", "\u00e9"])
def test_other_signatures_go_back(signature: str) -> None:
    content = (ThinkingPart(text="Hm", signature=signature),)

    sent = send(ChatRequest(model="m", messages=(Message(role="assistant", content=content),)))

    assert sent.body["contents"][0]["parts"][0]["thoughtSignature"] == signature


def test_function_calls_from_before_tools_are_understood() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}}

    sent = turns(USER, call, {"role": "function", "name": "f", "content": "1"})

    assert sent.body["contents"][1:] == [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "1"}}}]},
    ]
    assert sent.losses == ()


def test_function_call_that_is_none_is_a_loss() -> None:
    sent = turns(USER, {"role": "assistant", "content": "A", "function_call": 1, "x": None})

    assert sent.losses == ("messages[1].function_call",)


def test_results_without_ids_answer_the_calls_that_wait() -> None:
    calls = [{"id": "", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]

    sent = turns(
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "name": "g", "content": "2"},
        {"role": "tool", "content": "1"},
    )

    assert [part["functionResponse"]["name"] for part in sent.body["contents"][2]["parts"]] == ["f", "g"]


def test_instructions_begin_the_conversation_of_models_without_a_place_for_them() -> None:
    request = read(messages=[{"role": "system", "content": "Be brief."}, USER])

    sent = send(request, "gemma-3-27b-it", Profile(accepts_system_prompt=False))

    assert "systemInstruction" not in sent.body
    assert sent.body["contents"] == [
        {"role": "user", "parts": [{"text": "Be brief."}]},
        {"role": "user", "parts": [{"text": "Hi"}]},
    ]
    assert sent.losses == ()
