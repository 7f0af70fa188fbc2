"""The measured lanes of one gateway. They print nothing and judge nothing."""

import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from bench import proc
from bench.gateway import Gateway
from bench.plan import Endpoint, Load, Result, Tally

_SETTLE_S: Final = 1.0
HTTP: Final = "bench.load"
GRPC: Final = "bench.grpc_load"


class LoadFailed(Exception):
    """The load generator itself broke off: there is no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure. Each lane runs in slices and the one that cost least CPU counts: other programs only add."""

    warm_s: float
    closed_s: float
    """Of one slice."""
    paced_s: float
    stream_rounds: int
    """Of one slice."""
    closed_slices: int
    stream_slices: int
    even_s: float = 5
    """Of one slice at `even_rate`."""
    even_rate: float = 200
    """Whole replies per second that every gateway gets alike; low enough for a Python server on one core."""
    connections: int = 16
    streams: int = 50
    rate: float = 50


FULL: Final = Effort(warm_s=3, closed_s=3, paced_s=20, stream_rounds=3, closed_slices=4, stream_slices=2)
QUICK: Final = Effort(warm_s=1, closed_s=2, paced_s=5, stream_rounds=2, closed_slices=2, stream_slices=1, even_s=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One load and what it cost: the slice with the least CPU, and the errors of all."""

    tally: Tally
    cpu_us: float
    """Of the gateway's whole process tree, per request or per stream."""
    busy: float
    """The gateway's share of one core while it ran."""
    mock_cpu_us: float
    slices_cpu_us: list[float]
    """`cpu_us` of every slice: how far apart they are says how quiet the machine was."""

    @property
    def per_second(self) -> float:
        """Return requests or streams per second."""
        return round(self.tally.requests / self.tally.seconds, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything about one gateway. The direct way to the mock is one too, without what a process has."""

    name: str
    start_s: float | None = None
    idle: proc.Memory | None = None
    loaded: proc.Memory | None = None
    whole: Lane
    even: Lane | None = None
    """Whole replies at a rate that is the same for every gateway."""
    stream: Lane
    paced: Tally | None = None
    paced_direct: Tally | None = None
    """Sent in turn with `paced`, so that both saw the same machine."""
    grpc_whole: Lane | None = None
    grpc_stream: Lane | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What stays the same for all gateways of a run."""

    mock_pid: int
    direct: Endpoint
    effort: Effort
    load_cores: set[int]
    gateway_cores: set[int]


def measure_direct(stage: Stage) -> Measurement:
    """Measure the mock itself, as a client without a gateway sees it."""
    effort = stage.effort
    run_load(HTTP, _closed(stage.direct, effort, effort.warm_s), stage)
    whole = _lane(HTTP, _closed(stage.direct, effort, effort.closed_s), stage, None)
    stream = _lane(HTTP, _streams(stage.direct, effort), stage, None)
    return Measurement(name="direct", whole=whole, stream=stream)


def measure(name: str, gateway: Gateway, stage: Stage) -> Measurement:
    """Measure a started gateway: memory, then whole replies, latency at a low rate, streams, and gRPC."""
    effort, endpoint, pid = stage.effort, gateway.endpoint, gateway.pid
    time.sleep(_SETTLE_S)
    idle = proc.memory(pid)
    proc.pin(pid, stage.gateway_cores)
    run_load(HTTP, _closed(endpoint, effort, effort.warm_s), stage)
    whole = _lane(HTTP, _closed(endpoint, effort, effort.closed_s), stage, pid)
    paced_load = Load(shape="paced", endpoints=[stage.direct, endpoint], seconds=effort.paced_s, rate=effort.rate)
    paced_direct, paced = run_load(HTTP, paced_load, stage)
    even_load = Load(shape="paced", endpoints=[endpoint], seconds=effort.even_s, rate=effort.even_rate)
    even = _lane(HTTP, even_load, stage, pid)
    stream = _lane(HTTP, _streams(endpoint, effort), stage, pid)
    grpc_whole = grpc_stream = None
    if gateway.speaks_grpc:
        run_load(GRPC, _closed(endpoint, effort, effort.warm_s), stage)
        grpc_whole = _lane(GRPC, _closed(endpoint, effort, effort.closed_s), stage, pid)
        grpc_stream = _lane(GRPC, _streams(endpoint, effort), stage, pid)
    return Measurement(
        name=name,
        start_s=gateway.start_s,
        idle=idle,
        loaded=proc.memory(pid),
        whole=whole,
        even=even,
        stream=stream,
        paced=paced,
        paced_direct=paced_direct,
        grpc_whole=grpc_whole,
        grpc_stream=grpc_stream,
    )


def _closed(endpoint: Endpoint, effort: Effort, seconds: float) -> Load:
    return Load(shape="closed", endpoints=[endpoint], connections=effort.connections, seconds=seconds)


def _streams(endpoint: Endpoint, effort: Effort) -> Load:
    return Load(shape="streams", endpoints=[endpoint], connections=effort.streams, rounds=effort.stream_rounds)


def _lane(generator: str, load: Load, stage: Stage, pid: int | None) -> Lane:
    count = stage.effort.stream_slices if load.shape == "streams" else stage.effort.closed_slices
    slices = [measure_slice(generator, load, stage, pid) for _ in range(count)]
    only_from_providers(slices)
    return least(slices)


def only_from_providers(slices: list[Lane]) -> None:
    """Raise LoadFailed when Isthmus answered one of these from its cache: its figures would be of something else."""
    if any(lane.tally.hits for lane in slices):
        raise LoadFailed("answers came from a cache, where a provider was to be asked")


def least(slices: list[Lane]) -> Lane:
    """Return the slice that cost least CPU, with the errors of all."""
    best = min(slices, key=lambda lane: (lane.cpu_us, lane.mock_cpu_us))
    errors = sum(lane.tally.errors for lane in slices)
    return replace(best, tally=replace(best.tally, errors=errors), slices_cpu_us=[lane.cpu_us for lane in slices])


def measure_slice(generator: str, load: Load, stage: Stage, pid: int | None) -> Lane:
    """Run a load once; `pid` is the gateway's, none for the direct way."""
    mock_before, before = proc.cpu_s(stage.mock_pid), proc.cpu_s(pid) if pid else 0.0
    (tally,) = run_load(generator, load, stage)
    used = (proc.cpu_s(pid) if pid else 0.0) - before
    mock_used = proc.cpu_s(stage.mock_pid) - mock_before
    return Lane(
        tally=tally,
        cpu_us=round(used / tally.requests * 1e6, 1),
        busy=round(used / tally.seconds, 3),
        mock_cpu_us=round(mock_used / tally.requests * 1e6, 1),
        slices_cpu_us=[],
    )


def run_load(generator: str, load: Load, stage: Stage) -> Result:
    """Run a load on its cores to its end."""
    process = subprocess.Popen([sys.executable, "-m", generator], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    # Before it reads its load, so that all its threads inherit the cores.
    proc.pin(process.pid, stage.load_cores)
    answer, _ = process.communicate(msgspec.json.encode(load))
    if process.returncode != 0:
        raise LoadFailed(f"{generator} ended with status {process.returncode}")
    return msgspec.json.decode(answer, type=Result)
