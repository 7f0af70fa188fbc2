"""`python -m bench.caching`: what an answer from the cache costs, beside one that a provider is asked for. Prints a
table and PASS or MISS per target, and writes both as JSON. Other gateways are not measured here: see `bench.run`.
"""

import argparse
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from bench import proc
from bench.adapters.isthmus import ADAPTER
from bench.caching_lanes import HIT_MANY, HIT_ONE, MISS, PASS, PLACES, Figure, Place, measure_place
from bench.gateway import StartFailed, started
from bench.lanes import FULL, QUICK, LoadFailed, Stage
from bench.report import verdict_lines
from bench.stage import Circumstances, circumstances, staged
from bench.targets import Verdict
from bench.valkey import find_server, served

LIMIT: Final = 0.75
"""CPU of a hit in memory, over that of a call whose answer the mock gives: a miss that is kept, and one which the cache
has no part in."""
STRAY_LIMIT: Final = 0.01
"""Share of answers from elsewhere than their lane says: a store that is late by its deadline is a miss."""
_RESULTS: Final = Path(__file__).parent / "results" / "local"
_COLUMNS: Final = (
    ("kept in", 8),
    ("way", 28),
    ("CPU us", 9),
    ("of pass", 9),
    ("per s", 9),
    ("p50 ms", 9),
    ("p99 ms", 9),
    ("mock us", 9),
    ("server us", 11),
    ("strays", 8),
    ("errors", 8),
)
_NAMES: Final = 2
"""Columns that are not numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachingRecord:
    """What is written as JSON."""

    circumstances: Circumstances
    skipped: dict[str, str]
    figures: list[Figure]
    verdicts: list[Verdict]


def main() -> int:
    """Measure, print, write; the status is 1 only with --strict and a missed target."""
    arguments = _arguments()
    names = set(arguments.only.split(",")) if arguments.only else {place.name for place in PLACES}
    figures: list[Figure] = []
    skipped: dict[str, str] = {}
    with staged(QUICK if arguments.quick else FULL) as (stage, root):
        for place in (place for place in PLACES if place.name in names):
            match _measure(place, stage, root):
                case str(reason):
                    skipped[place.name] = reason
                    print(f"  skipped {place.name}: {reason}", flush=True)
                case found:
                    figures += found
    verdicts = judge(figures)
    print(table(figures), verdict_lines(verdicts), sep="\n\n")
    record = CachingRecord(
        circumstances=circumstances(stage),
        skipped=skipped,
        figures=figures,
        verdicts=verdicts,
    )
    out: Path = arguments.out or _RESULTS / "caching.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    print(f"\nwritten to {out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out}")
    return int(arguments.strict and any(verdict.kept is False for verdict in verdicts))


def judge(figures: list[Figure]) -> list[Verdict]:
    """Compare what was measured with what is promised."""
    cpu_us = {each.way: each.lane.cpu_us for each in figures if each.place == "memory"}
    answered = sum(each.answered for each in figures)
    strays = round(sum(each.strays for each in figures) / answered, 4) if answered else None
    errors = sum(each.lane.tally.errors for each in figures) if figures else None
    return [
        *(
            _verdict(f"{hit}, in memory: CPU over that of {other}", LIMIT, _ratio(cpu_us, hit, other))
            for hit in (HIT_ONE, HIT_MANY)
            for other in (MISS, PASS)
        ),
        _verdict("answers from elsewhere than their lane says, share", STRAY_LIMIT, strays),
        _verdict("failed calls", 0, errors),
    ]


def table(figures: list[Figure]) -> str:
    """Return the figures, a line each."""
    lines = [_line(title for title, _ in _COLUMNS)]
    for each in figures:
        lane, latency = each.lane, each.lane.tally.latency
        cells = (
            each.place,
            each.way,
            f"{lane.cpu_us:.0f}",
            "-" if each.ratio is None else f"{each.ratio:.2f}",
            f"{lane.per_second:.0f}",
            f"{latency.p50:.2f}",
            f"{latency.p99:.2f}",
            f"{lane.mock_cpu_us:.0f}",
            "-" if each.server_cpu_us is None else f"{each.server_cpu_us:.0f}",
            str(each.strays),
            str(lane.tally.errors),
        )
        lines.append(_line(cells))
    lines.append("  per request, or per stream of 100 chunks, whose p50 and p99 are of the first chunk")
    return "\n".join(lines)


def _ratio(cpu_us: dict[str, float], way: str, other: str) -> float | None:
    return round(cpu_us[way] / cpu_us[other], 4) if way in cpu_us and cpu_us.get(other) else None


def _verdict(promise: str, limit: float, figure: float | None) -> Verdict:
    return Verdict(promise=promise, limit=limit, figure=figure, kept=None if figure is None else figure <= limit)


def _line(cells: Iterable[str]) -> str:
    widths = (width for _, width in _COLUMNS)
    padded = [
        cell.ljust(width) if index < _NAMES else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "".join(padded)


def _measure(place: Place, stage: Stage, root: Path) -> list[Figure] | str:
    """Measure one place, or say why not."""
    program, server = ADAPTER.find(), find_server() if place.needs_server else None
    if program is None or (place.needs_server and server is None):
        return "not installed"
    print(f"measuring {place.name} ...", flush=True)
    folder = root / place.name
    folder.mkdir()
    env = dict(place.env)
    server_pid = None
    try:
        with ExitStack() as stack:
            if server is not None:
                cache = stack.enter_context(served(server, folder))
                proc.pin(cache.pid, stage.load_cores)
                env["ISTHMUS_CACHE_URL"], server_pid = cache.url, cache.pid
            launch = ADAPTER.launch(program, stage.direct.port, folder)
            launch = replace(launch, env=launch.env | env)
            gateway = stack.enter_context(started(launch, folder, limit_s=ADAPTER.start_limit_s))
            return measure_place(place, gateway, stage, server_pid)
    except StartFailed as failure:
        # Its output may hold paths of this machine: for the terminal, not for the JSON.
        print(failure)
        return "did not start"
    except LoadFailed as failure:
        return f"broke under load: {failure}"


def _arguments() -> argparse.Namespace:
    names = [place.name for place in PLACES]
    parser = argparse.ArgumentParser(prog="python -m bench.caching", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"comma-separated, of: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="shorter and noisier")
    parser.add_argument("--strict", action="store_true", help="status 1 when a target is missed")
    parser.add_argument("--out", type=Path, help="a file for the JSON instead of the one in bench/results/local/")
    arguments = parser.parse_args()
    unknown = set((arguments.only or "").split(",")) - set(names) - {""}
    if unknown:
        parser.error(f"no such place: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
