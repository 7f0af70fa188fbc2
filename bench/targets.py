"""What Isthmus promises, and whether a run kept it. A promise without its two measurements is open, not kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.lanes import Measurement

Run = dict[str, Measurement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise: the measured figure stays at or under a limit."""

    promise: str
    limit: float
    figure: Callable[[Run], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target after a run."""

    promise: str
    limit: float
    figure: float | None
    kept: bool | None
    """Unset when the run did not measure it."""


def _whole_cpu(name: str) -> Callable[[Run], float | None]:
    return lambda run: run[name].whole.cpu_us if name in run else None


def _even_cpu(name: str) -> Callable[[Run], float | None]:
    def figure(run: Run) -> float | None:
        lane = run[name].even if name in run else None
        return lane.cpu_us if lane else None

    return figure


def _stream_cpu(name: str) -> Callable[[Run], float | None]:
    return lambda run: run[name].stream.cpu_us if name in run else None


def _ratio(over: Callable[[Run], float | None], under: Callable[[Run], float | None]) -> Callable[[Run], float | None]:
    def figure(run: Run) -> float | None:
        above, below = over(run), under(run)
        return round(above / below, 4) if above is not None and below else None

    return figure


def _start(run: Run) -> float | None:
    return run["isthmus"].start_s if "isthmus" in run else None


def _idle(run: Run) -> float | None:
    memory = run["isthmus"].idle if "isthmus" in run else None
    return memory.pss_mib if memory else None


def _errors(run: Run) -> float | None:
    if "isthmus" not in run:
        return None
    own = run["isthmus"]
    lanes = [lane for lane in (own.whole, own.stream, own.grpc_whole, own.grpc_stream) if lane is not None]
    return sum(lane.tally.errors for lane in lanes)


TARGETS: Final = (
    Target(
        promise="whole reply: CPU over bare Envoy's, both at 200 requests/s",
        limit=15,
        figure=_ratio(_even_cpu("isthmus"), _even_cpu("envoy")),
    ),
    Target(
        # Not the same load: at its own maximum Envoy does 20,000 requests/s and takes dozens per wake-up.
        promise="whole reply: CPU over bare Envoy's, each at its own maximum",
        limit=15,
        figure=_ratio(_whole_cpu("isthmus"), _whole_cpu("envoy")),
    ),
    Target(
        promise="whole reply: CPU over LiteLLM's",
        limit=round(1 / 15, 4),
        figure=_ratio(_whole_cpu("isthmus"), _whole_cpu("litellm")),
    ),
    Target(
        promise="stream of 100 chunks: CPU over bare Envoy's",
        limit=6,
        figure=_ratio(_stream_cpu("isthmus"), _stream_cpu("envoy")),
    ),
    Target(promise="start to first answer, seconds", limit=3, figure=_start),
    Target(promise="idle memory of all processes (PSS), MiB", limit=200, figure=_idle),
    Target(promise="failed calls", limit=0, figure=_errors),
)


def judge(run: Run) -> list[Verdict]:
    """Compare a run with every target."""
    verdicts: list[Verdict] = []
    for target in TARGETS:
        figure = target.figure(run)
        kept = None if figure is None else figure <= target.limit
        verdicts.append(Verdict(promise=target.promise, limit=target.limit, figure=figure, kept=kept))
    return verdicts
