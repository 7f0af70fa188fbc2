"""`isthmus cache` beside a running gateway: what is cleared in the store, workers forget too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.edge.gateway import Gateway, running_gateway

pytestmark = pytest.mark.edge

WORKERS = 2
ASKED = 24
"""Each on a connection of its own: enough for every worker to be among those who answer."""
FORGOTTEN_S = 2.5
"""A worker asks every second what was cleared."""


def command(data: Path, *arguments: str) -> Any:
    """Run a command as an operator does, and read its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "isthmusd.cli", "cache", *arguments, "--json"],
        env={**os.environ, "ISTHMUS_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return msgspec.json.decode(done.stdout)


def ask(gateway: Gateway, text: str) -> Mapping[str, str]:
    """Ask what is cached when nothing is said, and give the answer's headers."""
    body = {"model": "demo/echo", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    with closing(HTTPConnection(gateway.grpc_target, timeout=10)) as connection:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return {name.lower(): value for name, value in answer.getheaders()}


def what_the_cache_did(gateway: Gateway, text: str) -> set[str]:
    return {ask(gateway, text)["x-isthmus-cache"] for _ in range(ASKED)}


def test_what_is_cleared_is_forgotten_by_every_worker(tmp_path: Path) -> None:
    with running_gateway({"data": str(tmp_path)}, workers=WORKERS) as gateway:
        first = ask(gateway, "once")
        again = what_the_cache_did(gateway, "once")
        eventually_kept(tmp_path, 1)

        kept_others = command(tmp_path, "clear", "--model", "another")
        time.sleep(FORGOTTEN_S)
        still = what_the_cache_did(gateway, "once")
        cleared = command(tmp_path, "clear", "--model", "demo/echo")
        time.sleep(FORGOTTEN_S)
        began_at = time.monotonic()
        afterwards = [ask(gateway, "once") for _ in range(ASKED)]
        took_s = time.monotonic() - began_at

    assert first["x-isthmus-cache"] == "MISS"
    assert again == {"HIT"}
    assert (kept_others["cleared"], still) == (0, {"HIT"})
    assert cleared["cleared"] == 1
    assert afterwards[0]["x-isthmus-cache"] == "MISS"
    assert max(int(each["age"]) for each in afterwards) <= took_s, "a worker still gives what it had in memory"


def eventually_kept(data: Path, count: int) -> None:
    """Wait until so many answers are in the store: they are written after they are given."""
    ends_at = time.monotonic() + 5
    while command(data, "stats")["answers"] != count:
        assert time.monotonic() < ends_at, "the store never got the answer"
