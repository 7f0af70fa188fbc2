"""Reads the conformance corpus: what is asked, what the provider answers, and what the caller must get, in words that
favour neither protocol. It runs nothing.

A case file is `{"group": ..., "cases": [...]}`; `case.schema.json` says what a case may hold. A case's upstream model
defaults to the case's name, which is also how the scripted provider finds the answer to give.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

HERE = Path(__file__).parent
PROTOCOLS = ("http", "grpc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the scripted provider does with the request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    json: Any = None
    text: str | None = None
    """A body that is not JSON, as it is."""
    sse: tuple[Any, ...] | None = None
    """Events: an object becomes one `data:` event, a string is written as it is."""
    each: dict[str, Any] = field(default_factory=dict[str, Any])
    """Members that every object in `sse` gets, before its own."""
    end: str = "close"
    """`close`: the body ends as HTTP wants; `cut`: the connection breaks after what was written; `drop`: nothing is
    answered at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call and what must come of it."""

    group: str
    name: str
    operation: str
    """`chat`, `completion`, `embedding`, `auto`, `models`, `model`."""
    request: dict[str, Any]
    model: str | None = None
    """The name to ask for, if it is not the upstream's."""
    upstream_model: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    upstream: Answer | None = None
    """None: the call must never reach a provider."""
    sent: dict[str, Any] | str = "same"
    """What the provider must get: `same` as the request, `any`, or an object of members (`null`: absent)."""
    expect: dict[str, Any]
    only: str | None = None
    """The one protocol that the case makes sense on, with the reason in `because`."""
    because: str = ""
    dialects: dict[str, Any] = field(default_factory=dict[str, Any])
    """What is different where the provider speaks another format than OpenAI's. Keys of each table are names of
    dialects, or `*` for all but OpenAI's: `except` (the case makes no sense there) and `lost` (path in the request to
    why it cannot arrive) hold reasons, `expect` members to put over those of `expect`."""

    def excepted(self, dialect: str) -> bool:
        """Whether the case makes no sense for a dialect."""
        return bool(self._for(dialect, "except"))

    def lost(self, dialect: str) -> dict[str, str]:
        """What cannot arrive at a provider of this dialect."""
        return self._for(dialect, "lost") or {}

    def expected(self, dialect: str) -> dict[str, Any]:
        """What the caller must get from a provider of this dialect."""
        return self.expect | (self._for(dialect, "expect") or {})

    def _for(self, dialect: str, table: str) -> Any:
        given = self.dialects.get(table, {})
        return given.get(dialect, given.get("*"))

    @property
    def asked_model(self) -> str:
        return self.upstream_model if self.model is None else self.model

    @property
    def is_stream(self) -> bool:
        return self.request.get("stream") is True

    @property
    def asks_usage(self) -> bool:
        """Whether the caller sees usage over HTTP: always in a whole answer, on demand in a stream."""
        return not self.is_stream or (self.request.get("stream_options") or {}).get("include_usage") is True

    @property
    def is_callers_fault(self) -> bool:
        """Whether the provider blames the request, and not its key, its load or itself."""
        return self.upstream is not None and self.upstream.status in (400, 404, 422)

    @property
    def body(self) -> dict[str, Any]:
        """The request as the caller sends it; `model` is filled in unless the case is about its absence."""
        return self.request if "model" in self.request else {"model": self.asked_model, **self.request}


def load_cases(folder: Path = HERE / "cases") -> tuple[Case, ...]:
    """Read every case, checked against the schema."""
    validator = jsonschema.Draft202012Validator(msgspec.json.decode((HERE / "case.schema.json").read_bytes()))
    cases: list[Case] = []
    for path in sorted(folder.glob("*.json")):
        content = msgspec.json.decode(path.read_bytes())
        validator.validate(content)
        cases.extend(_case(content["group"], raw) for raw in content["cases"])
    return tuple(cases)


def _case(group: str, raw: dict[str, Any]) -> Case:
    upstream = raw.get("upstream")
    given = {**raw, "upstream_model": raw.get("upstream_model", raw["name"]), "upstream": None}
    if upstream is not None:
        script = {**upstream, "sse": tuple(upstream["sse"]) if "sse" in upstream else None}
        given["upstream"] = Answer(**script)
    return Case(group=group, **given)


def params(cases: tuple[Case, ...], protocol: str) -> tuple[Case, ...]:
    """The cases that run over one protocol."""
    return tuple(case for case in cases if case.only in (None, protocol))
