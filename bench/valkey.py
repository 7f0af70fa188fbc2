"""A Valkey or Redis server for the time of a run, as the machine has it installed. It is not a fake of one."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.adapters.adapter import free_port
from bench.gateway import StartFailed

_PROGRAMS: Final = ("valkey-server", "redis-server")
_LIMIT_S: Final = 20
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A started server."""

    url: str
    pid: int


def find_server() -> str | None:
    """Return the program, or nothing when it or its driver is not installed."""
    programs = (shutil.which(name) for name in _PROGRAMS)
    return next((program for program in programs if program), None) if find_spec("redis") else None


@contextmanager
def served(program: str, folder: Path) -> Iterator[Server]:
    """Run a server that writes nothing to disk for the time of a `with` block."""
    port = free_port()
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(
        [*argv, "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"], cwd=folder, stdout=subprocess.DEVNULL
    )
    try:
        began = time.monotonic()
        while not _answers(port):
            if process.poll() is not None or time.monotonic() - began > _LIMIT_S:
                raise StartFailed("the server of the cache did not answer")
            time.sleep(_POLL_S)
        yield Server(url=f"redis://127.0.0.1:{port}/0", pid=process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
