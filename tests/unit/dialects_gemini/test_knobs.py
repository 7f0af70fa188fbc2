"""The knobs of an answer, thinking, and Google's own members in requests."""

from __future__ import annotations

from typing import Any

import pytest
from isthmusd.core.chat import ChatRequest, Message, Reasoning
from isthmusd.core.profile import Profile, Thinking

from tests.unit.dialects_gemini.asking import CHAT, asked, read, send

Json = dict[str, Any]

FUNCTION: Json = {"type": "function", "function": {"name": "f"}}


def test_knobs_have_googles_names() -> None:
    sent = asked(
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        n=2,
        max_tokens=5,
        stop=["a", ""],
        seed=7,
        logprobs=True,
        top_logprobs=4,
        modalities=["text", "audio"],
        audio={"voice": "Kore", "format": "pcm16"},
        service_tier="default",
    )

    assert sent.body["generationConfig"] == {
        "temperature": 0,
        "topP": 0.5,
        "topK": 3,
        "frequencyPenalty": 0.5,
        "presencePenalty": -0.5,
        "candidateCount": 2,
        "maxOutputTokens": 5,
        "stopSequences": ["a"],
        "seed": 7,
        "responseLogprobs": True,
        "logprobs": 4,
        "responseModalities": ["TEXT", "AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    assert sent.body["serviceTier"] == "standard"
    assert sent.losses == ()


@pytest.mark.parametrize(
    ("tier", "headers"),
    [("flex", {"X-Tier": "flex"}), ("priority", {"X-Tier": "priority"}), ("default", {}), ("auto", {}), (None, {})],
)
def test_tier_goes_into_a_header_where_the_host_has_one(tier: str | None, headers: dict[str, str]) -> None:
    encoded = CHAT.encode_request(read(service_tier=tier), "m", Profile(tier_header="X-Tier"))

    assert dict(encoded.headers) == headers
    assert b"serviceTier" not in encoded.body
    assert encoded.losses == ()


def test_what_no_knob_can_say_is_a_loss() -> None:
    sent = asked(
        min_p=0.1,
        repetition_penalty=1.1,
        logit_bias={"1": 2},
        top_logprobs=3,
        max_tokens=5,
        max_completion_tokens=6,
        stop=["1", "2", "3", "4", "5", "6"],
        seed=2**40,
        audio={"voice": {"id": "v"}, "format": "mp3"},
        service_tier="novel",
        verbosity="low",
        user="u",
        metadata={"a": "b"},
        store=True,
        prediction={"type": "content", "content": "x"},
        parallel_tool_calls=False,
        tools=[FUNCTION],
        novel=1,
        response_format={"type": "novel"},
    )

    assert sent.body["generationConfig"] == {"maxOutputTokens": 6, "stopSequences": ["1", "2", "3", "4", "5"]}
    assert set(sent.losses) == {
        *("min_p", "repetition_penalty", "logit_bias", "top_logprobs", "max_tokens", "stop", "seed"),
        *("audio.voice", "audio.format", "service_tier", "verbosity", "user", "metadata", "store", "prediction"),
        *("parallel_tool_calls", "novel", "response_format"),
    }


def test_response_formats() -> None:
    schema = {"type": "object", "$defs": {"A": {}}, "additionalProperties": False}
    named = {"name": "n", "schema": schema, "strict": True}

    free = asked(response_format={"type": "json_object"})
    held = asked(response_format={"type": "json_schema", "json_schema": named})
    told = asked(response_format={"type": "json_schema", "json_schema": {"name": "n", "description": "D"}})

    assert free.body["generationConfig"] == {"responseMimeType": "application/json"}
    assert held.body["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert held.losses == ()
    assert told.losses == ("response_format.json_schema.description",)


def thought(model: str, thinking: Thinking, **asked_for: Any) -> tuple[Any, int]:
    request = ChatRequest(model="m", messages=(Message(role="user", content=None),), reasoning=Reasoning(**asked_for))
    sent = send(request, model, Profile(thinking=thinking))
    return sent.body.get("generationConfig", {}).get("thinkingConfig"), len(sent.losses)


SHOWN = {"includeThoughts": True}


@pytest.mark.parametrize(
    ("model", "asked_for", "config", "lost"),
    [
        ("flash", {"effort": "low"}, {"thinkingBudget": 1024, **SHOWN}, 0),
        ("flash", {"effort": "high", "include": False}, {"thinkingBudget": 24576}, 0),
        ("flash", {"effort": "xhigh"}, {"thinkingBudget": 24576, **SHOWN}, 1),
        ("flash", {"effort": "novel"}, None, 1),
        ("flash", {"effort": "none"}, {"thinkingBudget": 0}, 0),
        ("2.5-pro", {"effort": "none"}, {"thinkingBudget": 128}, 1),
        ("flash", {"max_tokens": 0}, {"thinkingBudget": 0}, 0),
        ("flash", {"max_tokens": 99, "effort": "low"}, {"thinkingBudget": 99, **SHOWN}, 1),
        ("flash", {"include": True}, SHOWN, 0),
        ("flash", {"max_tokens": 32000}, {"thinkingBudget": 24576, **SHOWN}, 1),
        ("2.5-pro", {"max_tokens": 32000}, {"thinkingBudget": 32000, **SHOWN}, 0),
        ("2.5-pro", {"max_tokens": 90000}, {"thinkingBudget": 32768, **SHOWN}, 1),
        ("2.5-pro", {"max_tokens": 0}, {"thinkingBudget": 128}, 1),
        ("2.5-pro", {"max_tokens": -1}, {"thinkingBudget": -1, **SHOWN}, 0),
    ],
)
def test_thinking_by_budget(model: str, asked_for: Json, config: Json | None, lost: int) -> None:
    assert thought(model, Thinking.BUDGET, **asked_for) == (config, lost)


@pytest.mark.parametrize(
    ("model", "asked_for", "config", "lost"),
    [
        ("3-flash", {"effort": "minimal"}, {"thinkingLevel": "MINIMAL", **SHOWN}, 0),
        ("3-pro", {"effort": "minimal"}, {"thinkingLevel": "LOW", **SHOWN}, 0),
        ("3-flash", {"effort": "none"}, {"thinkingLevel": "MINIMAL"}, 1),
        ("3-flash", {"max_tokens": 0}, {"thinkingLevel": "MINIMAL"}, 2),
        ("3-flash", {"max_tokens": 5000}, {"thinkingLevel": "MEDIUM", **SHOWN}, 1),
        ("3-flash", {"max_tokens": 90000}, {"thinkingLevel": "HIGH", **SHOWN}, 1),
        ("3-flash", {}, None, 0),
        ("gemini-3.6-flash", {"effort": "minimal"}, {"thinkingLevel": "MINIMAL", **SHOWN}, 0),
        ("gemini-3.7-flash", {"effort": "minimal"}, {"thinkingLevel": "LOW", **SHOWN}, 0),
        ("gemini-3.10-flash-preview", {"effort": "minimal"}, {"thinkingLevel": "LOW", **SHOWN}, 0),
        ("gemini-4-flash", {"effort": "none"}, {"thinkingLevel": "LOW"}, 1),
        ("gemini-flash-latest", {"effort": "minimal"}, {"thinkingLevel": "LOW", **SHOWN}, 0),
        ("gemini-3.8-flash-lite", {"effort": "minimal"}, {"thinkingLevel": "MINIMAL", **SHOWN}, 0),
    ],
)
def test_thinking_by_level(model: str, asked_for: Json, config: Json | None, lost: int) -> None:
    assert thought(model, Thinking.LEVEL, **asked_for) == (config, lost)


def test_models_that_do_not_think() -> None:
    assert thought("m", Thinking.NONE, effort="low", max_tokens=5, include=True) == (None, 3)
    assert thought("m", Thinking.NONE, effort="none", max_tokens=0, include=False) == (None, 0)


def test_googles_own_members_pass_in_either_spelling() -> None:
    safety = [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]

    sent = asked(
        safety_settings=safety,
        cachedContent="cachedContents/1",
        thinking_config={"thinking_level": "low"},
        generationConfig={"top_k": 5, "temperature": 1, "speechConfig": {}},
        tool_config={"retrieval_config": {"languageCode": "de"}},
        extra_body={"google": {"image_config": {"aspect_ratio": "1:1"}, "novel": 1, "labels": None}},
        google={"labels": {"a": "b"}},
        temperature=0.5,
    )

    assert sent.body["safetySettings"] == safety
    assert sent.body["cachedContent"] == "cachedContents/1"
    assert sent.body["labels"] == {"a": "b"}
    assert sent.body["toolConfig"] == {"retrievalConfig": {"languageCode": "de"}}
    assert sent.body["generationConfig"] == {
        "temperature": 0.5,
        "topK": 5,
        "speechConfig": {},
        "imageConfig": {"aspect_ratio": "1:1"},
        "thinkingConfig": {"thinkingLevel": "low"},
    }
    assert sent.losses == ("extra_body.google.novel", "generationConfig.temperature")


def test_googles_own_thinking_wins_over_an_effort() -> None:
    both = asked(reasoning_effort="low", thinkingConfig={"thinkingBudget": 5})
    shown = asked(reasoning_effort="low", thinkingConfig={"includeThoughts": False})

    assert both.body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 5}
    assert both.losses == ("reasoning",)
    assert shown.body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024, "includeThoughts": False}
    assert shown.losses == ()


def test_googles_own_calling_gives_way_to_a_tool_choice() -> None:
    own = {"function_calling_config": {"mode": "NONE"}}

    sent = asked(tools=[FUNCTION], tool_choice="required", tool_config=own)

    assert sent.body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert sent.losses == ("toolConfig.functionCallingConfig",)


def test_web_search_is_a_tool_of_google() -> None:
    sent = asked(web_search_options={"search_context_size": "low", "user_location": None})

    assert sent.body["tools"] == [{"googleSearch": {}}]
    assert sent.losses == ("web_search_options.search_context_size",)


def test_members_that_should_be_objects_are_losses_if_they_are_not() -> None:
    sent = asked(generationConfig=1, thinkingConfig=2, google="x")

    assert set(sent.losses) == {"generationConfig", "thinkingConfig", "google"}
