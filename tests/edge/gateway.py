"""A gateway as a user starts it: a subprocess, its ready line, its end. Not an upstream: those live in `tests.fakes`.

`running_gateway(config)` runs `isthmus serve` with the settings given; `running_stub(options)` the same processes
around the stub worker, which tests of Envoy and of processes use.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

ROOT = Path(__file__).parents[2]
READY = re.compile(r"^isthmus ready at (?:http|grpc)://(\S+)$")
ADMIN = re.compile(r'admin listener at ((?:http://|unix:)[^\s"]+)')
START_S = 60.0
STOP_S = 20.0
ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway that is ready."""

    url: str
    grpc_target: str
    admin_url: str
    process: subprocess.Popen[str]
    log: Path
    """What it and its children wrote to standard error, so far."""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the supervisor and wait for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def children(self) -> dict[int, str]:
        """The living processes that the supervisor started, with their command lines."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        pids = [pid for task in tasks.iterdir() for pid in children_of(task)]
        return {pid: line for pid in pids if (line := command_line(pid))}


def children_of(task: Path) -> list[int]:
    """What a thread of a process started and has not buried; nothing if the thread has just ended."""
    try:
        return [int(pid) for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def command_line(pid: int) -> str:
    """The process's command line; empty if it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextmanager
def running_gateway(
    config: Mapping[str, object],
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Gateway]:
    """Run `isthmus serve` with these settings on free ports; the environment has no provider's key but those given."""
    with tempfile.TemporaryDirectory(prefix="isthmus-test-") as folder:
        settings = {"listen": ANY_PORT, "admin": ANY_PORT, "data": f"{folder}/data", "workers": workers, **config}
        file = Path(folder, "isthmus.yaml")
        file.write_bytes(msgspec.json.encode(settings))  # JSON is YAML
        argv = [sys.executable, "-m", "isthmusd.cli", "serve", "--config", str(file), *arguments]
        with _running(argv, env or {}) as gateway:
            yield gateway


@contextmanager
def running_stub(env: Mapping[str, str] | None = None, **options: object) -> Iterator[Gateway]:
    """Run supervisor, Envoy and stub workers; `options` are those of EdgeOptions."""
    given = {"listen": ANY_PORT, "admin": ANY_PORT, **options}
    argv = [sys.executable, "-m", "tests.fakes.stub_gateway", msgspec.json.encode(given).decode()]
    with _running(argv, env or {}) as gateway:
        yield gateway


@contextmanager
def _running(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[Gateway]:
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    with tempfile.NamedTemporaryFile(prefix="isthmus-test-", suffix=".log") as log:
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**clean, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with process:  # closes the pipe and waits
            try:
                assert process.stdout is not None
                line = _first_line(process.stdout, process)
                said = Path(log.name).read_text()
                ready, admin = READY.match(line), ADMIN.search(said)
                assert ready and admin, f"not ready (exit code {process.poll()}): {line!r}\n{said}"
                target = ready[1]
                yield Gateway(
                    url=f"http://{target}", grpc_target=target, admin_url=admin[1], process=process, log=Path(log.name)
                )
            finally:
                _end(process)


def _first_line(stdout: IO[str], process: subprocess.Popen[str]) -> str:
    timer = threading.Timer(START_S, process.kill)
    timer.start()
    try:
        return stdout.readline().rstrip("\n")
    finally:
        timer.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    # Twice: the first signal drains, the second one does not wait for what a failed test left in flight.
    for _ in range(2):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                continue
    if process.poll() is None:
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
