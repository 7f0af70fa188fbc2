"""What every store of cached answers can do; one is in each `cache_*.py`. What happens when one is slow or broken is
`patient_cache.py`'s: a store itself raises.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from isthmusd.core.entry import CacheItem


class CacheFault(Exception):
    """A store could not do what it was asked. `kind` is one of a few words, for metrics."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a store holds that has not expired."""

    count: int
    size: int
    """Bytes, sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Something was cleared by hand: what memories hold of it must go too."""

    tenant: str | None
    """None: every tenant's."""
    model: str | None
    """None: every model's."""
    at: float
    """Unix seconds: what was stored later stays."""


class CacheStore(Protocol):
    """Keeps sealed answers until they expire or their place is needed. All raise CacheFault."""

    async def get(self, name: bytes) -> bytes | None:
        """Give an entry that has not expired."""
        ...

    async def put(self, item: CacheItem) -> None:
        """Keep an entry, in place of one of the same name."""
        ...

    async def remove(self, name: bytes) -> None: ...

    async def clear(self, tenant: str | None, model: str | None) -> int:
        """Remove the entries of a tenant, of a model, of both, or all; tells how many, and leaves a note of it."""
        ...

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        """Give the notes after a mark, and the next mark; None: from now on."""
        ...

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """Where answers are kept, and how many."""

    memory_bytes: int = 256 * 1024 * 1024
    """Of each worker's memory; 0: nothing is kept there."""
    path: Path | None = None
    """The SQLite file."""
    url: str | None = field(default=None, repr=False)
    """Valkey's or Redis's, in place of the file."""
    store_bytes: int = 2 * 1024 * 1024 * 1024
    """Of the SQLite file. Valkey's is bounded by its own `maxmemory`."""
    timeout_s: float = 0.05
    """How long a call waits for the store."""
