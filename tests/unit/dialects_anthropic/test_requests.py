"""Members at the top of a request, and requests as wholes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isthmusd.core.chat import ChatRequest
from isthmusd.core.profile import Profile, StructuredOutput, Thinking
from isthmusd.core.request import Operation
from isthmusd.dialects.anthropic import CALLED

from tests.unit.dialects.openai.values import chat_requests
from tests.unit.dialects_anthropic.sent import BUDGET, LEVEL, USER, ask, send
from tests.unit.dialects_anthropic.shapes import Request

NO_SAMPLING = replace(LEVEL, refuses=frozenset({"temperature", "top_p", "top_k", "tool_choice"}))


def test_smallest_request() -> None:
    sent = ask()

    assert sent.body == {"model": "claude-x", "max_tokens": 4096, "messages": [USER]}
    assert sent.headers == {"anthropic-version": "2023-06-01"}
    assert sent.losses == []


def test_path_is_the_same_for_every_model() -> None:
    assert CALLED[Operation.CHAT].path("claude-x", True) == "/messages"


def test_cloud_takes_the_version_in_the_body_and_the_model_elsewhere() -> None:
    cloud = replace(BUDGET, model_in_body=False, anthropic_version="vertex-2023-10-16")

    sent = ask(cloud, stream=True)

    assert sent.body == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 4096,
        "messages": [USER],
        "stream": True,
    }
    assert sent.headers == {}


@pytest.mark.parametrize(
    ("members", "profile", "expected", "losses"),
    [
        ({}, replace(BUDGET, default_max_tokens=64000), 64000, []),
        ({"max_tokens": 10}, BUDGET, 10, []),
        ({"max_completion_tokens": 10}, replace(BUDGET, default_max_tokens=64000), 10, []),
        ({"max_completion_tokens": 10, "max_tokens": 10}, BUDGET, 10, []),
        ({"max_completion_tokens": 10, "max_tokens": 20}, BUDGET, 10, ["max_tokens"]),
    ],
)
def test_limit_is_always_sent(members: dict[str, Any], profile: Profile, expected: int, losses: list[str]) -> None:
    sent = ask(profile, **members)

    assert sent.body["max_tokens"] == expected
    assert sent.losses == losses


@pytest.mark.parametrize(
    ("members", "expected", "losses"),
    [
        ({"temperature": 0.5}, {"temperature": 0.5}, []),
        ({"temperature": 1.0}, {"temperature": 1}, []),
        ({"temperature": 1.7}, {"temperature": 1}, ["temperature"]),
        ({"top_p": 0.5, "top_k": 5}, {"top_p": 0.5, "top_k": 5}, []),
        ({"top_k": -1}, {}, []),
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}, []),
        ({"temperature": 1, "top_p": 0.5}, {"top_p": 0.5}, []),
        ({"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["top_p"]),
        ({"stop": "x"}, {"stop_sequences": ["x"]}, []),
        ({"stop": ["a", "\n", "b"]}, {"stop_sequences": ["a", "b"]}, ["stop"]),
        ({"stop": []}, {}, []),
        ({"stop_sequences": ["x"]}, {"stop_sequences": ["x"]}, []),
        ({"stop_sequences": ["x"], "stop": ["y"]}, {"stop_sequences": ["y"]}, []),
    ],
)
def test_sampling(members: dict[str, Any], expected: dict[str, Any], losses: list[str]) -> None:
    sent = ask(**({"stop": [members["stop"]]} | {} if members.get("stop") == "x" else members))

    names = ("temperature", "top_p", "top_k", "stop_sequences")
    assert {name: sent.body[name] for name in names if name in sent.body} == expected
    assert sent.losses == losses


def test_model_that_takes_no_sampling_gets_none() -> None:
    assert ask(NO_SAMPLING, temperature=1, top_p=1).losses == []
    assert ask(NO_SAMPLING, temperature=0.5, top_k=3).losses == ["temperature", "top_k"]
    assert not {"temperature", "top_p", "top_k"} & ask(NO_SAMPLING, temperature=0.5, top_p=0.9, top_k=3).body.keys()


IDLE: dict[str, Any] = {
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "min_p": 0,
    "repetition_penalty": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "store": False,
    "modalities": ["text"],
    "response_format": {"type": "text"},
    "verbosity": "medium",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "seed": None,
    "stream": True,
    "stream_options": {"include_usage": True},
}


@pytest.mark.parametrize("name", IDLE)
def test_what_anthropic_does_anyway_is_no_loss(name: str) -> None:
    sent = ask(**{name: IDLE[name]})

    assert sent.losses == []
    assert sent.body.keys() - {"stream"} == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("n", 2, "n"),
        ("frequency_penalty", 0.5, "frequency_penalty"),
        ("presence_penalty", -1, "presence_penalty"),
        ("min_p", 0.1, "min_p"),
        ("repetition_penalty", 1.1, "repetition_penalty"),
        ("logprobs", True, "logprobs"),
        ("top_logprobs", 3, "top_logprobs"),
        ("logit_bias", {"1": 2}, "logit_bias"),
        ("seed", 1, "seed"),
        ("store", True, "store"),
        ("modalities", ["text", "audio"], "modalities"),
        ("audio", {"voice": "alloy"}, "audio"),
        ("prediction", {"type": "content"}, "prediction"),
        ("verbosity", "low", "verbosity"),
        ("metadata", {"a": "b"}, "metadata.a"),
        ("service_tier", "flex", "service_tier"),
        ("prompt_cache_key", "k", "prompt_cache_key"),
        ("stream_options", {"include_obfuscation": False}, "stream_options"),
        ("tool_choice", "required", "tool_choice"),
        ("betas", "x", "betas"),
        ("output_config", 1, "output_config"),
    ],
)
def test_what_anthropic_lacks_is_a_loss(name: str, value: Any, field: str) -> None:
    sent = ask(**{name: value})

    assert sent.losses == [field]
    assert sent.body == {"model": "claude-x", "max_tokens": 4096, "messages": [USER]}


@pytest.mark.parametrize(
    ("members", "user_id", "losses"),
    [
        ({"user": "u"}, "u", []),
        ({"safety_identifier": "s"}, "s", []),
        ({"metadata": {"user_id": "m"}}, "m", []),
        ({"user": "u", "safety_identifier": "s"}, "u", ["safety_identifier"]),
        ({"user": "u", "metadata": {"user_id": "m"}}, "m", ["user"]),
        ({"user": "u", "metadata": {"user_id": "u"}}, "u", []),
    ],
)
def test_user_is_named_once(members: dict[str, Any], user_id: str, losses: list[str]) -> None:
    sent = ask(**members)

    assert sent.body["metadata"] == {"user_id": user_id}
    assert sent.losses == losses


@pytest.mark.parametrize(("tier", "native"), [("auto", "auto"), ("default", "standard_only")])
def test_tiers(tier: str, native: str) -> None:
    assert ask(service_tier=tier).body["service_tier"] == native


def test_members_of_anthropic_pass_with_the_betas_they_need() -> None:
    native = {
        "cache_control": {"type": "ephemeral"},
        "container": "c",
        "context_management": {"edits": []},
        "inference_geo": "us",
        "mcp_servers": [{"type": "url", "url": "https://x", "name": "n"}],
        "speed": "fast",
    }

    sent = ask(**native, betas=["a-1"], anthropic_beta=["b-2"])

    assert {name: sent.body[name] for name in native} == native
    assert sent.headers["anthropic-beta"].split(",") == [
        "context-management-2025-06-27",
        "mcp-client-2025-11-20",
        "fast-mode-2026-02-01",
        "a-1",
        "b-2",
    ]
    assert sent.losses == []


PROFILES = [
    Profile(thinking=thinking, structured_output=output)
    for thinking in Thinking
    for output in (StructuredOutput.NATIVE, StructuredOutput.TOOL)
]


@given(request=chat_requests(), profile=st.sampled_from(PROFILES))
def test_every_request_has_a_shape_that_anthropic_takes(request: ChatRequest, profile: Profile) -> None:
    body = CALLED[Operation.CHAT].encode_request(request, "claude-x", profile).body

    shaped = msgspec.json.decode(body, type=Request)

    budget = getattr(shaped.thinking, "budget_tokens", 0)
    assert shaped.max_tokens > budget or budget == 0


@given(request=chat_requests())
def test_unknown_members_are_losses_wherever_they_stand(request: ChatRequest) -> None:
    sent = send(request)

    unknown = [name for name, text in request.extra if text not in ("null", "{}", "[]")]
    assert [field for field in sent.losses if field in unknown] == unknown
    assert not set(unknown) & sent.body.keys()
