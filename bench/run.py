"""`python -m bench.run`: one run over all installed gateways, as a table and as JSON. It installs nothing."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.adapters.adapter import Adapter
from bench.adapters.catalogue import ADAPTERS
from bench.gateway import StartFailed, started
from bench.lanes import FULL, QUICK, LoadFailed, Measurement, Stage, measure, measure_direct
from bench.report import table, verdict_lines
from bench.stage import Circumstances, circumstances, staged
from bench.targets import Verdict, judge

_RESULTS: Final = Path(__file__).parent / "results" / "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is written as JSON."""

    circumstances: Circumstances
    skipped: dict[str, str]
    measurements: list[Measurement]
    verdicts: list[Verdict]


def main() -> int:
    """Run, print, write; the status is 1 only with --strict and a missed target (or no Isthmus at all)."""
    arguments = _arguments()
    names = arguments.only.split(",") if arguments.only else list(ADAPTERS)
    skipped: dict[str, str] = {}
    with staged(QUICK if arguments.quick else FULL) as (stage, root):
        print("measuring direct ...", flush=True)
        measurements = [measure_direct(stage)]
        for name in names:
            outcome = _measure_one(ADAPTERS[name], stage, root)
            match outcome:
                case str(reason):
                    skipped[name] = reason
                    print(f"  skipped {name}: {reason}", flush=True)
                case measurement:
                    measurements.append(measurement)
    verdicts = judge({each.name: each for each in measurements})
    print(table(measurements), verdict_lines(verdicts), sep="\n\n")
    record = RunRecord(
        circumstances=circumstances(stage),
        skipped=skipped,
        measurements=measurements,
        verdicts=verdicts,
    )
    print(f"\nwritten to {_write(record, arguments.out)}")
    missed = any(verdict.kept is False for verdict in verdicts) or "isthmus" in skipped
    return int(arguments.strict and missed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"comma-separated, of: {', '.join(ADAPTERS)}")
    parser.add_argument("--quick", action="store_true", help="shorter and noisier")
    parser.add_argument("--strict", action="store_true", help="status 1 when a target is missed")
    parser.add_argument("--out", type=Path, help="a file for the JSON besides bench/results/local/")
    arguments = parser.parse_args()
    unknown = set((arguments.only or "").split(",")) - set(ADAPTERS) - {""}
    if unknown:
        parser.error(f"no such gateway: {', '.join(sorted(unknown))}")
    return arguments


def _measure_one(adapter: Adapter, stage: Stage, root: Path) -> Measurement | str:
    program = adapter.find()
    if program is None:
        return "not installed (see bench/README.md)"
    print(f"measuring {adapter.name} ...", flush=True)
    folder = root / adapter.name
    folder.mkdir()
    try:
        launch = adapter.launch(program, stage.direct.port, folder)
        with started(launch, folder, limit_s=adapter.start_limit_s) as gateway:
            return measure(adapter.name, gateway, stage)
    except StartFailed as failure:
        # Its output may hold paths and keys of this machine: for the terminal, not for the JSON.
        print(failure)
        return "did not start"
    except LoadFailed as failure:
        return f"broke under load: {failure}"


def _write(record: RunRecord, out: Path | None) -> Path:
    _RESULTS.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
    latest = _RESULTS / "latest.json"
    stamp = record.circumstances.finished_at.replace(":", "")
    for path in [latest, _RESULTS / f"{stamp}.json", *([out] if out else [])]:
        path.write_bytes(encoded)
    return out or latest.relative_to(Path.cwd()) if latest.is_relative_to(Path.cwd()) else latest


if __name__ == "__main__":
    raise SystemExit(main())
