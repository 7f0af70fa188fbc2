"""The commands in the comments of examples/: they do what is said there, run as they are written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
COMMAND = re.compile(r"^# +\$ (.+)$", re.MULTILINE)
KEY = "sk-canary-research"


def commands(name: str) -> list[str]:
    """Give what an example's comments tell people to type."""
    return COMMAND.findall((EXAMPLES / name).read_text(encoding="utf-8"))


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment with the command in its path, and a place of its own for data."""
    for example in EXAMPLES.glob("*.yaml"):
        shutil.copy(example, tmp_path)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "isthmus"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m isthmusd.cli "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "ISTHMUS_DATA": str(tmp_path / "data"),
        "RESEARCH_OPENAI_KEY": KEY,
    }


def run(script: str, environ: dict[str, str], folder: Path) -> str:
    argv = ["/bin/sh", "-eu", "-c", script]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_of_the_team_work_as_written(shell: dict[str, str], tmp_path: Path) -> None:
    script = commands("team.yaml")

    said = run("\n".join(script), shell, tmp_path)
    tenants = {each["id"]: each for each in msgspec.json.decode(run("isthmus tenants list --json", shell, tmp_path))}

    assert len(script) == 10
    assert len(re.findall(r"^isk_\S+$", said, re.MULTILINE)) == 1
    assert KEY not in said
    assert tenants["shop"]["grants"]["models"] == ["best", "fast"]
    assert tenants["shop"]["projects"] == [{"name": "checkout", "record_bodies": False}]
    assert tenants["research"]["provider_keys"] == [{"provider": "openai", "name": None}]
    assert tenants["research"]["revoked_at"] is not None
