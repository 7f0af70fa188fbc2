"""What Cohere is asked: knobs, thinking, response formats, and what of a request has no place there."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import (
    ChatRequest,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    JsonText,
    RawFormat,
    Reasoning,
    Sampling,
    TextFormat,
)
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects_cohere.wire import CHAT, HELLO, NO_FIELD, asked, sent


def extra(**members: str) -> Any:
    return tuple((name, JsonText(text)) for name, text in members.items())


def test_every_knob_has_its_name_there() -> None:
    sampling = Sampling(
        temperature=1.0,
        top_p=0.9,
        top_k=40,
        frequency_penalty=0.5,
        presence_penalty=0,
        stop=("a", "b"),
        max_tokens=7,
        max_completion_tokens=9,
        logprobs=True,
        seed=2**63 + 1,
    )

    assert asked(sampling=sampling, stream=True, include_usage=True) == (
        {
            "temperature": 1,
            "p": 0.9,
            "k": 40,
            "frequency_penalty": 0.5,
            "presence_penalty": 0,
            "max_tokens": 9,
            "stop_sequences": ["a", "b"],
            "seed": 2**63 + 1,
            "logprobs": True,
            "stream": True,
        },
        {"max_tokens": "'max_completion_tokens' says it too"},
    )


def test_values_beyond_its_ranges_are_brought_into_them() -> None:
    body, losses = asked(
        sampling=Sampling(top_p=1, top_k=1000, frequency_penalty=-2, presence_penalty=2, stop=("x",) * 6, seed=2**64)
    )

    assert body == {
        "p": 0.99,
        "k": 500,
        "frequency_penalty": 0,
        "presence_penalty": 1,
        "stop_sequences": ["x"] * 5,
    }
    assert losses == {
        "top_p": "Cohere takes 0.01 to 0.99, so 0.99 was sent",
        "top_k": "Cohere takes 0 to 500, so 500 was sent",
        "frequency_penalty": "Cohere takes 0 to 1, so 0 was sent",
        "presence_penalty": "Cohere takes 0 to 1, so 1 was sent",
        "stop": "Cohere takes 5 of them: the first 5 were sent",
        "seed": f"Cohere takes 0 to {2**64 - 1}",
    }


def test_what_asks_for_nothing_more_is_no_loss() -> None:
    assert asked(
        sampling=Sampling(n=1, logprobs=False, top_logprobs=0, repetition_penalty=1, min_p=0, stop=(), logit_bias=()),
        parallel_tool_calls=True,
        verbosity="medium",
        metadata=(),
        store=False,
        service_tier="auto",
        modalities=("text",),
        response_format=TextFormat(),
        reasoning=Reasoning(include=True),
        extra=extra(unknown="null", documents="[]", safety_mode="null"),
    ) == ({}, {})


def test_what_has_no_place_there_is_a_loss() -> None:
    body, losses = asked(
        sampling=Sampling(n=2, top_logprobs=3, repetition_penalty=1.1, min_p=0.1, logit_bias=(("1", 2.0),)),
        parallel_tool_calls=False,
        verbosity="low",
        user="u",
        metadata=(("a", "b"),),
        store=True,
        service_tier="flex",
        modalities=("text", "audio"),
        audio=JsonText("{}"),
        prediction=JsonText("{}"),
        extra=extra(prompt_cache_key='"x"'),
    )

    assert body == {}
    assert losses == dict.fromkeys(
        [
            "min_p",
            "repetition_penalty",
            "logit_bias",
            "top_logprobs",
            "parallel_tool_calls",
            "verbosity",
            "user",
            "metadata",
            "store",
            "service_tier",
            "modalities",
            "audio",
            "prediction",
            "prompt_cache_key",
        ],
        NO_FIELD,
    ) | {"n": "Cohere gives one answer"}


def test_its_own_members_pass_as_they_are_and_count_more() -> None:
    body, losses = asked(
        sampling=Sampling(top_p=0.5, top_k=3, stop=("x",), temperature=0.5),
        reasoning=Reasoning(effort="low"),
        extra=extra(
            safety_mode='"STRICT"',
            documents='["a"]',
            citation_options='{"mode":"FAST"}',
            priority="3",
            thinking='{"type":"enabled"}',
            p="0.75",
            k="0",
            stop_sequences='["y"]',
        ),
    )

    assert body == {
        "temperature": 0.5,
        "stop_sequences": ["y"],
        "safety_mode": "STRICT",
        "documents": ["a"],
        "citation_options": {"mode": "FAST"},
        "priority": 3,
        "thinking": {"type": "enabled"},
        "p": 0.75,
        "k": 0,
    }
    assert losses == {
        "top_p": "'p' says it in Cohere's own words",
        "top_k": "'k' says it in Cohere's own words",
        "stop": "'stop_sequences' says it in Cohere's own words",
        "reasoning_effort": "'thinking' says it in Cohere's own words",
    }


def on(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "token_budget": budget}


@pytest.mark.parametrize(
    ("reasoning", "limit", "thinking"),
    [
        (Reasoning(effort="low"), None, on(2048)),
        (Reasoning(effort="max"), None, on(31_000)),
        (Reasoning(effort="high"), 1000, on(500)),
        (Reasoning(effort="none"), None, {"type": "disabled"}),
        (Reasoning(max_tokens=0, effort="high"), None, {"type": "disabled"}),
        (Reasoning(max_tokens=77, effort="high"), 100, on(77)),
        (Reasoning(), None, None),
    ],
)
def test_effort_becomes_a_budget(reasoning: Reasoning, limit: int | None, thinking: Any) -> None:
    body, losses = asked(reasoning=reasoning, sampling=Sampling(max_tokens=limit))

    assert body.get("thinking") == thinking
    assert losses == {}


def test_what_cannot_be_said_of_thinking_is_a_loss() -> None:
    assert asked(reasoning=Reasoning(effort="enormous", include=False)) == (
        {},
        {
            "reasoning_effort": "not one of none, minimal, low, medium, high, xhigh, max",
            "reasoning.include": "Cohere does not hide thinking",
        },
    )


@pytest.mark.parametrize(
    ("reasoning", "lost"),
    [
        (Reasoning(effort="low"), "reasoning_effort"),
        (Reasoning(max_tokens=5), "reasoning.max_tokens"),
        (Reasoning(effort="none"), None),
        (Reasoning(max_tokens=0), None),
    ],
)
def test_models_that_do_not_think(reasoning: Reasoning, lost: str | None) -> None:
    request = ChatRequest(model="m", messages=HELLO, reasoning=reasoning)

    body, losses = sent(request, Profile(thinking=Thinking.NONE))

    assert "thinking" not in body
    assert losses == ({lost: "the model does not think"} if lost else {})


SCHEMA = JsonText('{"type":"object","properties":{"a":{"const":12345678901234567890123}}}')


def test_response_formats() -> None:
    assert asked(response_format=JsonObjectFormat()) == ({"response_format": {"type": "json_object"}}, {})
    body, losses = asked(response_format=JsonSchemaFormat(name="x", schema=SCHEMA, description="d", strict=False))
    assert body["response_format"]["type"] == "json_object"
    assert losses == {"response_format.json_schema.description": NO_FIELD}
    own = RawFormat(json=JsonText('{"type":"json_object","json_schema":{"type":"object"}}'))
    assert asked(response_format=own)[0]["response_format"]["json_schema"] == {"type": "object"}
    assert asked(response_format=RawFormat(json=JsonText('{"type":"grammar"}'))) == (
        {},
        {"response_format": "Cohere has no such format"},
    )
    assert asked(response_format=JsonSchemaFormat(name="x"))[0] == {"response_format": {"type": "json_object"}}


def test_schemas_keep_their_text() -> None:
    request = ChatRequest(model="m", messages=HELLO, response_format=JsonSchemaFormat(name="x", schema=SCHEMA))

    assert SCHEMA.encode() in CHAT.encode_request(request, "m", Profile()).body


def test_formats_are_refused_beside_tools_and_documents() -> None:
    _, with_tools = asked(response_format=JsonObjectFormat(), tools=(FunctionTool(name="f"),))
    _, with_documents = asked(response_format=JsonObjectFormat(), extra=extra(documents='["a"]'))
    body, _ = asked(response_format=JsonObjectFormat(), extra=extra(documents="[]"))

    assert with_tools == {"response_format": "Cohere takes no response format beside tools"}
    assert with_documents == {"response_format": "Cohere takes no response format beside documents"}
    assert "response_format" in body


def test_where_calls_go() -> None:
    assert CHAT.path("any", True) == CHAT.path("any", False) == "/chat"
