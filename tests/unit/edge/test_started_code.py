"""The processes of a run load their code from where it is installed, wherever the run is started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from isthmusd.edge import recorder, supervisor
from isthmusd.stores import provision

COMMANDS = {"worker": supervisor.WORKER, "recorder": recorder.ARGV, "migration": provision.MIGRATING}


@pytest.mark.parametrize("argv", COMMANDS.values(), ids=COMMANDS.keys())
def test_the_directory_of_the_start_is_no_place_to_load_code_from(argv: Sequence[str], tmp_path: Path) -> None:
    for module in ("isthmusd", "msgspec", "json", "sqlalchemy"):
        (tmp_path / f"{module}.py").write_text(f"print('loaded {module}')\nraise SystemExit(0)\n")
    told = ("ISTHMUS_WORKER", "ISTHMUS_SETTINGS", "ISTHMUS_RECORDER")
    environ = {name: value for name, value in os.environ.items() if name not in told}

    done = subprocess.run(argv, cwd=tmp_path, env=environ, input="", capture_output=True, text=True, check=False)

    # Nobody told it what to do: it got as far as to look.
    assert done.returncode != 0
    assert "loaded" not in done.stdout
