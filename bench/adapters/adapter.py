"""What a gateway must say of itself to be measured. It starts nothing; `bench.gateway` does.

A peer is looked for in `$BENCH_<NAME>` (a folder: a virtual environment, or where npm installed), then in
`bench/.peers/<name>`, which git ignores.
"""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.canned import MODEL

PEERS = Path(__file__).parents[1] / ".peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of a gateway."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    """Added to the runner's own environment."""
    address: str | int
    """The port it listens on; or, when it chooses one, a pattern of its output whose group 1 is its base URL."""
    path: str = "/v1/chat/completions"
    """Appended to the base URL."""
    headers: dict[str, str] = field(default_factory=dict)
    model: str = MODEL
    speaks_grpc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A gateway that can be measured."""

    name: str
    find: Callable[[], Path | None]
    """Its program, or nothing when it is not installed."""
    launch: Callable[[Path, int, Path], Launch]
    """From its program, the mock's port and an empty folder for its files."""
    start_limit_s: float = 60


def find_peer(name: str, *programs: str) -> Path | None:
    """Return the first of a peer's `programs` (paths inside its folder) that exists, or nothing."""
    folder = Path(os.environ.get(f"BENCH_{name.upper()}", PEERS / name)).absolute()
    return next((folder / program for program in programs if (folder / program).exists()), None)


def own_python() -> Path:
    """Return the interpreter that runs the benchmark."""
    return Path(sys.executable)


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(path: Path, text: str) -> str:
    """Write a configuration file and return its path for a command line."""
    path.write_text(text)
    return str(path)
