"""Prometheus text of one process, or merged over all workers. The listener that serves it is `edge`'s."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import (
    MultiProcessCollector,
    mark_process_dead,  # pyright: ignore[reportUnknownVariableType] the library leaves `path` untyped
)

CONTENT_TYPE = CONTENT_TYPE_LATEST


def render(registry: CollectorRegistry) -> bytes:
    """Write the metrics of this process."""
    return generate_latest(registry)


def render_merged(directory: Path) -> bytes:
    """Write the metrics of all processes that keep their values in `directory`, the dead ones' counters included."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))
    return generate_latest(registry)


def forget_worker(pid: int, directory: Path) -> None:
    """Drop the gauges of a worker that died; its counters stay, or the sums would fall."""
    mark_process_dead(pid, path=str(directory))
