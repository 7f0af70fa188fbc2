"""A command line with a store of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.commands import Isthmus


@pytest.fixture
def isthmus(tmp_path: Path) -> Isthmus:
    return Isthmus(data=tmp_path / "data")
