"""Lengths of time as people write them: `90d`, `24h`, `15m`. Moments are printed by `printing.py`."""

from __future__ import annotations

import re

import typer

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


def parse_duration(text: str) -> float:
    """Read a length of time, in seconds; a parser of options. Raises typer.BadParameter."""
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no length of time; write it like 90d, 24h, 15m or 30s")
    return int(match[1]) * UNITS_S[match[2]]
