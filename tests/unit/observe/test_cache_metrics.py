"""What the cache does, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import replace

from isthmusd.observe.cache_metrics import MAX_WORDS
from isthmusd.observe.metrics import Metrics
from isthmusd.pipeline.ports import FlightWatch
from isthmusd.stores.caching import CacheWatch, Fault, StoreStep
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.observe.sample import RECORD


def shown(metrics: Metrics, family: str) -> dict[tuple[str, ...], float]:
    """Give the samples of a family by the values of their labels."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for each in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in each.samples
        if sample.name == family
    }


def test_calls_are_counted_by_what_the_cache_did() -> None:
    metrics = Metrics()

    for cache in ("HIT", "HIT", "MISS", "BYPASS", None):
        metrics.write(replace(RECORD, cache=cache))
    metrics.write(replace(RECORD, cache="HIT", operation="embedding"))

    assert shown(metrics, "isthmus_cache_calls_total") == {
        ("chat", "hit"): 2,
        ("chat", "miss"): 1,
        ("chat", "bypass"): 1,
        ("embedding", "hit"): 1,
    }


def test_flights_and_those_who_joined_them_are_counted() -> None:
    metrics = Metrics()
    watch: FlightWatch = metrics.cache

    watch.flight_began()
    watch.flight_joined()
    watch.flight_joined()

    assert shown(metrics, "isthmus_cache_flights_total") == {(): 1}
    assert shown(metrics, "isthmus_cache_flights_joined_total") == {(): 2}


def test_memory_shows_what_it_holds_now() -> None:
    metrics = Metrics()
    watch: CacheWatch = metrics.cache

    watch.memory_holds(3, 4096)
    watch.memory_holds(2, 1024)

    assert shown(metrics, "isthmus_cache_entries") == {(): 2}
    assert shown(metrics, "isthmus_cache_bytes") == {(): 1024}


def test_the_store_is_timed_and_its_faults_are_counted() -> None:
    metrics = Metrics()

    metrics.cache.store_took(StoreStep.GET, 0.0004)
    metrics.cache.store_took(StoreStep.GET, 0.04)
    metrics.cache.store_failed(StoreStep.GET, Fault.TIMEOUT)
    metrics.cache.store_failed(StoreStep.GET, Fault.TIMEOUT)
    metrics.cache.store_failed(StoreStep.PUT, Fault.DROPPED)

    assert shown(metrics, "isthmus_cache_store_seconds_count") == {("get",): 2}
    buckets = shown(metrics, "isthmus_cache_store_seconds_bucket")
    assert buckets["0.0005", "get"] == 1
    assert buckets["0.025", "get"] == 1
    assert buckets["0.05", "get"] == 2
    assert shown(metrics, "isthmus_cache_store_errors_total") == {("timeout", "get"): 2, ("dropped", "put"): 1}


def test_all_words_of_the_stores_have_room() -> None:
    assert len(StoreStep) + len(Fault) < MAX_WORDS


def test_words_without_end_make_no_labels_without_end() -> None:
    metrics = Metrics()

    for number in range(100):
        metrics.cache.store_failed("get", f"kind{number}")

    counted = shown(metrics, "isthmus_cache_store_errors_total")
    assert len(counted) == MAX_WORDS
    assert counted["other", "get"] == 100 - (MAX_WORDS - 1)
