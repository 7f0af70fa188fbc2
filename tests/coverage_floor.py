"""How much of the code the last measured run must have reached. It measures nothing: `coverage run` did.

The pure half has no excuse: every line, and nearly every branch. The rest talks to processes and machines.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
from coverage import Coverage
from coverage.exceptions import NoDataError

PURE = ("core", "framing", "dialects", "providers")
MAX_SHOWN_LINES = 20
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What one part must reach, in percent."""

    lines: float
    branches: float


PURE_FLOOR = Floor(lines=100, branches=95)
SHELL_FLOOR = Floor(lines=90, branches=0)


class Summary(msgspec.Struct):
    """The numbers of one file in coverage's report."""

    num_statements: int
    covered_lines: int
    num_branches: int
    covered_branches: int


class Measured(msgspec.Struct):
    """One file in coverage's report."""

    summary: Summary
    missing_lines: list[int]


class Report(msgspec.Struct):
    """What we read of coverage's report."""

    files: dict[str, Measured]


def part_of(file: str) -> str:
    """Give `pure` or `shell`."""
    folders = Path(file).parts
    inside = folders[folders.index("isthmusd") + 1 :] if "isthmusd" in folders else ()
    return "pure" if inside[:1] and inside[0] in PURE else "shell"


def percent(part: int, whole: int) -> float:
    """Give 100 for nothing at all."""
    return 100 * part / whole if whole else 100.0


def shortfalls(report: Report) -> list[str]:
    """Say what is below its floor, with the lines that were missed."""
    complaints: list[str] = []
    for name, floor in (("pure", PURE_FLOOR), ("shell", SHELL_FLOOR)):
        files = {file: measured for file, measured in report.files.items() if part_of(file) == name}
        sums = [measured.summary for measured in files.values()]
        lines = percent(sum(s.covered_lines for s in sums), sum(s.num_statements for s in sums))
        branches = percent(sum(s.covered_branches for s in sums), sum(s.num_branches for s in sums))
        sys.stdout.write(f"coverage of the {name} half: {lines:.1f} % of lines, {branches:.1f} % of branches\n")
        if lines < floor.lines or branches < floor.branches:
            complaints.append(f"the {name} half needs {floor.lines} % of lines and {floor.branches} % of branches")
            complaints += [f"  {file}: {shown(m)}" for file, m in sorted(files.items()) if m.missing_lines]
    return complaints


def shown(measured: Measured) -> str:
    """Give the share of a file and the first lines that were missed."""
    share = percent(measured.summary.covered_lines, measured.summary.num_statements)
    first = ", ".join(str(line) for line in measured.missing_lines[:MAX_SHOWN_LINES])
    more = ", ..." if len(measured.missing_lines) > MAX_SHOWN_LINES else ""
    return f"{share:.0f} %, not lines {first}{more}"


def main() -> int:
    """Judge the data file of the last run."""
    coverage = Coverage()
    coverage.load()
    target = ROOT / ".coverage.report.json"
    try:
        coverage.json_report(outfile=str(target))
    except NoDataError:
        sys.stderr.write("nothing was measured\n")
        return 1
    report = msgspec.json.decode(target.read_bytes(), type=Report)
    target.unlink()
    complaints = shortfalls(report)
    sys.stderr.write("".join(f"{line}\n" for line in complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
