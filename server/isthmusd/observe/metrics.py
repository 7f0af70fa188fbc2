"""Counts and distributions of calls for Prometheus, fed by records. Serving them is for `edge/admin.py`.

Label values come from closed sets: surfaces, operations, ends, and the names of configured providers (capped). Models,
tenants and error codes of providers are unbounded and stay in the records.

With PROMETHEUS_MULTIPROC_DIR set before prometheus_client is imported, each process keeps its values in files there.
"""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from isthmusd.core.caching import CacheStatus
from isthmusd.core.record import Attempt, Record
from isthmusd.core.usage import Usage
from isthmusd.observe.cache_metrics import CacheMetrics

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
MAX_PROVIDERS = 100
"""Providers beyond this many share the label `other`."""
NO_PROVIDER = "none"
"""For calls that ended before a target was asked, or without one: what the cache answers is nobody's work."""
STATUS_CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
TOKEN_KINDS = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "cached": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}


def status_class(status: int) -> str:
    """Give `2xx` for 204."""
    return STATUS_CLASSES[status // 100] if 100 <= status < 600 else STATUS_CLASSES[0]


def outcome(attempt: Attempt) -> str:
    """Give one of seven words: `ok`, `throttled`, `broken` (failed after a good status), `no_answer`, or the class."""
    if attempt.error is None:
        return "ok"
    if attempt.status is None:
        return "no_answer"
    if attempt.status == 429:
        return "throttled"
    return "broken" if attempt.status < 300 else status_class(attempt.status)


class Metrics:
    """The gateway's metrics. A journal, and the gauge of calls under way."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._calls = Counter(
            "isthmus_calls_total",
            "Calls that ended.",
            ("surface", "operation", "provider", "status_class", "end"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "isthmus_call_duration_seconds",
            "From arrival to the end of the reply.",
            ("operation", "provider"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._first_events = Histogram(
            "isthmus_call_first_event_seconds",
            "From arrival to the first event of a streamed reply.",
            ("operation", "provider"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._tokens = Counter(
            "isthmus_tokens_total",
            "Tokens, by kind; cached and reasoning tokens are parts of prompt and completion tokens.",
            ("provider", "kind"),
            registry=self.registry,
        )
        self._attempts = Counter(
            "isthmus_attempts_total", "Sends to providers.", ("provider", "outcome"), registry=self.registry
        )
        self._dropped = Counter(
            "isthmus_records_dropped_total",
            "Records that will not reach the store: the journal is full, or cannot be written.",
            registry=self.registry,
        )
        self._active = Gauge(
            "isthmus_calls_active",
            "Calls under way.",
            registry=self.registry,
            # Of processes that live only: a worker that died took its calls with it.
            multiprocess_mode="livesum",
        )
        self.cache = CacheMetrics(self.registry)
        self._active_count = 0
        self._providers: set[str] = set()
        # Looking a child up by its labels costs more than counting in it; the label sets are few.
        self._call = lru_cache(maxsize=4096)(self._calls.labels)
        self._duration = lru_cache(maxsize=1024)(self._durations.labels)
        self._first_event = lru_cache(maxsize=1024)(self._first_events.labels)
        self._token = lru_cache(maxsize=1024)(self._tokens.labels)
        self._attempt = lru_cache(maxsize=1024)(self._attempts.labels)

    def opened(self) -> None:
        """Count a call that begins. Writing the gauge each time would cost a call more than its routing."""
        self._active_count += 1

    def closed(self) -> None:
        """Take back what `opened` counted."""
        self._active_count -= 1

    def dropped(self) -> None:
        """Count a record that is not kept."""
        self._dropped.inc()

    def show(self) -> None:
        """Write how many calls are under way; whoever serves does so every second or so."""
        self._active.set(self._active_count)

    def write(self, record: Record) -> None:
        """Count a call that ended."""
        provider = self._bounded(record.attempts[-1].provider) if record.attempts else NO_PROVIDER
        self._call(record.surface, record.operation, provider, status_class(record.status), record.end).inc()
        self._duration(record.operation, provider).observe(record.duration_s)
        if record.stream and record.first_event_s is not None:
            self._first_event(record.operation, provider).observe(record.first_event_s)
        for attempt in record.attempts:
            self._attempt(self._bounded(attempt.provider), outcome(attempt)).inc()
        if record.cache is not None:
            self.cache.called(record.operation, record.cache)
        # Of an answer that was given again nobody is paid a second time. A hit with attempts has them from a call that
        # asked first and left: that one knows no usage.
        if record.usage is not None and (record.cache != CacheStatus.HIT or record.attempts):
            self._count_tokens(provider, record.usage)

    def _count_tokens(self, provider: str, usage: Usage) -> None:
        for kind, field in TOKEN_KINDS.items():
            count: int | None = getattr(usage, field)
            if count and count > 0:
                self._token(provider, kind).inc(count)

    def _bounded(self, provider: str) -> str:
        if provider in self._providers:
            return provider
        if len(self._providers) >= MAX_PROVIDERS:
            return "other"
        self._providers.add(provider)
        return provider
