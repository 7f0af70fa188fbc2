"""What the stores need to be told. Not the settings tree: `isthmusd.settings` composes this into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """Where tenants, keys, credentials and records are kept."""

    url: str = field(repr=False)
    """SQLAlchemy's: `sqlite:////data/isthmus.db`, `postgresql+psycopg://user:password@host/name`."""
    poll_s: float = 0.25
    """How often a worker asks what changed: the bound on how long a revoked key still opens."""
    timeout_s: float = 2.0
    """How long a caller waits for the store before 503."""
    stale_s: float = 300.0
    """How long what is remembered still counts while the store does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsOptions:
    """How records of calls get from a worker into the store."""

    journal: Path
    """Directory of the workers' journals."""
    segment_bytes: int = 8 * 1024 * 1024
    """A journal file is closed at this size."""
    journal_bytes: int = 1024 * 1024 * 1024
    """All journal files of a worker together, while the store does not take their records; beyond it records are
    counted and dropped."""
    body_bytes: int = 256 * 1024
    """What is kept of one body, where a project wants bodies."""
    retention_s: float = 30 * 86_400.0
    """Older records are deleted."""
    max_count: int = 10_000_000
    """The oldest records beyond this many are deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions:
    """All that the process needs to know that stores records: it does not read the settings, which takes memory."""

    store: StoreOptions
    records: RecordsOptions
    log_level: str = "info"
