"""Starts one process under test, waits until it answers, ends it with all its children. It measures only that wait."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import proc
from bench.adapters.adapter import Launch
from bench.canned import request
from bench.plan import Endpoint

MOCK: Final = Launch(
    argv=[sys.executable, "-m", "bench.mock"],
    env={"PYTHONPATH": str(Path(__file__).parents[1])},
    address=r"mock ready at (http://\S+)",
)
_POLL_S: Final = 0.01
_STOP_LIMIT_S: Final = 10


class StartFailed(Exception):
    """The process ended or stayed silent; the message holds the end of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A started process that answers chat requests."""

    pid: int
    endpoint: Endpoint
    start_s: float
    """From exec to the first chat request answered with 200."""
    speaks_grpc: bool


@contextmanager
def started(launch: Launch, folder: Path, *, limit_s: float) -> Iterator[Gateway]:
    """Run a gateway for the time of a `with` block."""
    log = folder / "output.log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.argv,
            env=os.environ | launch.env,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        endpoint = None
        while endpoint is None or not _answers(endpoint):
            if process.poll() is not None or time.monotonic() - began > limit_s:
                raise StartFailed(log.read_text(errors="replace")[-1500:] or "no output")
            time.sleep(_POLL_S)
            endpoint = endpoint or _endpoint(launch, log)
        start_s = round(time.monotonic() - began, 2)
        yield Gateway(pid=process.pid, endpoint=endpoint, start_s=start_s, speaks_grpc=launch.speaks_grpc)
    finally:
        _stop(process)


def _endpoint(launch: Launch, log: Path) -> Endpoint | None:
    match launch.address:
        case int(port):
            url = f"http://127.0.0.1:{port}"
        case str(pattern):
            found = re.search(pattern, log.read_text(errors="replace"))
            if found is None:
                return None
            url = found[1]
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + launch.path
    return Endpoint(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 80,
        path=path,
        headers=launch.headers,
        model=launch.model,
    )


def _answers(endpoint: Endpoint) -> bool:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=30)
    headers = {"content-type": "application/json", **endpoint.headers}
    try:
        connection.request("POST", endpoint.path, request(endpoint.model, stream=False), headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the tree: ask the root, then kill what is left of it."""
    # Noted before: once the root is gone its children have another parent, and maybe a session of their own.
    members = proc.tree(process.pid)
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stat in proc.alive(members):
        try:
            os.kill(stat.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
