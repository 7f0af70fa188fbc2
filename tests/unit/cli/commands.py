"""The command line in this process, on a store of its own. Not a running gateway: that is `tests/edge/gateway.py`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from click.testing import Result
from isthmusd.cli.app import app
from typer.testing import CliRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Isthmus:
    """Runs commands in an environment that holds only what is said."""

    data: Path
    environ: Mapping[str, str] = field(default_factory=dict[str, str])

    def run(self, *arguments: str, stdin: str = "", environ: Mapping[str, str] | None = None) -> Result:
        """Run a command, whatever comes of it."""
        bare = {name: None for name in os.environ if name not in {"PATH", "HOME"}}
        given = {"ISTHMUS_DATA": str(self.data), **self.environ, **(environ or {})}
        return CliRunner().invoke(app, list(arguments), input=stdin, env={**bare, **given}, catch_exceptions=False)

    def does(self, *arguments: str, stdin: str = "") -> Result:
        """Run a command that must succeed."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, (arguments, result.stdout, result.stderr)
        return result

    def gives(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command that must succeed, and read its JSON."""
        return msgspec.json.decode(self.does(*arguments, "--json", stdin=stdin).stdout)

    def refuses(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must fail, and give its message as one line."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code in {1, 2}, (arguments, result.stdout)
        assert result.stdout == ""
        return " ".join(result.stderr.replace("│", " ").split())


def has(shown: Mapping[str, Any], **expected: object) -> bool:
    """Whether a view has these values, whatever else is in it."""
    assert {name: shown[name] for name in expected} == expected
    return True
