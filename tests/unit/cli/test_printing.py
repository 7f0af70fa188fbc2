"""What commands print, for people."""

from __future__ import annotations

import json

import pytest
from isthmusd.cli.printing import moment, print_facts, print_json, print_table


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "COUNT", "OPEN"), [("a-long-name", 1, True), ("b", None, False)])

    assert capsys.readouterr().out == "NAME         COUNT  OPEN\na-long-name  1      yes\nb            -      no\n"


def test_what_others_chose_is_no_command_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("name", "a\x1b[2Jb\nc")])

    assert capsys.readouterr().out == "name  a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c\n"


def test_times_are_iso_8601_in_utc() -> None:
    assert moment(1_700_000_000.9) == "2023-11-14T22:13:20Z"
    assert moment(None) is None


def test_json_is_no_command_to_the_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[2J \x7f \x9b2J \u202eevil ä"

    print_json({"model": text})

    shown = capsys.readouterr().out
    assert json.loads(shown) == {"model": text}
    assert shown.replace("\n", "").isprintable()
    assert "ä" in shown
