"""The normal form of an answer, which both drivers fill and the corpus' expectations are compared with. It favours
neither protocol: what only one of them can say is left out of the comparison over the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

USAGE_KEYS = (
    "input",
    "output",
    "total",
    "cached",
    "cache_write",
    "reasoning",
    "audio_in",
    "audio_out",
    "accepted",
    "rejected",
)
FAULT_KEYS = {
    "http": ("http", "inband", "type", "code", "param", "retry_after", "retryable"),
    "grpc": ("grpc", "reason", "param", "retry_after", "upstream_status"),
}


@dataclass(slots=True)
class Choice:
    """One choice, put together from a whole answer or from the pieces of a stream."""

    text: str | None = None
    thinking: str = ""
    refusal: str = ""
    finish: str | None = None
    calls: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    logprobs: list[list[Any]] = field(default_factory=list[list[Any]])
    audio: dict[str, str] = field(default_factory=dict[str, str])

    def add_text(self, text: str) -> None:
        self.text = (self.text or "") + text

    def call(self, index: int) -> dict[str, str]:
        return self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})


@dataclass(slots=True, kw_only=True)
class Fault:
    """One failure; a field that the protocol cannot say stays None."""

    message: str
    http: int | None = None
    inband: bool | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    grpc: str | None = None
    reason: str | None = None
    retry_after: float | None = None
    retryable: bool | None = None
    upstream_status: str | None = None


@dataclass(slots=True)
class Outcome:
    """Everything that came of one call."""

    protocol: str
    id: str = ""
    created: int | None = None
    model: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None
    choices: dict[int, Choice] = field(default_factory=dict[int, Choice])
    usage: dict[str, int] | None = None
    estimated: bool | None = None
    vectors: list[list[float]] = field(default_factory=list[list[float]])
    models: list[str] = field(default_factory=list[str])
    owned_by: str = ""
    losses: tuple[str, ...] = ()
    """Paths in the request that the target could not be told."""
    error: Fault | None = None
    complaints: list[str] = field(default_factory=list[str])
    """What OpenAI's schema has against what came over HTTP."""

    def read_headers(self, headers: Mapping[str, str]) -> None:
        """Take what stands in the headers, or the metadata, of an answer; names are in small letters."""
        self.losses = tuple(name for name in headers.get("x-isthmus-losses", "").split(", ") if name)

    def choice(self, index: int) -> Choice:
        return self.choices.setdefault(index, Choice())

    def view(self) -> dict[str, Any]:
        """The outcome in the words of an `expect` object, all of it."""
        ordered = [self.choices[index] for index in sorted(self.choices)]
        return {
            "id": self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
            "service_tier": self.service_tier,
            "text": [choice.text for choice in ordered],
            "thinking": [choice.thinking for choice in ordered],
            "refusal": [choice.refusal for choice in ordered],
            "finish": [choice.finish for choice in ordered],
            "tool_calls": [[choice.calls[index] for index in sorted(choice.calls)] for choice in ordered],
            "logprobs": [choice.logprobs for choice in ordered],
            "audio": [choice.audio for choice in ordered],
            "vectors": self.vectors,
            "models": self.models,
            "owned_by": self.owned_by,
        }


def differences(expect: dict[str, Any], outcome: Outcome, *, sees_usage: bool) -> list[str]:
    """Say where the outcome is not what was expected; empty if it is."""
    seen = outcome.view()
    found = [
        f"{name}: expected {wanted!r}, got {seen[name]!r}"
        for name, wanted in expect.items()
        if name in seen and wanted != seen[name] and not _enough(name, wanted, seen[name])
    ]
    if "usage" in expect:
        found += _usage_differences(expect["usage"] if sees_usage else None, outcome.usage)
    if "estimated" in expect and expect["estimated"] != outcome.estimated:
        found.append(f"estimated: expected {expect['estimated']}, got {outcome.estimated}")
    return found + _fault_differences(expect.get("error"), outcome.error, outcome.protocol)


def _enough(name: str, wanted: Any, seen: Any) -> bool:
    """Whether it is what was meant: lists of models may hold more, typed vectors are floats of 32 bits."""
    match name:
        case "models":
            return set(wanted) <= set(seen) and seen == sorted(seen)
        case "vectors":
            sizes = [len(vector) for vector in wanted] == [len(vector) for vector in seen]
            pairs = zip(itertools.chain(*wanted), itertools.chain(*seen), strict=False)
            return sizes and all(abs(left - right) <= 1e-6 * max(1.0, abs(left)) for left, right in pairs)
        case _:
            return False


def _usage_differences(wanted: dict[str, int] | None, seen: dict[str, int] | None) -> list[str]:
    if wanted is None or seen is None:
        return [] if wanted == seen else [f"usage: expected {wanted}, got {seen}"]
    return [
        f"usage.{name}: expected {wanted[name]}, got {seen.get(name)}"
        for name in wanted
        if wanted[name] != seen.get(name)
    ]


def _fault_differences(wanted: dict[str, Any] | None, seen: Fault | None, protocol: str) -> list[str]:
    if wanted is None or seen is None:
        return [] if wanted is None and seen is None else [f"error: expected {wanted}, got {seen}"]
    found = [
        f"error.{name}: expected {wanted[name]!r}, got {getattr(seen, name)!r} in {seen}"
        for name in FAULT_KEYS[protocol]
        if name in wanted and wanted[name] != getattr(seen, name)
    ]
    if wanted.get("says", "") not in seen.message:
        found.append(f"error: the message does not say {wanted['says']!r}: {seen.message!r}")
    if "hides" in wanted and wanted["hides"] in repr(seen):
        found.append(f"error: shows {wanted['hides']!r}: {seen}")
    if not seen.message.strip():
        found.append("error: there is no message")
    return found
