"""`isthmus serve`, up to the supervisor: what it refuses, and what it does not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.cli.commands import Isthmus

HEAVY = ("alembic", "grpc", "psycopg", "sqlalchemy")


def test_supervisor_loads_neither_grpc_nor_the_database() -> None:
    program = f"import sys, isthmusd.cli.serve; print([name for name in {HEAVY!r} if name in sys.modules])"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert result.stdout == "[]\n"


def test_data_that_cannot_be_written_is_told(isthmus: Isthmus, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = isthmus.run("serve", "--data", str(tmp_path / "file" / "data"))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"isthmus: {tmp_path}/file/data: Not a directory" in result.stderr
    assert "--data" in result.stderr


def test_r5_weak_secret_starts_nothing(isthmus: Isthmus) -> None:
    result = isthmus.run("serve", environ={"ISTHMUS_SECRET": "changeme" * 5})

    assert result.exit_code == 1
    assert "can be guessed; make one with: openssl rand -base64 48" in result.stderr
    assert "changeme" not in result.stderr


def test_secret_that_others_can_read_starts_nothing(isthmus: Isthmus) -> None:
    isthmus.does("tenants", "list")
    (isthmus.data / "secret").chmod(0o644)

    result = isthmus.run("serve")

    assert result.exit_code == 1
    assert "chmod 600" in result.stderr
