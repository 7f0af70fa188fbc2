"""How the floor of the coverage judges a report."""

from __future__ import annotations

import pytest

from tests.coverage_floor import Measured, Report, Summary, part_of, shortfalls


def measured(lines: int, branches: int = 100) -> Measured:
    summary = Summary(num_statements=100, covered_lines=lines, num_branches=100, covered_branches=branches)
    return Measured(summary=summary, missing_lines=list(range(1, 101 - lines)))


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("server/isthmusd/core/call.py", "pure"),
        ("server/isthmusd/dialects/openai/usage.py", "pure"),
        ("server/isthmusd/rpc/chat.py", "shell"),
        ("server/isthmusd/clock.py", "shell"),
        ("clients/python/isthmus/core/x.py", "shell"),
    ],
)
def test_files_belong_to_one_half(file: str, part: str) -> None:
    assert part_of(file) == part


def test_enough_is_enough() -> None:
    report = Report(files={"server/isthmusd/core/a.py": measured(100, 95), "server/isthmusd/rpc/b.py": measured(90, 0)})

    assert shortfalls(report) == []


def test_one_missed_line_of_the_pure_half_is_named() -> None:
    report = Report(files={"server/isthmusd/core/a.py": measured(99), "server/isthmusd/rpc/b.py": measured(100)})

    assert shortfalls(report) == [
        "the pure half needs 100 % of lines and 95 % of branches",
        "  server/isthmusd/core/a.py: 99 %, not lines 1",
    ]


def test_missed_branches_of_the_pure_half_count() -> None:
    report = Report(files={"server/isthmusd/core/a.py": measured(100, 94)})

    assert shortfalls(report) == ["the pure half needs 100 % of lines and 95 % of branches"]


def test_shell_is_judged_as_a_whole() -> None:
    low = Report(files={"server/isthmusd/rpc/a.py": measured(85), "server/isthmusd/rpc/b.py": measured(94)})
    high = Report(files={"server/isthmusd/rpc/a.py": measured(85), "server/isthmusd/rpc/b.py": measured(95)})

    assert shortfalls(low)[0] == "the shell half needs 90 % of lines and 0 % of branches"
    assert shortfalls(high) == []
