"""`isthmus providers` and `isthmus models`: what the settings make usable, without secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from click.testing import Result
from isthmusd.cli.app import app
from typer.testing import CliRunner

CONFIG = """
providers:
  mybox: {base_url: "http://127.0.0.1:9/v1", models: [tiny], profiles: [litellm]}
models:
  fast: {provider: mybox, model: tiny}
"""
SECRET = "sk-very-secret"


def run(command: str, *arguments: str, environ: Mapping[str, str]) -> Result:
    """Run a command in this process, in an environment that holds only what is said."""
    bare = {name: None for name in os.environ if name not in {"PATH", "HOME"}}
    return CliRunner().invoke(app, [command, *arguments], env={**bare, **environ})


def listed(command: str, tmp_path: Path) -> list[dict[str, Any]]:
    (tmp_path / "isthmus.yaml").write_text(CONFIG)
    result = run(command, "--json", "--config", str(tmp_path / "isthmus.yaml"), environ={"OPENAI_API_KEY": SECRET})
    assert result.exit_code == 0, result.stderr
    assert SECRET not in result.stdout
    return msgspec.json.decode(result.stdout)


def test_providers_say_whether_they_are_usable_and_what_they_need(tmp_path: Path) -> None:
    providers = {each["name"]: each for each in listed("providers", tmp_path)}

    assert providers["openai"]["usable"]
    assert providers["openai"]["missing"] == []
    assert providers["openai"]["variants"]["o3"]["capabilities"]["renames"] == {"max_tokens": "max_completion_tokens"}
    assert not providers["mistral"]["usable"]
    assert providers["mistral"]["missing"] == ["providers.mistral.api_key (or MISTRAL_API_KEY)"]
    assert "seed" in providers["mistral"]["capabilities"]["renames"]
    assert providers["mybox"]["usable"]
    assert providers["mybox"]["models"] == ["tiny"]
    assert providers["mybox"]["capabilities"] == {"earlier_thinking": "thinking_blocks"}
    assert any("region" in need for need in providers["bedrock"]["missing"])


def test_models_are_those_that_callers_may_name(tmp_path: Path) -> None:
    models = {each["id"]: each["provider"] for each in listed("models", tmp_path)}

    assert models["gpt-4o"] == "openai"
    assert models["fast"] == models["mybox/tiny"] == "mybox"
    assert models["demo/echo"] == "demo"
    assert "mistral/mistral-large-latest" not in models


def test_both_are_readable_as_text() -> None:
    providers = run("providers", environ={"MISTRAL_API_KEY": SECRET}).stdout
    models = run("models", environ={"MISTRAL_API_KEY": SECRET}).stdout

    lines = {line.split()[0]: line for line in providers.splitlines()}
    assert lines["mistral"].split() == ["mistral", "openai", "https://api.mistral.ai/v1", "usable"]
    assert lines["openai"].endswith("needs providers.openai.api_key (or OPENAI_API_KEY)")
    assert "mistral/mistral-large-latest\tmistral" in models.splitlines()
    assert SECRET not in providers + models


def test_settings_that_cannot_be_are_told(tmp_path: Path) -> None:
    (tmp_path / "isthmus.yaml").write_text("lisen: 1")

    result = run("models", "--config", str(tmp_path / "isthmus.yaml"), environ={})

    assert result.exit_code == 1
    assert "lisen" in result.stderr


def test_the_page_of_the_catalogue_is_printed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "isthmusd.cli.catalog_page"], capture_output=True, text=True, timeout=30, check=True
    )

    assert result.stdout == (Path(__file__).parents[3] / "docs" / "providers.md").read_text(encoding="utf-8")
