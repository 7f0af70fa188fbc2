"""The wire formats other than OpenAI's that the corpus runs over: where their providers are in the gateway's
configuration, and what a format cannot say or ask (`dialects.toml`). It starts nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.conformance.corpus import Case
from tests.fakes.wire_anthropic import AnthropicWire
from tests.fakes.wire_bedrock import BedrockWire
from tests.fakes.wire_cohere import CohereWire
from tests.fakes.wire_gemini import GeminiWire
from tests.fakes.wire_turn import Asked, Wire

TABLE = Path(__file__).with_name("dialects.toml")
WIRES: dict[str, Wire] = {
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
    "bedrock": BedrockWire(),
    "cohere": CohereWire(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One format, and the providers that speak it in the gateway under test."""

    name: str
    provider: str
    """Of the catalogue."""
    keyless: str
    """Of the catalogue, without a key of the gateway's."""
    embedder: str | None = None
    """Beginning of the names of models that embed; None: the format has no embeddings."""
    narrows: bool = False
    """Whether one tool is demanded by offering no other."""
    forces_tool: bool = False
    """Whether a schema is asked for by a tool that must be called."""
    forces_tool_for_objects: bool = False
    """Whether so is JSON without a schema."""
    cannot_say: Mapping[str, str] = field(default_factory=dict[str, str])
    """Member of an expectation (`created`, `usage.audio_in`, `embedding.model`) to why it is not compared."""
    cannot_ask: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path in OpenAI's request, with `*`, to why it becomes a loss."""
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Knob to the value that it has unasked; `any`: the gateway's choice."""
    own_names: Mapping[str, str] = field(default_factory=dict[str, str])
    """OpenAI's or a vendor's member to the name that it arrives under."""

    @property
    def wire(self) -> Wire:
        return WIRES[self.name]

    @property
    def roles(self) -> dict[str, str]:
        """Provider of the corpus to the one that plays its role."""
        return {
            "openai": self.provider,
            "box": f"{self.name}-box",
            "mistral": self.keyless,
            "dead": f"{self.name}-dead",
        }

    def providers(self, dead_url: str) -> dict[str, Any]:
        """Settings of the providers."""
        return {
            self.provider: {"api_key": f"{self.name}-key"},
            f"{self.name}-box": {"dialect": self.name, "api_key": "box-key"},
            f"{self.name}-dead": {"dialect": self.name, "api_key": "dead-key", "base_url": dead_url},
            self.keyless: {"dialect": self.name},
        }

    @property
    def aliases(self) -> dict[str, Any]:
        return {f"fast-{self.name}": {"provider": self.provider, "model": "alias"}}

    def adapted(self, case: Case) -> Case:
        """Give the case as it is asked of this dialect's provider."""
        upstream = case.upstream_model
        if case.operation == "embedding":
            upstream = f"{self.embedder}{upstream}"
        return replace(
            case,
            model=self._asked_model(case, upstream),
            upstream_model=upstream,
            expect=self._sayable(case),
        )

    def _asked_model(self, case: Case, upstream: str) -> str:
        prefix, slash, rest = (case.model or "").partition("/")
        match prefix:
            case "" if case.model == "":
                return ""
            case "fast":
                return f"fast-{self.name}"
            case role if slash and role in self.roles:
                begins = self.embedder if case.operation == "embedding" and case.upstream is None else ""
                return f"{self.roles[role]}/{upstream if case.upstream is not None else f'{begins}{rest}'}"
            case _ if slash:
                return case.model or ""
            case _:
                return f"{self.provider}/{upstream}"

    def _sayable(self, case: Case) -> dict[str, Any]:
        """Leave out what the format cannot say; what the gateway says itself stays."""
        expect = case.expected(self.name)
        if case.upstream is None:
            return expect
        kept = {name: value for name, value in expect.items() if not self._unsaid(case.operation, name)}
        for group in ("usage", "error"):
            # Errors of two kinds are all the gateway's own: what the provider sent was none, or about our key.
            if kept.get(group) and (group == "usage" or case.is_callers_fault):
                kept[group] = {
                    name: value for name, value in kept[group].items() if f"{group}.{name}" not in self.cannot_say
                }
        return kept

    def _unsaid(self, operation: str, name: str) -> bool:
        return name in self.cannot_say or f"{operation}.{name}" in self.cannot_say

    def force(self, asked: Asked) -> None:
        """Say a response format by a tool, if this dialect's provider has no field for it."""
        if asked.schema is None or not (self.forces_tool if asked.schema else self.forces_tool_for_objects):
            return
        asked.tools["answer"] = {"parameters": asked.schema or {"type": "object"}}
        asked.choice, asked.schema = "=answer", None

    def narrow(self, asked: Asked) -> None:
        """Demand one tool as this dialect does."""
        if self.narrows and asked.choice is not None and asked.choice.startswith("="):
            asked.allow([asked.choice[1:]])
            asked.choice = "required"


def load_dialects() -> tuple[Dialect, ...]:
    """Read the table."""
    return tuple(Dialect(name=name, **given) for name, given in tomllib.loads(TABLE.read_text("utf-8")).items())
