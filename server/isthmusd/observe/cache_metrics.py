"""What the cache does, counted for Prometheus: told by the stores and by the sharing of answers. Records of calls are
read by `metrics.py`. No label holds anything of a call but its operation.
"""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STORE_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
"""A call gives the store 50 ms unless told otherwise: what is slower than the last is of one kind."""
MAX_WORDS = 24
"""Steps and kinds of faults are few words of the stores' own; beyond so many, `other`."""


class CacheMetrics:
    """Hits, misses, sizes and faults. One per process; the counters are safe to use from several threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "isthmus_cache_calls_total",
            "Calls of operations that are cached: answered from the cache, by a provider, or past the cache.",
            ("operation", "result"),
            registry=registry,
        )
        # Of processes that live only: a worker that died took its memory with it.
        self._bytes = Gauge(
            "isthmus_cache_bytes",
            "Answers in the workers' memory, in bytes.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._entries = Gauge(
            "isthmus_cache_entries",
            "Answers in the workers' memory.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._flights = Counter(
            "isthmus_cache_flights_total", "Answers that were looked for on behalf of all who ask.", registry=registry
        )
        self._joined = Counter(
            "isthmus_cache_flights_joined_total",
            "Calls that waited for an answer that another call had asked for.",
            registry=registry,
        )
        self._seconds = Histogram(
            "isthmus_cache_store_seconds",
            "What the shared store took, or was waited for.",
            ("operation",),
            buckets=STORE_BUCKETS_S,
            registry=registry,
        )
        self._errors = Counter(
            "isthmus_cache_store_errors_total",
            "What the shared store did not do, or gave of no use; the call went on without it.",
            ("operation", "kind"),
            registry=registry,
        )
        self._words: set[str] = set()
        self._call = lru_cache(maxsize=64)(self._calls.labels)
        self._second = lru_cache(maxsize=64)(self._seconds.labels)

    def called(self, operation: str, result: str) -> None:
        """Count a call that ended, by what the cache did for it: `HIT`, `MISS` or `BYPASS`."""
        self._call(operation, result.lower()).inc()

    def flight_began(self) -> None:
        """Count an answer that is looked for, or produced."""
        self._flights.inc()

    def flight_joined(self) -> None:
        """Count a call that waits for another one's answer."""
        self._joined.inc()

    def store_took(self, step: str, seconds: float) -> None:
        """Note what the shared store took for a step."""
        self._second(self._bounded(step)).observe(seconds)

    def store_failed(self, step: str, kind: str) -> None:
        """Count what the shared store did not do."""
        self._errors.labels(self._bounded(step), self._bounded(kind)).inc()

    def memory_holds(self, count: int, size: int) -> None:
        """Show what this process holds."""
        self._entries.set(count)
        self._bytes.set(size)

    def _bounded(self, word: str) -> str:
        if word not in self._words:
            if len(self._words) >= MAX_WORDS:
                return "other"
            self._words.add(word)
        return word
