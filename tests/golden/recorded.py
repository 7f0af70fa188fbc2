"""Recorded traffic of real providers. It lies beside the checkout and is no part of the project: without it the tests
that ask for it skip. It knows no dialect.
"""

from __future__ import annotations

import importlib.util
import operator
import tomllib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from isthmusd.core.chat import JsonText

SHARED = Path(__file__).parents[3] / "shared"
CASSETTES = SHARED / "cassettes"
LOSSES = Path(__file__).with_name("losses.toml")
ABSENT = "reference files are absent: no recordings beside the checkout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One call of a provider, as it was recorded."""

    name: str
    """File and number of the call in it."""
    url: str
    request: bytes
    status: int
    headers: dict[str, str]
    answer: bytes


def tool(name: str) -> ModuleType:
    """Load one of the tools beside the recordings."""
    return _load(present(SHARED / "tools" / f"{name}.py"))


def present(path: Path) -> Path:
    """Give a path beside the checkout. Skips the test if nothing is there: such files are no part of the project, and
    `tests/allowed_skips.toml` takes this skip only while their folder is absent."""
    if not path.exists():
        pytest.skip(ABSENT)
    return path


@cache
def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shared_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge() -> Callable[[str, object], list[str]]:
    """Give the check against OpenAI's published schema."""
    return tool("spec_check").check


def recorded(provider: str) -> list[Recorded]:
    """Give the recorded calls of a provider. Skips the test if there are no recordings."""
    return list(_recorded(tool("norm"), provider))


def all_calls() -> list[tuple[Path, int, dict[str, Any]]]:
    """Give every recorded call as it was written down: its file, its number there, itself. Skips the test if there
    are no recordings."""
    return _all_calls(tool("norm"))


@cache
def _all_calls(norm: ModuleType) -> list[tuple[Path, int, dict[str, Any]]]:
    found: list[tuple[Path, int, dict[str, Any]]] = []
    for path in sorted(CASSETTES.rglob("*")):
        if path.suffix not in {".yaml", ".json", ".gz"} or {"lingua", "errors-quoted"} & set(path.parts):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the reader of the recordings leaves files open
            found += [(path, number, call) for number, call in enumerate(norm.load(str(path)))]
    return found


def _recorded(norm: ModuleType, provider: str) -> Iterator[Recorded]:
    for path, number, call in _all_calls(norm):
        place = path.relative_to(CASSETTES)
        # rig's recordings hold paths only: their folder names the provider.
        owner = place.parts[1] if place.parts[0] == "rig" else norm.provider(call["url"], str(path))
        if owner == provider:
            yield Recorded(
                name=f"{place}#{number}",
                url=call["url"] or "",
                request=call["req_body"] or b"",
                status=int(call["status"] or 0),
                headers=call["resp_headers"],
                answer=call["resp_body"] or b"",
            )


def cases(provider: str) -> list[tuple[str, dict[str, Any]]]:
    """Give the cases that were recorded in several providers' formats: `request`, `response`, `response-streaming`,
    and the `followup-` ones. Skips the test if there are no recordings."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(present(CASSETTES).glob("lingua/case_*.json")):
        case = msgspec.json.decode(path.read_bytes())["providers"].get(provider)
        if case is not None:
            found.append((path.stem, case))
    return found


def quoted_errors(provider: str) -> list[dict[str, Any]]:
    """Give the error answers that were reported of a provider. Skips the test if there are no recordings."""
    path = present(CASSETTES / "errors-quoted" / "errors.json")
    found = msgspec.json.decode(path.read_bytes())
    entries: list[dict[str, Any]] = found if isinstance(found, list) else found["errors"]
    return [entry for entry in entries if entry["provider"] == provider]


def known_losses(provider: str) -> dict[str, str]:
    """Give the differences that are accepted for a provider: field to reason."""
    entries = tomllib.loads(LOSSES.read_text(encoding="utf-8")).get("difference", [])
    return {entry["field"]: entry["reason"] for entry in entries if entry["provider"] == provider}


def differences(
    theirs: Any, ours: Any, path: str = "", *, same: Callable[[Any, Any], bool] = operator.eq
) -> Iterator[str]:
    """Give the dotted paths at which two JSON values differ; `same` tells which of them mean the same."""
    match theirs, ours:
        case _ if same(theirs, ours):
            return
        case dict(), dict():
            for name in {**theirs, **ours}:
                inner = f"{path}.{name}" if path else name
                yield from differences(theirs.get(name), ours.get(name), inner, same=same)
        case list(), list() if len(theirs) == len(ours):
            for one, other in zip(theirs, ours, strict=True):
                yield from differences(one, other, f"{path}[]", same=same)
        case _:
            yield path


def written(value: object) -> JsonText:
    """Give a value of a recording as the hub keeps opaque JSON."""
    return JsonText(msgspec.json.encode(value).decode())
