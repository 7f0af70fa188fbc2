"""What all runs have in common: a mock on cores of its own, and what is noted of the machine. It measures nothing."""

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import proc
from bench.gateway import MOCK, started
from bench.lanes import Effort, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Under which a run was made."""

    finished_at: str
    system: str
    processor: str
    core_count: int
    pinned: bool
    effort: Effort


@contextmanager
def staged(effort: Effort) -> Iterator[tuple[Stage, Path]]:
    """Run the mock for the time of a `with` block, in a folder that goes with it."""
    gateway_cores, load_cores = proc.cores()
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        root = Path(folder)
        (root / "mock").mkdir()
        with started(MOCK, root / "mock", limit_s=20) as mock:
            proc.pin(mock.pid, load_cores)
            stage = Stage(
                mock_pid=mock.pid,
                direct=mock.endpoint,
                effort=effort,
                load_cores=load_cores,
                gateway_cores=gateway_cores,
            )
            yield stage, root


def circumstances(stage: Stage) -> Circumstances:
    """Note under which a run was made that ends now."""
    return Circumstances(
        finished_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        system=platform.platform(),
        processor=proc.processor(),
        core_count=os.cpu_count() or 1,
        pinned=not stage.gateway_cores & stage.load_cores,
        effort=stage.effort,
    )
