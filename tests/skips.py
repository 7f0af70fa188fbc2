"""A skipped test fails a strict run unless `allowed_skips.toml` names it with its reason. It skips nothing itself."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

ALLOWED = Path(__file__).with_name("allowed_skips.toml")
STRICT = "ISTHMUS_STRICT_SKIPS"
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSkip:
    """One entry of the list."""

    test: str
    """Pattern of test ids."""
    reason: str
    """Pattern of the reason that the test gives."""
    why: str
    """Why this is no hole in the run."""
    absent: str | None = None
    """Allowed only while this path, relative to the project, is absent."""

    def covers(self, test: str, reason: str) -> bool:
        """Whether this skip is the one that was meant."""
        if self.absent is not None and (ROOT / self.absent).exists():
            return False
        return fnmatchcase(test, self.test) and fnmatchcase(reason, self.reason)


def allowed_skips(path: Path = ALLOWED) -> list[AllowedSkip]:
    """Read the list."""
    return [AllowedSkip(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("skip", [])]


class StrictSkips:
    """Turns skips that nobody allowed into failures, in tests and while collecting them."""

    def __init__(self, allowed: list[AllowedSkip]) -> None:
        self._allowed = allowed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report: pytest.TestReport = yield
        self._judge(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Iterator[None]:
        report: pytest.CollectReport = yield
        self._judge(report)
        return report

    def _judge(self, report: Any) -> None:
        # An expected failure is reported as skipped, and is not one: the test ran.
        if report.outcome != "skipped" or getattr(report, "wasxfail", None) is not None:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(entry.covers(report.nodeid, reason) for entry in self._allowed):
            report.outcome = "failed"
            report.longrepr = f"skipped ({reason}), and tests/{ALLOWED.name} does not allow it"


def pytest_configure(config: pytest.Config) -> None:
    """Be strict where the environment says so."""
    if os.environ.get(STRICT) == "1":
        config.pluginmanager.register(StrictSkips(allowed_skips()), "strict-skips")
