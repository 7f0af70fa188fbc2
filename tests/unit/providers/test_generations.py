"""What is known of the generations of Claude and Gemini, wherever they are served."""

from __future__ import annotations

import pytest
from isthmusd.core.profile import StructuredOutput, Thinking
from isthmusd.providers.catalog import CATALOG


@pytest.mark.parametrize("host", ["anthropic", "vertex"])
@pytest.mark.parametrize(
    ("model", "off"),
    [
        ("claude-opus-4-6", "disabled"),
        ("claude-opus-5", "disabled"),
        ("claude-haiku-5-5", "disabled"),
        ("claude-sonnet-5-5", "between_tools"),
        ("claude-opus-5-5", ""),
        ("claude-fable-5", ""),
        ("claude-mythos-5-1", ""),
    ],
)
def test_how_claude_is_told_not_to_think(host: str, model: str, off: str) -> None:
    profile = CATALOG[host].serving(model).profile

    assert (profile.thinking, profile.thinking_off) == (Thinking.LEVEL, off)
    assert (off == "disabled") or {"temperature", "tool_choice"} <= profile.refuses


@pytest.mark.parametrize("host", ["anthropic", "vertex"])
@pytest.mark.parametrize(
    ("model", "lacking"),
    [("claude-opus-4-6", {"xhigh"}), ("claude-sonnet-4-6", {"xhigh"}), ("claude-opus-4-7", set[str]())],
)
def test_the_fifth_effort_came_later_than_the_others(host: str, model: str, lacking: set[str]) -> None:
    assert CATALOG[host].serving(model).profile.lacks_efforts == lacking


@pytest.mark.parametrize(("model", "limit"), [("claude-3-5-haiku@20241022", 8192), ("claude-3-haiku@20240307", 4096)])
def test_older_models_of_claude_on_vertex_do_not_think_and_write_less(model: str, limit: int) -> None:
    profile = CATALOG["vertex"].serving(model).profile

    assert (profile.thinking, profile.default_max_tokens) == (Thinking.NONE, limit)


@pytest.mark.parametrize("host", ["google", "vertex"])
@pytest.mark.parametrize(
    ("model", "means"),
    [
        ("gemini-2.0-flash", StructuredOutput.APART),
        ("gemini-2.5-pro", StructuredOutput.APART),
        ("gemini-3.5-flash", StructuredOutput.NATIVE),
    ],
)
def test_schemas_beside_tools_came_with_the_third_generation_of_gemini(
    host: str, model: str, means: StructuredOutput
) -> None:
    assert CATALOG[host].serving(model).profile.structured_output is means


def test_tiers_of_vertex_are_asked_for_in_a_header() -> None:
    assert CATALOG["vertex"].serving("gemini-3.5-flash").profile.tier_header is not None
    assert CATALOG["google"].serving("gemini-3.5-flash").profile.tier_header is None


def test_only_older_gemmas_take_no_instructions() -> None:
    google = CATALOG["google"]

    assert not google.serving("gemma-3-27b-it").profile.accepts_system_prompt
    assert google.serving("gemma-4-31b-it").profile.accepts_system_prompt


def test_the_second_generation_of_embeddings_is_no_prediction() -> None:
    vertex = CATALOG["vertex"]
    older, newer = vertex.serving("gemini-embedding-001"), vertex.serving("gemini-embedding-2-preview")

    assert older.profile.embeds_by_predict
    assert not newer.profile.embeds_by_predict
    assert newer.path_of("embedding", False, "gemini-embedding-2") == (
        "/publishers/google/models/gemini-embedding-2:embedContent"
    )
