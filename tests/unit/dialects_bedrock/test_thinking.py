"""How models are told to think, and what they then no longer take."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import (
    FunctionTool,
    JsonText,
    Message,
    Reasoning,
    Sampling,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolChoiceMode,
)
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects_bedrock.requests import CLAUDE, GPT, LLAMA, NOVA, Sent, said, sent, user

BUDGET, LEVEL = Profile(thinking=Thinking.BUDGET), Profile(thinking=Thinking.LEVEL)
NEVER = Profile(thinking=Thinking.NONE)


def fields_of(written: Sent) -> Any:
    return written.body.get("additionalModelRequestFields", {})


def enabled(budget: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


@pytest.mark.parametrize(
    ("reasoning", "limit", "budget", "lost"),
    [
        (Reasoning(effort="low"), 10_000, 2_000, []),
        (Reasoning(effort="medium"), 10_000, 5_000, []),
        (Reasoning(effort="high"), 10_000, 8_000, []),
        (Reasoning(effort="minimal"), 10_000, 1_024, []),
        (Reasoning(effort="max"), 1_100, 1_045, []),
        (Reasoning(effort="low"), 1_025, 1_024, []),
        (Reasoning(effort="medium"), None, 10_240, []),
        (Reasoning(max_tokens=3_000), None, 3_000, []),
        (Reasoning(max_tokens=3_000, effort="low"), 10_000, 3_000, []),
        (Reasoning(max_tokens=10), None, 1_024, ["reasoning.max_tokens"]),
        (Reasoning(max_tokens=9_000), 5_000, 4_999, ["reasoning.max_tokens"]),
    ],
)
def test_a_budget_is_a_share_of_the_limit(
    reasoning: Reasoning, limit: int | None, budget: int, lost: list[str]
) -> None:
    thinking = sent(reasoning=reasoning, sampling=Sampling(max_tokens=limit), profile=BUDGET)

    assert fields_of(thinking) == enabled(budget)
    assert list(thinking.losses) == lost


@pytest.mark.parametrize(
    ("reasoning", "lost"),
    [
        (Reasoning(effort="high"), "reasoning_effort"),
        (Reasoning(max_tokens=2_000), "reasoning.max_tokens"),
        (Reasoning(effort="enormous"), "reasoning_effort"),
    ],
)
def test_no_thinking_where_there_is_no_room_or_no_such_effort(reasoning: Reasoning, lost: str) -> None:
    silent = sent(reasoning=reasoning, sampling=Sampling(max_tokens=1_000), profile=BUDGET)

    assert fields_of(silent) == {}
    assert list(silent.losses) == [lost]


@pytest.mark.parametrize("profile", [BUDGET, NEVER])
def test_no_effort_is_no_thinking(profile: Profile) -> None:
    silent = sent(reasoning=Reasoning(effort="none"), profile=profile)

    assert fields_of(silent) == {}
    assert silent.losses == {}


@pytest.mark.parametrize(
    ("effort", "word", "lost"),
    [("low", "low", []), ("minimal", "low", ["reasoning_effort"]), ("xhigh", "xhigh", []), ("max", "max", [])],
)
def test_claude_thinks_by_word_where_the_profile_says_so(effort: str, word: str, lost: list[str]) -> None:
    thinking = sent(reasoning=Reasoning(effort=effort), profile=LEVEL)

    assert fields_of(thinking) == {"thinking": {"type": "adaptive"}}
    assert thinking.body["outputConfig"] == {"effort": word}
    assert list(thinking.losses) == lost


@pytest.mark.parametrize(
    ("reasoning", "fields", "lost"),
    [
        (Reasoning(effort="none"), {"thinking": {"type": "disabled"}}, []),
        (Reasoning(effort="odd"), {}, ["reasoning_effort"]),
        (Reasoning(max_tokens=2_000), {"thinking": {"type": "adaptive"}}, ["reasoning.max_tokens"]),
    ],
)
def test_claude_without_a_word(reasoning: Reasoning, fields: dict[str, Any], lost: list[str]) -> None:
    thinking = sent(reasoning=reasoning, profile=LEVEL)

    assert fields_of(thinking) == fields
    assert "outputConfig" not in thinking.body
    assert list(thinking.losses) == lost


@pytest.mark.parametrize(
    ("model", "reasoning", "fields", "lost"),
    [
        (
            NOVA,
            Reasoning(effort="medium"),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
            [],
        ),
        (NOVA, Reasoning(effort="none"), {}, []),
        (NOVA, Reasoning(effort="odd"), {}, ["reasoning_effort"]),
        (NOVA, Reasoning(max_tokens=2_000), {}, ["reasoning.max_tokens"]),
        (GPT, Reasoning(effort="high"), {"reasoning_effort": "high"}, []),
        (GPT, Reasoning(effort="xhigh"), {"reasoning_effort": "high"}, ["reasoning_effort"]),
        (GPT, Reasoning(effort="none"), {}, ["reasoning_effort"]),
        (LLAMA, Reasoning(effort="high"), {}, ["reasoning_effort"]),
        (LLAMA, Reasoning(max_tokens=2_000), {}, ["reasoning.max_tokens"]),
        (LLAMA, Reasoning(effort="none"), {}, []),
    ],
)
def test_other_makers_have_other_words(
    model: str, reasoning: Reasoning, fields: dict[str, Any], lost: list[str]
) -> None:
    thinking = sent(reasoning=reasoning, model=model)

    assert fields_of(thinking) == fields
    assert list(thinking.losses) == lost


def test_the_profile_has_the_last_word() -> None:
    assert list(sent(reasoning=Reasoning(effort="high"), profile=NEVER).losses) == ["reasoning_effort"]


@pytest.mark.parametrize(("include", "lost"), [(True, []), (None, []), (False, ["reasoning.include"])])
def test_thinking_cannot_be_hidden(include: bool | None, lost: list[str]) -> None:
    assert list(sent(reasoning=Reasoning(include=include)).losses) == lost


def test_claude_thinking_takes_fewer_knobs() -> None:
    thinking = sent(
        reasoning=Reasoning(max_tokens=2_000),
        sampling=Sampling(temperature=0.5, top_p=0.5, top_k=3),
        tools=(FunctionTool(name="f"),),
        tool_choice=ToolChoiceMode(mode="required"),
    )

    assert fields_of(thinking) == enabled(2_000)
    assert "inferenceConfig" not in thinking.body
    assert thinking.body["toolConfig"]["toolChoice"] == {"auto": {}}
    assert set(thinking.losses) == {"temperature", "top_p", "top_k", "tool_choice"}


def test_knobs_that_thinking_allows_stay() -> None:
    thinking = sent(reasoning=Reasoning(max_tokens=2_000), sampling=Sampling(temperature=1, top_p=0.97))

    assert thinking.body["inferenceConfig"] == {"topP": 0.97}
    assert thinking.losses == {}


def test_the_caller_s_own_thinking_counts() -> None:
    thinking = sent(
        reasoning=Reasoning(max_tokens=2_000),
        extra=(("thinking", JsonText('{"type":"enabled","budget_tokens":4000}')),),
        model=CLAUDE,
    )

    assert fields_of(thinking) == enabled(4_000)


@pytest.mark.parametrize(("signature", "fields"), [(None, {}), ("sig", enabled(2_000))])
def test_claude_thinks_on_only_with_its_signed_thinking(signature: str | None, fields: dict[str, Any]) -> None:
    thought = () if signature is None else (ThinkingPart(text="hm", signature=signature),)
    turn = Message(
        role="assistant",
        content=(*thought, TextPart(text="I look.")),
        tool_calls=(ToolCall(id="a", name="f", arguments="{}"),),
    )

    resumed = sent(
        user("hi"),
        turn,
        said("tool", "1", tool_call_id="a"),
        tools=(FunctionTool(name="f"),),
        reasoning=Reasoning(max_tokens=2_000),
    )

    assert fields_of(resumed) == fields
    assert list(resumed.losses) == ([] if fields else ["reasoning.max_tokens"])


@pytest.mark.parametrize(("effort", "word"), [("low", "low"), ("medium", "high"), ("max", "high")])
def test_qwen_thinks_little_or_much(effort: str, word: str) -> None:
    written = sent(reasoning=Reasoning(effort=effort), model="qwen.qwen3-235b-a22b-2507-v1:0")

    assert written.body["additionalModelRequestFields"] == {"reasoning_config": word}
    assert ("reasoning_effort" in written.losses) is (effort != word)
