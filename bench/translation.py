"""`python -m bench.translation`: what translating costs, in one process and without transport. Prints microseconds per
request, per whole answer and per streamed chunk of each dialect, and writes them as JSON. It serves nothing.

A request is decoded from OpenAI's format and encoded in the provider's; an answer and a chunk go the other way. The
least of several rounds counts: others are slower because of what else the machine did.
"""

import argparse
import cProfile
import gc
import io
import platform
import pstats
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from isthmusd.core.call import Stamp
from isthmusd.core.profile import Profile
from isthmusd.core.request import Operation
from isthmusd.dialects import registry
from isthmusd.dialects.translation import Translation

from bench.translation_wires import CHUNK_COUNT, WIRES, Wire, request

LIMIT_US: Final = 60.0
"""Per translated chunk, on a machine of two shared cores."""
_RESULTS: Final = Path(__file__).parent / "results" / "local"
_STAMP: Final = Stamp(id="bench", created_at=1_741_570_283)
_SHOWN: Final = 15
"""Lines of a profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long it takes."""

    rounds: int
    calls: int
    """Of requests and whole answers in a round."""
    streams: int


FULL: Final = Effort(rounds=7, calls=300, streams=10)
QUICK: Final = Effort(rounds=2, calls=20, streams=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds that one dialect takes."""

    dialect: str
    request_us: float
    answer_us: float
    chunk_us: dict[str, float]
    """Kind of chunk (`text`, `thinking`, `arguments`) to its cost."""
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationRecord:
    """What is written as JSON."""

    finished_at: str
    system: str
    limit_us: float
    effort: Effort
    costs: list[Cost]


def main() -> int:
    """Measure, print, write; the status is 1 only with --strict and a missed target."""
    arguments = _arguments()
    effort = QUICK if arguments.quick else FULL
    names = arguments.only.split(",") if arguments.only else list(WIRES)
    costs = [measure(WIRES[name], effort) for name in names]
    print(table(costs))
    for cost in costs:
        if arguments.profile or not cost.kept:
            kind = max(cost.chunk_us, key=cost.chunk_us.__getitem__)
            print(f"\n{cost.dialect}: where the time of {kind} goes\n{profile_of(WIRES[cost.dialect], kind)}")
    record = TranslationRecord(
        finished_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        system=platform.platform(),
        limit_us=LIMIT_US,
        effort=effort,
        costs=costs,
    )
    out: Path = arguments.out or _RESULTS / "translation.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    print(f"\nwritten to {out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out}")
    return int(arguments.strict and not all(cost.kept for cost in costs))


def measure(wire: Wire, effort: Effort) -> Cost:
    """Measure one dialect."""
    ask, answer = _asking(wire), _answering(wire)
    chunk_us = {
        kind: _least(_streaming(wire, parts), effort.rounds, effort.streams) / CHUNK_COUNT
        for kind, parts in wire.kinds().items()
    }
    return Cost(
        dialect=wire.dialect,
        request_us=round(_least(ask, effort.rounds, effort.calls), 1),
        answer_us=round(_least(answer, effort.rounds, effort.calls), 1),
        chunk_us={kind: round(cost, 1) for kind, cost in chunk_us.items()},
        kept=max(chunk_us.values()) <= LIMIT_US,
    )


def table(costs: list[Cost]) -> str:
    """Return the figures as lines, each with its verdict."""
    kinds = list(dict.fromkeys(kind for cost in costs for kind in cost.chunk_us))
    rows = [f"{'us per':12}{'request':>9}{'answer':>9}" + "".join(f"{kind:>11}" for kind in kinds)]
    for cost in costs:
        chunks = "".join(f"{cost.chunk_us[kind]:11.1f}" if kind in cost.chunk_us else f"{'-':>11}" for kind in kinds)
        rows.append(f"{cost.dialect:12}{cost.request_us:9.1f}{cost.answer_us:9.1f}{chunks}")
    for cost in costs:
        worst = max(cost.chunk_us.values())
        verdict = "PASS" if cost.kept else "MISS"
        rows.append(f"{verdict}  {cost.dialect}: translated chunk {worst:.1f} us (at most {LIMIT_US:g})")
    return "\n".join(rows)


def profile_of(wire: Wire, kind: str) -> str:
    """Return where the time of streams of one kind of chunks goes."""
    stream, profiler = _streaming(wire, wire.kinds()[kind]), cProfile.Profile()
    profiler.enable()
    for _ in range(5):
        stream()
    profiler.disable()
    said = io.StringIO()
    pstats.Stats(profiler, stream=said).strip_dirs().sort_stats("tottime").print_stats(_SHOWN)
    return said.getvalue().strip()


def _asking(wire: Wire) -> Callable[[], Any]:
    served, called = registry.served("openai", Operation.CHAT), registry.called(wire.dialect, Operation.CHAT)
    body, profile = request(), Profile()
    return lambda: called.encode_request(served.decode_request(body), wire.model, profile)


def _answering(wire: Wire) -> Callable[[], Any]:
    served, called = registry.served("openai", Operation.CHAT), registry.called(wire.dialect, Operation.CHAT)
    return lambda: served.encode_response(called.decode_response(wire.whole, _STAMP))


def _streaming(wire: Wire, parts: tuple[bytes, bytes, bytes]) -> Callable[[], None]:
    """Make what translates one stream; it fails if the stream is not understood to its end."""
    served, called = registry.served("openai", Operation.CHAT), registry.called(wire.dialect, Operation.CHAT)
    first, chunk, last = parts
    profile = Profile()

    def stream() -> None:
        decoder, encoder = called.stream_decoder(_STAMP, profile), served.stream_encoder(_STAMP, True)
        relay = Translation(decoder, encoder)
        relay.feed(first)
        written = [relay.feed(chunk) for _ in range(CHUNK_COUNT)]
        relay.feed(last)
        relay.close()
        if relay.failure is not None or not all(written):
            raise AssertionError(f"{wire.dialect}: the stream is not understood: {relay.failure}")

    return stream


def _least(work: Callable[[], Any], rounds: int, times: int) -> float:
    """Return the microseconds of one call, in the fastest round."""
    work()
    found: list[int] = []
    gc.collect()
    for _ in range(rounds):
        begun = time.perf_counter_ns()
        for _ in range(times):
            work()
        found.append(time.perf_counter_ns() - begun)
    return min(found) / times / 1000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.translation", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"comma-separated, of: {', '.join(WIRES)}")
    parser.add_argument("--quick", action="store_true", help="shorter and noisier")
    parser.add_argument("--strict", action="store_true", help="status 1 when a target is missed")
    parser.add_argument("--profile", action="store_true", help="show where the time goes, also where the target is met")
    parser.add_argument("--out", type=Path, help="a file for the JSON instead of the one in bench/results/local/")
    arguments = parser.parse_args()
    unknown = set((arguments.only or "").split(",")) - set(WIRES) - {""}
    if unknown:
        parser.error(f"no such dialect: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
