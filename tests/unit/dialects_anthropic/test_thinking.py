"""How much a model thinks, and what it then refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from isthmusd.core.chat import ChatRequest, JsonText, Message, Reasoning, Sampling, TextPart, ThinkingPart, ToolCall
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects_anthropic.sent import BUDGET, HI, LEVEL, Sent, ask, send

UNSET = Sampling()
NONE = replace(BUDGET, thinking=Thinking.NONE)
CALLING = Message(role="assistant", tool_calls=(ToolCall(id="a", name="f", arguments="{}"),))
RESULT = Message(role="tool", tool_call_id="a", content=(TextPart(text="1"),))
THOUGHT = replace(CALLING, content=(ThinkingPart(text="hm", signature="s"),))


def reasoned(profile: Profile, sampling: Sampling = UNSET, **reasoning: Any) -> Sent:
    return send(ChatRequest(model="m", messages=(HI,), sampling=sampling, reasoning=Reasoning(**reasoning)), profile)


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16384), ("xhigh", 24576), ("max", 28672)],
)
def test_effort_becomes_a_budget_below_the_limit(effort: str, budget: int) -> None:
    sent = ask(reasoning_effort=effort)

    assert sent.body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert sent.body["max_tokens"] > budget
    assert sent.losses == []


def test_limit_above_the_budget_stays_and_one_below_is_raised_with_a_loss() -> None:
    enough = ask(reasoning_effort="low", max_completion_tokens=3000)
    small = ask(reasoning_effort="low", max_completion_tokens=2000)
    older = ask(reasoning_effort="low", max_tokens=2000)

    assert (enough.body["max_tokens"], enough.losses) == (3000, [])
    assert (small.body["max_tokens"], small.losses) == (4048, ["max_completion_tokens"])
    assert (older.body["max_tokens"], older.losses) == (4048, ["max_tokens"])


@pytest.mark.parametrize(
    ("reasoning", "thinking", "losses"),
    [
        ({"effort": "none"}, None, []),
        ({"max_tokens": 0}, None, []),
        ({"max_tokens": 2000}, {"type": "enabled", "budget_tokens": 2000}, []),
        ({"max_tokens": 2000, "effort": "high"}, {"type": "enabled", "budget_tokens": 2000}, []),
        ({"max_tokens": 10}, {"type": "enabled", "budget_tokens": 1024}, ["reasoning.max_tokens"]),
        ({"effort": "odd"}, None, ["reasoning_effort"]),
        ({"effort": "low", "include": True}, {"type": "enabled", "budget_tokens": 2048}, []),
        (
            {"effort": "low", "include": False},
            {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
            [],
        ),
        ({"include": True}, None, ["reasoning.include"]),
        ({"include": False}, None, []),
    ],
)
def test_budgets(reasoning: dict[str, Any], thinking: Any, losses: list[str]) -> None:
    sent = reasoned(BUDGET, **reasoning)

    assert sent.body.get("thinking") == thinking
    assert sent.losses == losses


@pytest.mark.parametrize(
    ("reasoning", "thinking", "effort", "losses"),
    [
        ({"effort": "minimal"}, {"type": "adaptive"}, "low", []),
        ({"effort": "high"}, {"type": "adaptive"}, "high", []),
        ({"effort": "max"}, {"type": "adaptive"}, "max", []),
        ({"effort": "none"}, {"type": "disabled"}, None, []),
        ({"max_tokens": 0}, {"type": "disabled"}, None, []),
        ({"max_tokens": 2000}, {"type": "adaptive"}, None, ["reasoning.max_tokens"]),
        ({"effort": "odd"}, None, None, ["reasoning_effort"]),
        ({"effort": "low", "include": True}, {"type": "adaptive", "display": "summarized"}, "low", []),
        ({"effort": "low", "include": False}, {"type": "adaptive", "display": "omitted"}, "low", []),
        ({"include": True}, {"type": "adaptive", "display": "summarized"}, None, []),
        ({"include": False}, None, None, []),
    ],
)
def test_levels(reasoning: dict[str, Any], thinking: Any, effort: str | None, losses: list[str]) -> None:
    sent = reasoned(LEVEL, **reasoning)

    assert sent.body.get("thinking") == thinking
    assert sent.body.get("output_config", {}).get("effort") == effort
    assert sent.body["max_tokens"] == 4096
    assert sent.losses == losses


@pytest.mark.parametrize(
    ("reasoning", "losses"),
    [
        ({"effort": "high", "max_tokens": 5, "include": True}, ["reasoning_effort", "reasoning.max_tokens"]),
        ({"effort": "none", "include": False}, []),
    ],
)
def test_model_that_does_not_think(reasoning: dict[str, Any], losses: list[str]) -> None:
    sent = reasoned(NONE, **reasoning)

    assert "thinking" not in sent.body
    assert sent.losses == losses + (["reasoning.include"] if reasoning["include"] else [])


def native(thinking: str, profile: Profile = BUDGET, **reasoning: Any) -> Sent:
    extra = (("thinking", JsonText(thinking)),)
    return send(ChatRequest(model="m", messages=(HI,), reasoning=Reasoning(**reasoning), extra=extra), profile)


@pytest.mark.parametrize(
    ("off", "thinking", "effort", "losses"),
    [
        ("disabled", {"type": "disabled"}, None, []),
        ("between_tools", {"type": "between_tools"}, None, []),
        ("", None, {"effort": "low"}, ["reasoning_effort"]),
    ],
)
def test_none_at_all_as_far_as_the_model_can(off: str, thinking: Any, effort: Any, losses: list[str]) -> None:
    sent = reasoned(replace(LEVEL, thinking_off=off), effort="none")

    assert (sent.body.get("thinking"), sent.body.get("output_config"), sent.losses) == (thinking, effort, losses)


@pytest.mark.parametrize(("effort", "sent", "losses"), [("xhigh", "high", ["reasoning_effort"]), ("max", "max", [])])
def test_effort_that_the_model_lacks_is_lowered(effort: str, sent: str, losses: list[str]) -> None:
    asked = reasoned(replace(LEVEL, lacks_efforts=frozenset({"xhigh"})), effort=effort)

    assert (asked.body["output_config"], asked.losses) == ({"effort": sent}, losses)


def test_largest_budget_fits_the_least_that_thinking_models_can_write() -> None:
    sent = ask(replace(BUDGET, default_max_tokens=32000), reasoning_effort="max")

    assert sent.body["max_tokens"] == 32000


def test_own_words_of_anthropic_win() -> None:
    sent = native('{"type":"enabled","budget_tokens":5000}', effort="low")

    assert sent.body["thinking"] == {"type": "enabled", "budget_tokens": 5000}
    assert sent.body["max_tokens"] == 9096
    assert sent.losses == ["reasoning_effort"]


def test_callers_may_write_anthropics_words() -> None:
    sent = ask(thinking={"type": "enabled", "budget_tokens": 5000})

    assert sent.body["thinking"] == {"type": "enabled", "budget_tokens": 5000}
    assert sent.losses == []


def test_own_words_of_anthropic_go_with_an_effort_where_the_model_has_levels() -> None:
    sent = ask(LEVEL, thinking={"type": "adaptive"}, reasoning_effort="low", output_config={"x": 1})

    assert sent.body["output_config"] == {"effort": "low", "x": 1}
    assert sent.losses == []


def test_switched_off_in_own_words_forbids_nothing() -> None:
    sent = ask(LEVEL, thinking={"type": "disabled"}, temperature=0.5)

    assert sent.body["temperature"] == 0.5
    assert sent.losses == []


def test_strange_words_pass_for_anthropic_to_judge() -> None:
    sent = native('"much"', max_tokens=5, include=True)

    assert sent.body["thinking"] == "much"
    assert sent.losses == ["reasoning.max_tokens", "reasoning.include"]


@pytest.mark.parametrize(
    ("sampling", "kept", "losses"),
    [
        (Sampling(temperature=1.0, top_p=0.95), {"top_p": 0.95}, []),
        (Sampling(temperature=0.5, top_k=3), {}, ["temperature", "top_k"]),
        (Sampling(top_p=0.5), {}, ["top_p"]),
        (Sampling(temperature=1), {"temperature": 1}, []),
    ],
)
@pytest.mark.parametrize("profile", [BUDGET, LEVEL])
def test_thinking_forbids_most_sampling(
    sampling: Sampling, kept: dict[str, Any], losses: list[str], profile: Profile
) -> None:
    sent = reasoned(profile, sampling, effort="low")

    assert {name: sent.body[name] for name in ("temperature", "top_p", "top_k") if name in sent.body} == kept
    assert sent.losses == losses


def continued(*messages: Message, profile: Profile = BUDGET) -> Sent:
    return send(ChatRequest(model="m", messages=(HI, *messages), reasoning=Reasoning(effort="low")), profile)


@pytest.mark.parametrize(
    "messages",
    [
        (CALLING, RESULT),
        (CALLING, RESULT, CALLING, RESULT),
        (Message(role="assistant", content=(TextPart(text="I"),)),),
    ],
)
def test_turn_without_its_thinking_is_continued_without_thinking(messages: tuple[Message, ...]) -> None:
    sent = continued(*messages)

    assert "thinking" not in sent.body
    assert sent.losses == ["reasoning_effort"]


@pytest.mark.parametrize(
    "messages",
    [
        (THOUGHT, RESULT),
        (THOUGHT, RESULT, CALLING, RESULT),
        (CALLING, RESULT, THOUGHT, RESULT),
        (CALLING, RESULT, HI),
        (CALLING, RESULT, Message(role="assistant", content=(TextPart(text="I"),)), HI),
    ],
)
def test_turn_with_its_thinking_and_turns_of_the_user_are_answered_thinking(messages: tuple[Message, ...]) -> None:
    sent = continued(*messages)

    assert sent.body["thinking"]["type"] == "enabled"
    assert sent.losses == []


def test_levels_need_no_thinking_in_the_turn_before() -> None:
    sent = continued(CALLING, RESULT, profile=LEVEL)

    assert sent.body["thinking"] == {"type": "adaptive"}
    assert sent.losses == []
