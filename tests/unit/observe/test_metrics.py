"""Metrics fed by records, in one process and merged over several."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from isthmusd.core.record import Attempt, EndReason, Record
from isthmusd.edge.admin import merged
from isthmusd.observe.metrics import MAX_PROVIDERS, Metrics, outcome, status_class
from prometheus_client import generate_latest
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.observe.sample import ATTEMPT, RECORD


def samples(text: bytes) -> dict[str, float]:
    """Give `name{label="value",...}` to value, without histogram buckets."""
    return {
        sample.name
        + "{"
        + ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        + "}": sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def counted(*records: Record) -> dict[str, float]:
    metrics = Metrics()
    for record in records:
        metrics.write(record)
    return samples(generate_latest(metrics.registry))


def test_call_is_counted_with_its_duration_first_event_attempts_and_tokens() -> None:
    shown = counted(RECORD, RECORD)

    assert shown == {
        "isthmus_calls_total{end=complete,operation=chat,provider=openai,status_class=2xx,surface=openai}": 2,
        "isthmus_call_duration_seconds_count{operation=chat,provider=openai}": 2,
        "isthmus_call_duration_seconds_sum{operation=chat,provider=openai}": 2.5,
        "isthmus_call_first_event_seconds_count{operation=chat,provider=openai}": 2,
        "isthmus_call_first_event_seconds_sum{operation=chat,provider=openai}": 0.4,
        "isthmus_attempts_total{outcome=ok,provider=openai}": 2,
        "isthmus_tokens_total{kind=prompt,provider=openai}": 14,
        "isthmus_tokens_total{kind=completion,provider=openai}": 10,
        "isthmus_tokens_total{kind=cached,provider=openai}": 6,
        "isthmus_calls_active{}": 0,
        "isthmus_records_dropped_total{}": 0,
        "isthmus_cache_bytes{}": 0,
        "isthmus_cache_entries{}": 0,
        "isthmus_cache_flights_total{}": 0,
        "isthmus_cache_flights_joined_total{}": 0,
    }


def test_tokens_of_an_answer_are_counted_when_it_is_made_not_when_it_is_given_again() -> None:
    made = replace(RECORD, cache="MISS")
    again = replace(RECORD, cache="HIT", attempts=(), first_event_s=None)

    shown = counted(made, again, again)

    assert {name: value for name, value in shown.items() if name.startswith("isthmus_tokens")} == {
        "isthmus_tokens_total{kind=prompt,provider=openai}": 7,
        "isthmus_tokens_total{kind=completion,provider=openai}": 5,
        "isthmus_tokens_total{kind=cached,provider=openai}": 3,
    }
    assert shown["isthmus_calls_total{end=complete,operation=chat,provider=none,status_class=2xx,surface=openai}"] == 2


def test_tokens_count_for_who_takes_over_from_the_call_that_asked_first() -> None:
    left = replace(RECORD, cache="MISS", attempts=(), usage=None, end=EndReason.CANCELLED)
    heir = replace(RECORD, cache="HIT")

    shown = counted(left, heir)

    assert shown["isthmus_tokens_total{kind=prompt,provider=openai}"] == 7


def test_call_without_a_target_has_no_provider() -> None:
    refused = replace(RECORD, attempts=(), status=401, end=EndReason.REFUSED, first_event_s=None, usage=None)

    shown = counted(refused)

    assert shown["isthmus_calls_total{end=refused,operation=chat,provider=none,status_class=4xx,surface=openai}"] == 1
    assert not any(name.startswith(("isthmus_call_first_event", "isthmus_tokens")) for name in shown)


def test_whole_reply_has_no_first_event() -> None:
    shown = counted(replace(RECORD, stream=False))

    assert not any(name.startswith("isthmus_call_first_event") for name in shown)


def test_every_attempt_is_counted_and_the_last_one_names_the_call() -> None:
    failed = replace(ATTEMPT, provider="mybox", status=None, error="upstream_unreachable")

    shown = counted(replace(RECORD, attempts=(failed, ATTEMPT)))

    assert shown["isthmus_attempts_total{outcome=no_answer,provider=mybox}"] == 1
    assert shown["isthmus_attempts_total{outcome=ok,provider=openai}"] == 1
    assert shown["isthmus_call_duration_seconds_count{operation=chat,provider=openai}"] == 1


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        (200, None, "ok"),
        (200, "upstream_interrupted", "broken"),
        (None, "timeout", "no_answer"),
        (429, "rate_limit_exceeded", "throttled"),
        (400, "some_code_of_theirs", "4xx"),
        (503, "overloaded", "5xx"),
        (302, "upstream_error", "3xx"),
    ],
)
def test_outcomes_are_a_closed_set(status: int | None, error: str | None, word: str) -> None:
    assert outcome(Attempt(provider="p", model="m", status=status, duration_s=1, error=error)) == word


def test_status_outside_http_is_other() -> None:
    assert [status_class(status) for status in (0, 99, 100, 204, 599, 600, 999)] == [
        "other",
        "other",
        "1xx",
        "2xx",
        "5xx",
        "other",
        "other",
    ]


def test_records_that_are_lost_are_counted() -> None:
    metrics = Metrics()

    metrics.dropped()
    metrics.dropped()

    assert samples(generate_latest(metrics.registry))["isthmus_records_dropped_total{}"] == 2


def test_providers_beyond_the_cap_share_a_label() -> None:
    metrics = Metrics()

    for number in range(MAX_PROVIDERS + 50):
        metrics.write(replace(RECORD, attempts=(replace(ATTEMPT, provider=f"p{number}"),)))

    shown = samples(generate_latest(metrics.registry))
    assert shown["isthmus_attempts_total{outcome=ok,provider=other}"] == 50
    assert sum(name.startswith("isthmus_attempts_total") for name in shown) == MAX_PROVIDERS + 1


def test_active_calls_go_up_and_down() -> None:
    metrics = Metrics()

    metrics.opened()
    metrics.opened()
    metrics.closed()
    metrics.show()

    assert samples(generate_latest(metrics.registry))["isthmus_calls_active{}"] == 1


WORKER = """
from isthmusd.observe.metrics import Metrics
from tests.unit.observe.sample import RECORD
metrics = Metrics()
metrics.opened()
metrics.show()
metrics.write(RECORD)
print(flush=True)
input()
"""


def start_worker(directory: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=root,
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory), "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_workers_add_up_and_a_dead_one_keeps_its_counters_only(tmp_path: Path) -> None:
    with start_worker(tmp_path) as first, start_worker(tmp_path) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        assert first.stdout.readline() + second.stdout.readline() == b"\n\n"

        together = samples(merged(tmp_path, dict))
        first.kill()
        first.wait()
        mark_process_dead(first.pid, str(tmp_path))
        afterwards = samples(merged(tmp_path, dict))
        second.communicate(b"\n")

    calls = "isthmus_calls_total{end=complete,operation=chat,provider=openai,status_class=2xx,surface=openai}"
    assert (together[calls], together["isthmus_calls_active{}"]) == (2, 2)
    assert (afterwards[calls], afterwards["isthmus_calls_active{}"]) == (2, 1)
