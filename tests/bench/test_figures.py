"""What the benchmark makes of its measurements: CPU of a process tree, percentiles, and verdicts."""

import subprocess
import sys

from bench import proc
from bench.lanes import Lane, Measurement
from bench.plan import Spread, Tally, spread
from bench.report import table, verdict_lines
from bench.targets import judge


def measurement(name: str, *, whole_us: float, stream_us: float, errors: int = 0) -> Measurement:
    def lane(cpu_us: float) -> Lane:
        tally = Tally(requests=10, errors=errors, seconds=1, latency=Spread(p50=1, p99=2))
        return Lane(tally=tally, cpu_us=cpu_us, busy=0.5, mock_cpu_us=5, slices_cpu_us=[cpu_us])

    return Measurement(name=name, whole=lane(whole_us), stream=lane(stream_us))


def test_cpu_of_a_tree_includes_grandchildren() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    nested = (
        f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None

    process.stdout.readline()
    used_s = proc.cpu_s(process.pid)
    memory = proc.memory(process.pid)
    process.communicate(b"\n")

    assert 0.28 <= used_s < 3
    assert 0 < memory.pss_mib <= memory.rss_mib
    assert proc.tree(process.pid) == []


def test_percentiles_are_milliseconds_of_the_samples() -> None:
    assert spread([n * 1_000_000 for n in range(100)]) == Spread(p50=50, p99=99)
    assert spread([]) == Spread(p50=0, p99=0)


def test_verdicts_compare_within_one_run_and_leave_the_unmeasured_open() -> None:
    run = {
        "envoy": measurement("envoy", whole_us=50, stream_us=1000),
        "isthmus": measurement("isthmus", whole_us=500, stream_us=7000),
    }

    kept = {verdict.promise: verdict.kept for verdict in judge(run)}

    assert kept["whole reply: CPU over bare Envoy's, each at its own maximum"] is True
    assert kept["whole reply: CPU over bare Envoy's, both at 200 requests/s"] is None
    assert kept["stream of 100 chunks: CPU over bare Envoy's"] is False
    assert kept["whole reply: CPU over LiteLLM's"] is None
    assert kept["failed calls"] is True


def test_a_failed_call_misses_its_target() -> None:
    run = {"isthmus": measurement("isthmus", whole_us=500, stream_us=7000, errors=1)}

    assert "MISS  failed calls: 2 (at most 0)" in verdict_lines(judge(run)).splitlines()


def test_table_has_a_line_for_each_gateway() -> None:
    measurements = [measurement(name, whole_us=50, stream_us=1000) for name in ("direct", "envoy")]

    header, *rows, legend = table(measurements).splitlines()

    assert header.split()[0] == "gateway"
    assert [row.split()[0] for row in rows] == ["direct", "envoy"]
    assert "mock: 5 us per whole reply" in legend
