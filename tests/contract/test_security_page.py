"""docs/security.md against the tests: every requirement is held by tests that exist, or says why it is not yet."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| R(\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = {int(number): cell for number, _, cell in ROW.findall(PAGE)}
REQUIREMENTS = range(1, 29)
MOST_OPEN = 5
STARTS_PROGRAMS = {
    "server/isthmusd/edge/process.py": "the supervisor's own children",
    "server/isthmusd/stores/provision.py": "migrates before a run starts",
}
"""Files that may start programs, with the reason."""


@cache
def known_tests() -> set[str]:
    functions: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        functions |= set(re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return functions


def test_every_requirement_has_one_row() -> None:
    assert [int(number) for number, _, _ in ROW.findall(PAGE)] == list(REQUIREMENTS)


@pytest.mark.parametrize("number", REQUIREMENTS)
def test_tests_of_a_requirement_exist(number: int) -> None:
    named = re.findall(r"`(\w+)`", ROWS[number])

    assert named or ROWS[number].startswith("not yet: ")
    assert [name for name in named if name not in known_tests()] == []


def test_few_requirements_are_open() -> None:
    assert sum(cell.startswith("not yet: ") for cell in ROWS.values()) <= MOST_OPEN


def test_r10_programs_are_started_by_the_supervisor_and_the_start_only() -> None:
    starts = re.compile(
        r"\b(subprocess|posix_spawn|Popen|create_subprocess_\w+|os\.(system|popen|exec\w+|spawn\w+|fork))\b"
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "server" / "isthmusd").rglob("*.py")
        if starts.search(_code(path))
    }

    assert found == set(STARTS_PROGRAMS)


def _code(path: Path) -> str:
    """Give a file without its docstrings and comments."""
    return ast.unparse(_without_docstrings(ast.parse(path.read_text(encoding="utf-8"))))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value = ast.Constant(value=None)
    return tree
