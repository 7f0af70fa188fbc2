"""A run as a table on the terminal. It computes differences of what was measured, nothing else."""

from typing import Final

from bench.lanes import Lane, Measurement
from bench.plan import Spread
from bench.targets import Verdict

_FULL_CORE: Final = 0.85
"""Below this share of its core a gateway waited, for the load generator or for other programs: a lower bound."""
_SATURATED: Final = 0.95
"""Above this share the streams outran the gateway: its delays are a queue's, and grow with the length of the run."""

_HEADER: Final = (
    ("gateway", 18),
    ("CPU us/req", 11),
    ("at 200/s", 9),
    ("req/s", 9),
    ("added ms p50", 13),
    ("p99", 8),
    ("CPU us/stream", 14),
    ("added TTFT p50", 15),
    ("p99", 8),
    ("added chunk p50", 16),
    ("p99", 8),
    ("start s", 8),
    ("PSS", 7),
    ("RSS MiB", 8),
    ("errors", 7),
)


def table(measurements: list[Measurement]) -> str:
    """Return the measurements, one line each, gRPC lanes on lines of their own."""
    direct = next(each for each in measurements if each.name == "direct")
    rows = [[title for title, _ in _HEADER]]
    for each in measurements:
        rows.append(_row(each, direct))
        if each.grpc_whole and each.grpc_stream:
            rows.append(_grpc_row(each, each.grpc_whole, each.grpc_stream, direct))
    widths = [width for _, width in _HEADER]
    lines = ["".join(" " + cell.rjust(width - 1) for cell, width in zip(row, widths, strict=True)) for row in rows]
    legend = "= not a difference; > its core was not full or not its own; ! more streams than it can carry"
    return "\n".join([*lines, f"  {legend}; mock: {_mock(direct)}"])


def verdict_lines(verdicts: list[Verdict]) -> str:
    """Return one line per target."""
    words = {True: "PASS", False: "MISS", None: "OPEN"}
    return "\n".join(
        f"{words[v.kept]}  {v.promise}: {'not measured' if v.figure is None else f'{v.figure:g}'} (at most {v.limit:g})"
        for v in verdicts
    )


def _row(each: Measurement, direct: Measurement) -> list[str]:
    is_direct = each is direct
    added = _added(each.paced.latency, each.paced_direct.latency) if each.paced and each.paced_direct else ["-", "-"]
    return [
        each.name,
        "-" if is_direct else f"{each.whole.cpu_us:.0f}",
        "-" if each.even is None else f"{each.even.cpu_us:.0f}",
        _rate(each.whole),
        *([f"={each.whole.tally.latency.p50:.2f}", f"={each.whole.tally.latency.p99:.2f}"] if is_direct else added),
        "-" if is_direct else f"{each.stream.cpu_us:.0f}",
        *_stream_delays(each.stream, direct, is_direct=is_direct),
        "-" if each.start_s is None else f"{each.start_s:.2f}",
        "-" if each.idle is None else f"{each.idle.pss_mib:.0f}",
        "-" if each.idle is None else f"{each.idle.rss_mib:.0f}",
        str(each.whole.tally.errors + each.stream.tally.errors + (each.paced.errors if each.paced else 0)),
    ]


def _grpc_row(each: Measurement, whole: Lane, stream: Lane, direct: Measurement) -> list[str]:
    return [
        f"{each.name} gRPC",
        f"{whole.cpu_us:.0f}",
        "-",
        _rate(whole),
        "-",
        "-",
        f"{stream.cpu_us:.0f}",
        *_stream_delays(stream, direct, is_direct=False),
        "-",
        "-",
        "-",
        str(whole.tally.errors + stream.tally.errors),
    ]


def _stream_delays(lane: Lane, direct: Measurement, *, is_direct: bool) -> list[str]:
    base = direct.stream.tally
    delay, base_delay = lane.tally.chunk_delay, base.chunk_delay
    if delay is None or base_delay is None:
        return ["-"] * 4
    if is_direct:
        return [f"={value:.2f}" for value in (base.latency.p50, base.latency.p99, delay.p50, delay.p99)]
    mark = "!" if lane.busy > _SATURATED else ""
    return [mark + value for value in (*_added(lane.tally.latency, base.latency), *_added(delay, base_delay))]


def _added(own: Spread, direct: Spread) -> list[str]:
    return [f"{own.p50 - direct.p50:.2f}", f"{own.p99 - direct.p99:.2f}"]


def _rate(lane: Lane) -> str:
    bound = ">" if lane.busy < _FULL_CORE else ""
    return f"{bound}{lane.per_second:.0f}"


def _mock(direct: Measurement) -> str:
    return f"{direct.whole.mock_cpu_us:.0f} us per whole reply, {direct.stream.mock_cpu_us:.0f} us per stream"
