"""How commands print: tables for people, JSON for programs. What is printed is each command's own business."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import typer

NOTHING = "-"
COMMANDS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is and some terminals obey: eight-bit controls, and what turns text around."""


def print_json(value: object) -> None:
    """Print plain data, indented. It is often read at a terminal too."""
    text = msgspec.json.format(msgspec.json.encode(value)).decode()
    typer.echo(COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their headings, in columns."""
    lines = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def print_facts(facts: Iterable[tuple[str, object]], *, err: bool = False) -> None:
    """Print names and values below each other."""
    lines = [(name, _cell(value)) for name, value in facts]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        typer.echo(f"{name:{width}}  {text}", err=err)


def tell(message: str) -> None:
    """Say something to the person at the terminal: stdout is for what programs read."""
    typer.echo(message, err=True)


def report(done: object, sentence: str, *, json: bool) -> None:
    """Say what was done: to a program by what it is now, to a person in a sentence."""
    if json:
        print_json(done)
    else:
        tell(sentence)


def moment(at: float | None) -> str | None:
    """Give Unix seconds in ISO 8601, UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _cell(value: object) -> str:
    """Write a value. What others chose must not reach the terminal as commands to it."""
    match value:
        case None | "" | () | []:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case _:
            return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))
