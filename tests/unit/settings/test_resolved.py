"""Settings on their way to workers and to the operator's eyes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from isthmusd.settings import Settings, load, tree

ENVIRON = {"OPENAI_API_KEY": "sk-very-secret", "GROQ_KEY": "gsk-secret", "MYBOX_BASE_URL": "http://127.0.0.1:9/v1"}
TEXT = """
listen: 127.0.0.1:0
cors: {origins: [https://app.example.com]}
providers:
  mybox: {models: [tiny], endpoint: box}
  groq: {endpoints: {blue: {api_key: "${GROQ_KEY}"}}}
models:
  fast: mybox/tiny
  both: {targets: [mybox/tiny, {provider: groq, model: x, endpoint: blue}]}
limits: {idle_s: 2}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "isthmus.yaml"
    config.write_text(TEXT)
    return load(config, ENVIRON, {})


def test_worker_reads_what_was_dumped(settings: Settings) -> None:
    read = Settings.read(settings.dump())

    assert read == settings
    assert read.providers["openai"].api_key == "sk-very-secret"


def test_masked_tree_shows_everything_but_secrets(settings: Settings) -> None:
    shown = settings.masked()

    assert shown["providers"] == {
        "openai": {"api_key": "***"},
        "mybox": {"base_url": "http://127.0.0.1:9/v1", "models": ["tiny"], "endpoint": "box"},
        "groq": {"endpoints": {"blue": {"api_key": "***"}}},
    }
    assert shown["models"] == {
        "fast": {"provider": "mybox", "model": "tiny"},
        "both": {
            "targets": [
                {"provider": "mybox", "model": "tiny"},
                {"provider": "groq", "model": "x", "endpoint": "blue"},
            ]
        },
    }
    assert shown["limits"]["idle_s"] == 2
    assert "sk-very" not in str(shown) and "gsk-" not in str(shown)


def test_settings_do_not_show_secrets_when_printed(settings: Settings) -> None:
    assert "sk-very-secret" not in repr(settings)


def test_every_setting_is_documented_under_its_field() -> None:
    module = ast.parse(Path(tree.__file__).read_text())

    undocumented = [
        f"{node.name}.{ast.unparse(part.target)}"
        for node in module.body
        if isinstance(node, ast.ClassDef)
        for part, after in zip(node.body, [*node.body[1:], None], strict=True)
        if isinstance(part, ast.AnnAssign)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]

    assert undocumented == []
