"""What every store of cached answers can do; one is in each `cache_*.py`. What happens when one is slow or broken is
`patient_cache.py`'s: a store itself raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

from isthmusd.core.entry import CacheItem

END_OF_TIME = 1e12
"""Unix seconds: no clock says so, and arithmetic with it is safe."""
LARGEST_BYTES = 32 * 1024 * 1024
"""Of an entry: no store is given a larger one."""
AHEAD_S = 300.0
"""No two clocks differ by more, unless one of them is wrong. By a note that is later than this all would be cleared
that is stored until then: it counts for nothing that comes after it."""


class Fault(StrEnum):
    """Why a store did not do what it was asked: all values that metrics get."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """The server does not answer, or the disk does not do what it should."""
    REFUSED = "refused"
    """We may not: credentials, permissions, a file that is not ours."""
    BUSY = "busy"
    """Another process holds the file."""
    FULL = "full"
    CORRUPT = "corrupt"
    """What is there is not what we wrote."""
    DROPPED = "dropped"
    """Not tried: too much waits to be written, or the entry is too large."""
    RESTING = "resting"
    """Not tried: it failed just now."""
    SEALED = "sealed"
    """An entry that its reader could not open."""
    UNREADABLE = "unreadable"
    """An entry that was opened, and is none; or one that the store cannot write down."""
    BROKEN = "broken"
    """A mistake of ours."""


class StoreStep(StrEnum):
    """What a store is asked for: all values that metrics get."""

    GET = "get"
    PUT = "put"
    NEWS = "news"
    """What was cleared by hand."""


class CacheFault(Exception):
    """A store could not do what it was asked."""

    def __init__(self, kind: Fault, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a store holds that has not expired."""

    count: int
    size: int
    """Bytes, sealed."""


Which = tuple[str | None, str | None]
"""A tenant and a model; None: of any."""


def clearings_of(item: CacheItem) -> tuple[Which, ...]:
    """Name all clearings by hand that an entry can be of."""
    return (None, None), (item.tenant, None), (None, item.model), (item.tenant, item.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Something was cleared by hand: what memories hold of it must go too."""

    tenant: str | None
    """None: every tenant's."""
    model: str | None
    """None: every model's."""
    at: float
    """Unix seconds: what was stored later stays."""

    @classmethod
    def read(cls, tenant: object, model: object, at: object) -> Self | None:
        """Give a note as it was found where others can write too; None for what is none."""
        match tenant, model, at:
            case ((str() | None), (str() | None), (float() | int())) if abs(at) < END_OF_TIME:
                return cls(tenant=tenant, model=model, at=at)
            case _:
                return None

    def covers(self, item: CacheItem) -> bool:
        """Whether an entry is of what was cleared, and is older."""
        return (
            (self.tenant is None or self.tenant == item.tenant)
            and (self.model is None or self.model == item.model)
            and item.stored_at < self.at
        )


class CacheStore(Protocol):
    """Keeps sealed answers until they expire or their place is needed. All raise CacheFault."""

    async def load(self) -> None:
        """Load what speaks to the store, without speaking to it: it may take a second, which no call should wait."""
        ...

    async def get(self, name: bytes) -> CacheItem | None:
        """Give an entry that has not expired."""
        ...

    async def put(self, item: CacheItem) -> None:
        """Keep an entry, in place of one of the same name."""
        ...

    async def put_all(self, items: Sequence[CacheItem]) -> None:
        """Keep several: for some stores that is hardly more than one."""
        ...

    async def clear(self, tenant: str | None, model: str | None) -> int:
        """Remove the entries of a tenant, of a model, of both, or all, and leave a note of it; tells how many."""
        ...

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        """Give the notes after a mark, and the next mark; None: from now on."""
        ...

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats: ...

    async def aclose(self) -> None: ...


class CacheClock(Protocol):
    """What of time is needed here."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float: ...


class CacheWatch(Protocol):
    """Counts what the stores do, for metrics. Called from the event loop only."""

    def store_took(self, step: StoreStep, seconds: float) -> None:
        """The shared store did something, failed at it, or was given up."""
        ...

    def store_failed(self, step: StoreStep, kind: Fault) -> None:
        """The shared store did not do what it was asked, or what it gave was no use."""
        ...

    def memory_holds(self, count: int, size: int) -> None:
        """So many entries and bytes are in this process now; told about once a second."""
        ...


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
