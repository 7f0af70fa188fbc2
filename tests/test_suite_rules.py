"""The rules of the test-suite itself: a closed network, and no unexplained skips."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.conftest import NetworkClosed
from tests.skips import ROOT, AllowedSkip, allowed_skips

pytest_plugins = ["pytester"]

SKIPPING = """
import pytest

def test_runs():
    assert True

def test_skips():
    pytest.skip("no such tool")

@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_expected():
    assert False
"""


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("example.com", 443)])
def test_other_machines_are_out_of_reach(address: tuple[str, int]) -> None:
    with pytest.raises(NetworkClosed):
        socket.create_connection(address, timeout=1)


def test_loopback_is_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def strict_run(pytester: pytest.Pytester, test: str, *, strict: bool) -> pytest.RunResult:
    pytester.makepyfile(test_sample=test)
    pytester.makeini("[pytest]\n")
    lines = [f"import sys; sys.path.insert(0, {str(ROOT)!r})"]
    if strict:
        lines += ["from tests.skips import StrictSkips, allowed_skips"]
        lines += ["def pytest_configure(config): config.pluginmanager.register(StrictSkips(allowed_skips()))"]
    pytester.makeconftest("\n".join(lines))
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider")


def test_skip_that_nobody_allowed_fails_a_strict_run(pytester: pytest.Pytester) -> None:
    result = strict_run(pytester, SKIPPING, strict=True)

    result.assert_outcomes(passed=1, failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*skipped (no such tool), and tests/allowed_skips.toml does not allow it*"])


def test_module_that_skips_itself_fails_a_strict_run(pytester: pytest.Pytester) -> None:
    result = strict_run(pytester, "import pytest; pytest.importorskip('no_such_module')", strict=True)

    assert result.ret != 0


def test_skips_pass_in_any_other_run(pytester: pytest.Pytester) -> None:
    result = strict_run(pytester, SKIPPING, strict=False)

    result.assert_outcomes(passed=1, skipped=1, xfailed=1)


def test_allowed_skip_names_the_test_the_reason_and_what_must_be_absent(tmp_path: Path) -> None:
    entry = AllowedSkip(test="tests/a.py::*", reason="no tool*", why="w", absent="no/such/path")

    assert entry.covers("tests/a.py::test_x", "no tool here")
    assert not entry.covers("tests/b.py::test_x", "no tool here")
    assert not entry.covers("tests/a.py::test_x", "too slow")
    present = AllowedSkip(test="*", reason="*", why="w", absent=str(tmp_path))
    assert not present.covers("tests/a.py::test_x", "no tool here")


def test_every_allowed_skip_says_why() -> None:
    assert all(len(entry.why) > 20 for entry in allowed_skips())
