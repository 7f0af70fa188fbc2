"""Lengths of time on the command line."""

from __future__ import annotations

import pytest
import typer
from isthmusd.cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("24h", 86_400), ("90d", 7_776_000), ("2w", 1_209_600)]
)
def test_number_and_unit_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "1.5h", "-1d", "1h30m", "90 d", "1y", "９d", "9" * 10 + "s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write it like 90d, 24h, 15m or 30s"):
        parse_duration(text)
