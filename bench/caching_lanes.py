"""The lanes of the cache: what each asks, where its answers lie, and the measuring of them in turn. Nothing is judged
here.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Final

from bench import proc
from bench.canned import HASTY_MODEL, MODEL
from bench.gateway import Gateway
from bench.lanes import GRPC, HTTP, Effort, Lane, Stage, least, measure_slice, run_load
from bench.plan import Ask, Endpoint, Load

PROMPTS: Final = 1000
_WARM_LIMIT: Final = 10
"""Runs after which a lane is measured although its answers are not all kept: it says how many are not."""
_SETTLE_S: Final = 0.5
"""Before each slice: what the one before wrote late is not this one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to ask, and what it must come to."""

    name: str
    ask: Ask
    is_hit: bool = False
    """Its answers come from the cache; all others from the mock."""
    over: str | None = None
    """The way that its CPU is compared with."""
    generator: str = HTTP
    model: str = MODEL
    is_paced: bool = False
    """Streams as the main benchmark has them, a chunk per 20 ms; others follow each other without pauses."""

    def load(self, endpoint: Endpoint, effort: Effort) -> Load:
        """Return the work of one slice."""
        if not self.is_paced:
            return self.work(endpoint, effort, effort.closed_s)
        rounds, streams = effort.stream_rounds, effort.streams
        return Load(shape="streams", endpoints=[endpoint], connections=streams, rounds=rounds, ask=self.ask)

    def work(self, endpoint: Endpoint, effort: Effort, seconds: float) -> Load:
        """Return work for some seconds, each request when the answer before it is there."""
        aim = replace(endpoint, model=self.model)
        return Load(shape="closed", endpoints=[aim], connections=effort.connections, seconds=seconds, ask=self.ask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where answers are kept, and the ways that are measured there."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    ways: tuple[Way, ...]
    needs_server: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one way cost at one place."""

    place: str
    way: str
    lane: Lane
    is_hit: bool
    strays: int
    """Answers of all slices that came from elsewhere than the way says; failed ones are in the lane's errors."""
    answered: int
    """Of all slices."""
    ratio: float | None
    """Its CPU over that of the way it is compared with, each in its least slice."""
    server_cpu_us: float | None
    """Of the cache's server, per request in the least slice; it is not the gateway's."""


PASS: Final = "pass-through"
HIT_ONE: Final = "hit, one prompt"
HIT_MANY: Final = f"hit, {PROMPTS} prompts"
MISS: Final = "miss, kept"
_STREAM_PASS: Final = "stream: pass-through"
_GRPC_PASS: Final = "gRPC: pass-through"
_GRPC_STREAM_PASS: Final = "gRPC stream: pass-through"
_PASS_WAY: Final = Way(name=PASS, ask=Ask())
# What is kept comes last: it is written while the next slice waits to begin.
_MISS_WAY: Final = Way(name=MISS, ask=Ask(temperature=0, prompts=0), over=PASS)
# Not one prompt: calls that ask the same at one time share one look into the store.
_HIT_WAY: Final = Way(name=HIT_MANY, ask=Ask(temperature=0, prompts=PROMPTS), is_hit=True, over=PASS)
_STREAM: Final = Ask(stream=True)
_STREAM_AGAIN: Final = Ask(stream=True, temperature=0)

IN_MEMORY: Final = (
    _PASS_WAY,
    Way(name=HIT_ONE, ask=Ask(temperature=0), is_hit=True, over=PASS),
    _HIT_WAY,
    Way(name="stream: pass-through, 20 ms", ask=_STREAM, is_paced=True),
    Way(name=_STREAM_PASS, ask=_STREAM, model=HASTY_MODEL),
    Way(name="stream: hit", ask=_STREAM_AGAIN, is_hit=True, over=_STREAM_PASS, model=HASTY_MODEL),
    Way(name=_GRPC_PASS, ask=Ask(), generator=GRPC),
    Way(name="gRPC: hit", ask=Ask(temperature=0), is_hit=True, over=_GRPC_PASS, generator=GRPC),
    Way(name=_GRPC_STREAM_PASS, ask=_STREAM, generator=GRPC, model=HASTY_MODEL),
    Way(
        name="gRPC stream: hit",
        ask=_STREAM_AGAIN,
        is_hit=True,
        over=_GRPC_STREAM_PASS,
        generator=GRPC,
        model=HASTY_MODEL,
    ),
    _MISS_WAY,
)
IN_STORE: Final = (_PASS_WAY, _HIT_WAY, _MISS_WAY)
_NO_MEMORY: Final = {"ISTHMUS_CACHE_MEMORY_BYTES": "0"}
PLACES: Final = (
    Place(name="memory", ways=IN_MEMORY),
    Place(name="sqlite", ways=IN_STORE, env=_NO_MEMORY),
    Place(name="valkey", ways=IN_STORE, env=_NO_MEMORY, needs_server=True),
)


def measure_place(place: Place, gateway: Gateway, stage: Stage, server_pid: int | None) -> list[Figure]:
    """Measure a started gateway: every way once, then every way again, so that all see the same minutes."""
    proc.pin(gateway.pid, stage.gateway_cores)
    for way in place.ways:
        _warm(way, gateway.endpoint, stage)
    effort = stage.effort
    slices: dict[str, list[tuple[Lane, float]]] = {way.name: [] for way in place.ways}
    for round_number in range(effort.closed_slices):
        for way in place.ways:
            if not way.is_paced or round_number < effort.stream_slices:
                time.sleep(_SETTLE_S)
                slices[way.name].append(_slice(way, gateway, stage, server_pid))
    lanes = {name: least([lane for lane, _ in of_way]) for name, of_way in slices.items()}
    return [_figure(place, way, lanes, slices[way.name], server_pid) for way in place.ways]


def _warm(way: Way, endpoint: Endpoint, stage: Stage) -> None:
    """Run until every prompt of a way that hits has been answered from the cache; each run is longer than the last."""
    for times in range(1, _WARM_LIMIT + 1):
        work = way.work(endpoint, stage.effort, stage.effort.warm_s * times)
        (tally,) = run_load(way.generator, work, stage)
        if not way.is_hit or (tally.hits == tally.requests >= way.ask.prompts):
            return


def _slice(way: Way, gateway: Gateway, stage: Stage, server_pid: int | None) -> tuple[Lane, float]:
    before = proc.cpu_s(server_pid) if server_pid else 0.0
    lane = measure_slice(way.generator, way.load(gateway.endpoint, stage.effort), stage, gateway.pid)
    used = (proc.cpu_s(server_pid) if server_pid else 0.0) - before
    return lane, round(used / lane.tally.requests * 1e6, 1)


def _figure(
    place: Place, way: Way, lanes: dict[str, Lane], slices: list[tuple[Lane, float]], server_pid: int | None
) -> Figure:
    lane = lanes[way.name]
    answered = sum(each.tally.requests - each.tally.errors for each, _ in slices)
    hits = sum(each.tally.hits for each, _ in slices)
    base = lanes[way.over].cpu_us if way.over else None
    return Figure(
        place=place.name,
        way=way.name,
        lane=lane,
        is_hit=way.is_hit,
        strays=answered - hits if way.is_hit else hits,
        answered=answered,
        ratio=round(lane.cpu_us / base, 4) if base else None,
        server_cpu_us=next(used for each, used in slices if each.cpu_us == lane.cpu_us) if server_pid else None,
    )
