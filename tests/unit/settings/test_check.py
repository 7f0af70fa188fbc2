"""`isthmus check`, and the configurations in examples/."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))
KEYS = {"OPENAI_API_KEY": "sk-very-secret", "INFERENCE_API_KEY": "sk-other-secret"}


def check(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "isthmusd.cli", "check", *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": "/home/user", **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_accepted_and_printed_without_secrets(name: str) -> None:
    result = check("--config", str(ROOT / "examples" / name), environ=KEYS)

    assert result.returncode == 0, result.stderr
    written = yaml.safe_load((ROOT / "examples" / name).read_text())
    shown = yaml.safe_load(result.stdout)
    assert shown["listen"] == written["listen"]
    assert set(written) <= set(shown)
    assert not [key for key in KEYS.values() if key in result.stdout + result.stderr]


def test_there_is_an_example_for_each_use() -> None:
    assert EXAMPLES == ["fleet.yaml", "one-user.yaml", "team.yaml"]


def test_printed_settings_are_a_configuration_again(tmp_path: Path) -> None:
    first = check("--config", str(ROOT / "examples" / "team.yaml"), environ={})
    (tmp_path / "again.yaml").write_text(first.stdout)

    second = check("--config", str(tmp_path / "again.yaml"), environ={})

    assert second.stdout == first.stdout != ""


def test_fault_ends_with_its_message_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("limits: {idle: 3}\n")

    result = check("--config", str(tmp_path / "bad.yaml"), environ={})

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (f"isthmus: {tmp_path}/bad.yaml: limits.idle: unknown key; did you mean limits.idle_s?\n")


def test_warnings_go_to_stderr() -> None:
    result = check("--config", str(ROOT / "examples" / "fleet.yaml"), environ=KEYS)

    assert "warning: admin: 0.0.0.0:9090 shows metrics" in result.stderr
    assert "warning" not in result.stdout.replace("level: warning", "")


def test_public_anonymous_address_is_refused_unless_accepted() -> None:
    refused = check(environ={"ISTHMUS_LISTEN": "0.0.0.0:8080"})
    accepted = check("--allow-public-anonymous", environ={"ISTHMUS_LISTEN": "0.0.0.0:8080"})

    assert (refused.returncode, accepted.returncode) == (1, 0)
    assert "--allow-public-anonymous" in refused.stderr
