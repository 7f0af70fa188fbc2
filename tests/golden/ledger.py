"""The ledger of losses: which entry speaks of a loss, and of a reason in the code. Differences of recorded requests are
`recorded.py`'s.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from isthmusd.core.chat import ChatRequest, FunctionTool, Message, Sampling
from isthmusd.core.completion import CompletionRequest
from isthmusd.core.embedding import EmbeddingRequest

LEDGER = Path(__file__).with_name("losses.toml")

_PLACE = re.compile(r"\[-?\d+\]")
_HOLE = "{}"
_KNOWN = frozenset(
    field.name
    for kind in (ChatRequest, CompletionRequest, EmbeddingRequest, Sampling, Message, FunctionTool)
    for field in dataclasses.fields(kind)
) - {"extra", "sampling"}
"""What a `*` does not stand for: a member that the hub has a field for has an entry of its own."""
_WILD = {"**": r".+", "*": r"[^.\[\]]+"}


@dataclass(frozen=True)
class Entry:
    """One known loss."""

    id: str
    dialect: str
    field: str
    reason: str
    why: str
    link: str | None = None

    @cached_property
    def _field(self) -> re.Pattern[str]:
        return _pattern(self.field, _WILD)

    @cached_property
    def _reason(self) -> re.Pattern[str]:
        return _pattern(self.reason, {_HOLE: ".*"})

    @property
    def order(self) -> tuple[int, int]:
        """The entry that says most exactly what is lost comes first."""
        return self.field.count("*"), self.reason.count(_HOLE)

    def speaks_of(self, field: str, reason: str) -> bool:
        """Tell whether it names this loss."""
        if self._reason.match(reason) is None or self._field.match(field) is None:
            return False
        is_open = self.field.endswith("*") and not self.field.endswith("**")
        return not is_open or field.rpartition(".")[2] not in _KNOWN

    def explains(self, reason: str) -> bool:
        """Tell whether it names a reason of the code, where `{}` stands for what only a request tells."""
        return self._reason.match(reason) is not None or _pattern(reason, {_HOLE: ".*"}).match(self.reason) is not None


@cache
def entries() -> tuple[Entry, ...]:
    """Give the whole ledger."""
    tables = tomllib.loads(LEDGER.read_text(encoding="utf-8"))["loss"]
    return tuple(Entry(**table) for table in tables)


def entry_of(dialect: str, field: str, reason: str) -> Entry | None:
    """Find the entry that names a loss; None if there is none."""
    field = _PLACE.sub("[]", field)
    fitting = (entry for entry in entries() if entry.dialect == dialect and entry.speaks_of(field, reason))
    return min(fitting, key=lambda entry: entry.order, default=None)


def _pattern(text: str, wild: dict[str, str]) -> re.Pattern[str]:
    pieces = re.split(f"({'|'.join(map(re.escape, wild))})", text)
    return re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces) + r"\Z", re.DOTALL)
