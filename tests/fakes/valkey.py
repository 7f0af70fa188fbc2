"""A real server of Debian's `redis-server`, on a unix socket in a directory that goes with it. No imitation: where none
is installed the tests that need it are skipped, as those of Postgres (`postgres.py`) are."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 20.0
FAST = ("--save", "", "--appendonly", "no", "--daemonize", "no")


@dataclass(slots=True)
class Valkey:
    """A server that can be started again."""

    program: str
    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    """0: the unix socket only."""
    bus: int = 0
    """Where other servers of a cluster reach it: `{bus}` in its options."""
    tls: int = 0
    """Where it may answer by TLS: `{tls}` in its options."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def url(self) -> str:
        """Where it is, as operators write it; by its socket if it has no port."""
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = ("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket))
        with (self.folder / "log").open("ab") as log:
            options = (option.format(bus=self.bus, tls=self.tls) for option in self.options)
            self.process = subprocess.Popen(
                [self.program, *where, "--dir", str(self.folder), *FAST, *options], stdout=log, stderr=log
            )
        until = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """Hold it still, as a machine that swaps does; connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def cluster_alone(self) -> None:
        """Be all of a cluster: wait until it is whole."""
        self.say("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        until = time.monotonic() + START_S
        while b"cluster_state:ok" not in self.say("CLUSTER", "INFO"):
            assert time.monotonic() < until
            time.sleep(0.05)

    def say(self, *words: str | bytes) -> bytes:
        """Say a command directly; gives the first part of the answer, as it stands on the wire."""
        parts = [word.encode() if isinstance(word, str) else word for word in words]
        told = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        with closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(START_S)
            connection.connect(str(self.socket))
            connection.sendall(told)
            return connection.recv(1 << 16)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.say("PING").startswith((b"+PONG", b"-NOAUTH"))
        return False


@contextmanager
def running_valkey(*options: str, port: bool = False) -> Generator[Valkey]:
    """Start a server, and end it with all of its data. Skips the test where none is installed."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server is installed")
    folder = Path(tempfile.mkdtemp(prefix="vk-"))
    server = Valkey(program, folder, options)
    try:
        # Servers cannot be told to take any port that is free: another process may be faster, which shows at the start.
        server.port, server.bus, server.tls = (_free_port(), _free_port(), _free_port()) if port else (0, 0, 0)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
