"""Calls as models of others wrote them: broken texts, ids that repeat, kinds that Anthropic does not know."""

from __future__ import annotations

import pytest

from tests.unit.dialects_anthropic.sent import USER, turns
from tests.unit.dialects_anthropic.test_messages import call, calling, result


@pytest.mark.parametrize("kind", ["custom", "novel"])
def test_calls_that_name_nothing_are_lost(kind: str) -> None:
    sent = turns(USER, calling({"type": kind, "id": "c"}, call("a")))

    assert [block["id"] for block in sent.body["messages"][1]["content"]] == ["a"]
    assert sent.losses == ["messages[1].tool_calls[0]"]


def test_halves_of_characters_in_arguments_are_sent_as_text() -> None:
    """Anthropic answers "no low surrogate in string" to them."""
    half, whole = '{"a":"\\ud83d"}', '{"a":"\\ud83d\\ude00"}'

    sent = turns(USER, calling(call("a", half), call("b", whole)), result("a"), result("b"))

    inputs = [block["input"] for block in sent.body["messages"][1]["content"]]
    assert inputs == [{"arguments": half}, {"a": "\U0001f600"}]
    assert sent.losses == ["messages[1].tool_calls[0].function.arguments"]


def test_ids_that_every_turn_repeats_cost_no_more_than_others() -> None:
    many = [message for _ in range(3000) for message in (USER, calling(call("same")), result("same"))]

    sent = turns(*many)

    ids = [turn["content"][0]["id"] for turn in sent.body["messages"] if turn["role"] == "assistant"]
    answers = [turn["content"][0]["tool_use_id"] for turn in sent.body["messages"][2::3]]
    assert ids == answers
    assert len(set(ids)) == len(ids) == 3000
