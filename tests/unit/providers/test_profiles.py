"""Named differences between hosts: every one is shown somewhere, hosts and operators use them by name."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest
from isthmusd.core.profile import EarlierThinking, StructuredOutput
from isthmusd.providers.catalog import CATALOG, PROFILES, ConfigurationError, ProviderOptions, build

RAW: dict[str, Any] = tomllib.loads((files("isthmusd.providers") / "catalog.toml").read_text(encoding="utf-8"))
VARIANTS = [
    (name, place, variant)
    for name, host in RAW["providers"].items()
    for place, variant in enumerate(host.get("variants", ()))
]
ALWAYS_THINKS = {
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
}


@pytest.mark.parametrize("name", PROFILES)
def test_every_named_difference_says_where_it_is_shown(name: str) -> None:
    assert PROFILES[name]
    assert all(quirk.link.startswith("https://") for quirk in PROFILES[name])


@pytest.mark.parametrize(("name", "place", "variant"), VARIANTS)
def test_every_quirk_of_a_variant_says_where_it_is_shown(name: str, place: int, variant: dict[str, Any]) -> None:
    assert all(quirk["link"].startswith("https://") for quirk in variant.get("quirks", ())), (name, place)


@pytest.mark.parametrize(
    ("model", "refused", "renames"),
    [
        ("gpt-4o", set[str](), {}),
        ("gpt-5-chat-latest", set[str](), {}),
        ("gpt-5.1", set[str](), {"max_tokens": "max_completion_tokens"}),
        ("gpt-5", ALWAYS_THINKS, {"max_tokens": "max_completion_tokens"}),
        ("gpt-5-mini-2025-08-07", ALWAYS_THINKS, {"max_tokens": "max_completion_tokens"}),
        ("o3-mini", ALWAYS_THINKS | {"parallel_tool_calls"}, {"max_tokens": "max_completion_tokens"}),
        ("o3", ALWAYS_THINKS | {"parallel_tool_calls", "stop"}, {"max_tokens": "max_completion_tokens"}),
        ("o4-mini", ALWAYS_THINKS | {"parallel_tool_calls", "stop"}, {"max_tokens": "max_completion_tokens"}),
    ],
)
def test_models_that_think_take_other_members(model: str, refused: set[str], renames: dict[str, str]) -> None:
    profile = CATALOG["openai"].serving(model).profile

    assert profile.refuses == refused
    assert profile.renames == renames
    assert profile.earlier_thinking is EarlierThinking.NONE


def test_hosts_differ_by_what_they_take_within_messages() -> None:
    assert not CATALOG["openai"].serving("o1-mini").profile.accepts_developer_role
    assert not CATALOG["mistral"].profile.accepts_message_names
    assert CATALOG["mistral"].serving("magistral-medium-latest").profile.earlier_thinking is EarlierThinking.PARTS
    assert CATALOG["cerebras"].profile.earlier_thinking is EarlierThinking.REASONING
    assert CATALOG["deepseek"].profile.structured_output is StructuredOutput.OBJECTS
    assert CATALOG["openrouter"].profile.accepts_reasoning_object
    assert "image" not in CATALOG["ollama"].profile.fetches


def test_an_operators_own_host_can_be_like_others() -> None:
    options = ProviderOptions(
        base_url="http://127.0.0.1:4000/v1", profiles=("litellm", "max-tokens"), accepts={"developer_role": False}
    )

    profile = build({"mine": options})["mine"].profile

    assert profile.earlier_thinking is EarlierThinking.BLOCKS
    assert profile.renames == {"max_completion_tokens": "max_tokens"}
    assert not profile.accepts_developer_role


def test_profiles_are_laid_over_variants_too() -> None:
    openai = build({"openai": ProviderOptions(profiles=("inline-images",))})["openai"]

    assert openai.serving("o3").profile.fetches == openai.profile.fetches == frozenset()
    assert "temperature" in openai.serving("o3").profile.refuses


def test_an_unknown_profile_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.openai\.profiles: unknown profile 'litelm'.*'litellm'"):
        build({"openai": ProviderOptions(profiles=("litelm",))})


@pytest.mark.parametrize(
    ("provider", "model", "thinking", "refused", "limit"),
    [
        ("anthropic", "claude-opus-4-8", "level", {"temperature", "top_p", "top_k"}, 32000),
        ("anthropic", "claude-sonnet-5-5", "level", {"temperature", "top_p", "top_k", "tool_choice"}, 32000),
        ("anthropic", "claude-sonnet-4-6", "level", set[str](), 32000),
        ("anthropic", "claude-haiku-4-5-20251001", "budget", set[str](), 32000),
        ("anthropic", "claude-3-5-haiku-20241022", "none", set[str](), 8192),
        ("anthropic", "claude-3-haiku-20240307", "none", set[str](), 4096),
        ("vertex", "claude-opus-5", "level", {"temperature", "top_p", "top_k"}, 32000),
        ("vertex", "claude-sonnet-4@20250514", "budget", set[str](), 32000),
        ("bedrock", "us.anthropic.claude-opus-4-6-v1:0", "level", set[str](), None),
        (
            "bedrock",
            "arn:aws:bedrock:eu:1:inference-profile/eu.anthropic.claude-sonnet-5-v1:0",
            "level",
            {"temperature", "top_p", "top_k"},
            None,
        ),
        (
            "bedrock",
            "global.anthropic.claude-haiku-5-5-v1:0",
            "level",
            {"temperature", "top_p", "top_k", "tool_choice"},
            None,
        ),
        ("bedrock", "anthropic.claude-3-7-sonnet-20250219-v1:0", "budget", set[str](), None),
        ("bedrock", "anthropic.claude-3-5-haiku-20241022-v1:0", "none", set[str](), None),
    ],
)
def test_what_is_known_of_claude(
    provider: str, model: str, thinking: str, refused: set[str], limit: int | None
) -> None:
    profile = CATALOG[provider].serving(model).profile

    assert (profile.thinking, set(profile.refuses), profile.default_max_tokens) == (thinking, refused, limit)
