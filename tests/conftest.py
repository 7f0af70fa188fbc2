"""What every test gets: a closed network, and strictness about skips. Fixtures of one topic live beside its tests."""

from __future__ import annotations

import gc
import ipaddress
import sys
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

pytest_plugins = ["tests.skips"]

# The same generated values in every run: whether a commit passes must not depend on luck. `make soak` tries others.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("steady")

LOCAL_NAMES = frozenset({None, "", "localhost", "0.0.0.0", "::"})


class NetworkClosed(BaseException):
    """A test reached for another machine. No Exception: code under test must not take it for a failed connection."""


class _Network:
    """Audit hooks cannot be taken back, so that one is installed for good and told when to judge."""

    closed = False

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.closed:
            return
        if event == "socket.connect" and isinstance(args[1], tuple):
            self._demand_local(args[1][0])
        elif event == "socket.getaddrinfo":
            self._demand_local(args[0])

    @staticmethod
    def _demand_local(host: str | bytes | None) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name in LOCAL_NAMES:
            return
        try:
            local = ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
        except ValueError:
            local = False
        if not local:
            raise NetworkClosed(f"tests reach loopback and unix sockets only, not {name}")


_NETWORK = _Network()
sys.addaudithook(_NETWORK.hook)


def pytest_collection_finish() -> None:
    _settle()


@pytest.fixture(autouse=True, scope="module")
def young_heap() -> Iterator[None]:
    """Let collections look at what a module's own tests have made. What ten thousand tests leave behind in the process
    would stop all its threads for a second each time, and lets whatever measures time measure that."""
    yield
    _settle()


def _settle() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def closed_network() -> Iterator[None]:
    """Let Python code connect to this machine only."""
    _NETWORK.closed = True
    yield
    _NETWORK.closed = False
