"""The rules of the cache as callers were promised them, written down a second time, and the cases in which they bite.
It knows nothing of how the gateway decides, so that it can disagree with it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

ABSENT = "(absent)"
WHOLE_ONLY = frozenset({"embedding", "moderation", "forward"})
ALIKE = frozenset({"embedding", "moderation"})
TYPED = ("chat", "completion", "embedding")
BIG_SEED = 12345678901234567890123


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way of asking. Values are as they are written in JSON, or in headers."""

    surface: str = "http"
    operation: str = "chat"
    stream: bool = False
    mode: str = ABSENT
    temperature: Any = ABSENT
    seed: Any = ABSENT
    control: str = ABSENT
    ttl: str = ABSENT
    older: bool = False
    """The wishes are told in headers of the older names."""

    @property
    def id(self) -> str:
        told = (self.mode, f"t={self.temperature!r}", f"s={self.seed!r}", self.control, f"ttl={self.ttl}")
        words = [self.surface, self.operation, *(["stream"] if self.stream else []), *told]
        return " ".join([*words, *(["older"] if self.older else [])]).replace(ABSENT, "-")


VALUES: Mapping[str, Sequence[Any]] = {
    "operation": ("chat", "completion", "auto chat", "auto completion", "embedding", "moderation", "responses",
                  "forward"),
    "stream": (False, True),
    "mode": (ABSENT, "auto", "always", "never", "ALWAYS"),
    "temperature": (ABSENT, 0, 0.0, -0.0, 0.7, None, "0", False),
    "seed": (ABSENT, None, 0, 7, BIG_SEED),
    "control": (ABSENT, "no-cache", "no-store", "no-cache, no-store", "max-age=0", "max-age=100"),
    "ttl": (ABSENT, "1", "604800"),
    "older": (False, True),
}  # fmt: skip
TYPED_VALUES: Mapping[str, Sequence[Any]] = {
    **VALUES,
    "operation": TYPED,
    "temperature": (ABSENT, 0.0, -0.0, 0.7),
    "seed": (ABSENT, 0, 7),
}
"""What a typed request can say: an absent number, or a number."""
BAD_TTLS = ("0", "-1", "604801", "x")
BAD_MODE = "sometimes"

CONTROLS: Mapping[str, tuple[bool, bool]] = {
    ABSENT: (True, True),
    "no-cache": (False, True),
    "no-store": (True, False),
    "no-cache, no-store": (False, False),
    "max-age=0": (False, True),
    "max-age=100": (True, True),
}
"""Whether a kept answer may serve, and whether the new one may be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a case must do."""

    refused: str | None = None
    """The header that is refused."""
    cached: bool = False
    reads: bool = False
    writes: bool = False
    kept_s: int = 604_800

    def statuses(self) -> tuple[str, str, str, str]:
        """What the cache does for a call, for its repetition, for the same without `cache-control`, and for the first
        one again."""
        if not self.cached:
            return ("BYPASS",) * 4
        third = "HIT" if self.writes else "MISS"
        if not (self.reads or self.writes):
            return "BYPASS", "BYPASS", third, "BYPASS"
        again = "HIT" if self.reads else "MISS"
        return "MISS", again if self.writes else "MISS", third, again


def rule(case: Case) -> Rule:
    """Look up what must happen."""
    if case.mode == BAD_MODE:
        return Rule(refused="x-isthmus-cache")
    if case.ttl in BAD_TTLS:
        return Rule(refused="x-isthmus-cache-ttl")
    reads, writes = CONTROLS[case.control]
    kept_s = 604_800 if case.ttl == ABSENT else int(case.ttl)
    return Rule(cached=_is_cached(case), reads=reads, writes=writes, kept_s=kept_s)


def _is_cached(case: Case) -> bool:
    if case.operation == "forward" or case.mode == "never":
        return False
    if case.mode in ("always", "ALWAYS") or case.operation in ALIKE:
        return True
    is_number = isinstance(case.temperature, int | float) and not isinstance(case.temperature, bool)
    return (is_number and case.temperature == 0) or case.seed not in (ABSENT, None)


def cases() -> list[Case]:
    """All pairs of values, and all combinations of those that decide together; each case once."""
    found = itertools.chain(
        _pairs("http", VALUES), _deciding(), _controlled(), _refused("http", VALUES["operation"]),
        _pairs("grpc", TYPED_VALUES), _typed_deciding(), _refused("grpc", TYPED),
    )  # fmt: skip
    # By their words: 0, 0.0, -0.0 and False are equal to Python, not to a provider.
    return list({each.id: each for each in map(_possible, found)}.values())


def _possible(case: Case) -> Case:
    """Leave out what an operation does not have."""
    if case.operation in WHOLE_ONLY:
        case = replace(case, stream=False)
    if case.surface == "grpc" and case.operation == "embedding":
        case = replace(case, temperature=ABSENT, seed=ABSENT)
    return case


def _pairs(surface: str, values: Mapping[str, Sequence[Any]]) -> Iterator[Case]:
    """Cover all pairs of values of any two members, greedily and always alike."""
    names, chance = list(values), random.Random(5)
    spots = {name: range(len(values[name])) for name in names}
    left = {
        ((one, first), (two, second))
        for one, two in itertools.combinations(names, 2)
        for first in spots[one]
        for second in spots[two]
    }
    while left:
        fixed = min(left, key=repr)
        tries = [{name: chance.choice(spots[name]) for name in names} | dict(fixed) for _ in range(30)]
        best = max(tries, key=lambda spot: len(left & set(itertools.combinations(spot.items(), 2))))
        left -= set(itertools.combinations(best.items(), 2))
        yield Case(surface=surface, **{name: values[name][spot] for name, spot in best.items()})


def _deciding() -> Iterator[Case]:
    for operation, mode, temperature, seed in itertools.product(
        VALUES["operation"], (ABSENT, "always", "never"), (ABSENT, 0, 0.7), (ABSENT, 7)
    ):
        yield Case(operation=operation, mode=mode, temperature=temperature, seed=seed)
    for temperature, seed, stream in itertools.product(VALUES["temperature"], VALUES["seed"], (False, True)):
        yield Case(temperature=temperature, seed=seed, stream=stream)


def _controlled() -> Iterator[Case]:
    for operation, control, mode in itertools.product(VALUES["operation"], CONTROLS, (ABSENT, "always", "never")):
        yield Case(operation=operation, control=control, mode=mode, temperature=0 if mode == ABSENT else 0.7)


def _typed_deciding() -> Iterator[Case]:
    for operation, mode, temperature, seed in itertools.product(
        TYPED, (ABSENT, "always", "never"), TYPED_VALUES["temperature"], (ABSENT, 7)
    ):
        yield Case(surface="grpc", operation=operation, mode=mode, temperature=temperature, seed=seed)
    for operation, control, stream in itertools.product(TYPED, CONTROLS, (False, True)):
        yield Case(surface="grpc", operation=operation, control=control, stream=stream, temperature=0.0)


def _refused(surface: str, operations: Iterable[str]) -> Iterator[Case]:
    for operation, older in itertools.product(operations, (False, True)):
        usual = Case(surface=surface, operation=operation, older=older, temperature=0.0)
        yield from (replace(usual, ttl=ttl) for ttl in BAD_TTLS)
        yield replace(usual, mode=BAD_MODE)
