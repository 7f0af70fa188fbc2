"""A real Postgres server of this machine's own, in a directory that goes with it. No imitation: where none is installed
the tests that need it are skipped. `make test` installs from PyPI only, which has no server; the check of a commit
installs Debian's, and every test of the store runs over SQLite as well."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

OWNER = "isthmus"
UNPRIVILEGED = "nobody"
"""Who runs it where tests run as root: it refuses to be root."""
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "listen_addresses=", "max_connections=100")
START_S = 30.0


@dataclass(slots=True)
class Postgres:
    """A running server, reached by a unix socket."""

    folder: Path
    process: subprocess.Popen[bytes]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str = "postgres") -> str:
        """Where a database is, as operators write it."""
        return f"postgresql://{OWNER}@/{database}?host={quote(str(self.folder))}"

    def database(self, like: str | None = None) -> str:
        """Make a database, empty or like another one; gives its name."""
        name = f"db{next(self.numbers)}"
        made = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(like or "template0"))
        with self.connected() as connection:
            connection.execute(made)
        return name

    @contextmanager
    def connected(self, database: str = "postgres") -> Generator[psycopg.Connection]:
        """Speak to a database directly."""
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            yield connection

    def pause(self) -> None:
        """Hold all of its processes still, as a machine that swaps does; connections stay open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        # Each process of it leads a group of its own: there is none to signal. The one that starts others is the first.
        self.process.send_signal(number)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)


def _programs() -> Path | None:
    """Find the directory of the server's programs: Debian keeps them out of the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(3))
    return versions[-1].parent if versions else None


@contextmanager
def running_postgres() -> Generator[Postgres]:
    """Start a server, and end it with all of its data. Skips the test where none is installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("no Postgres server is installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = UNPRIVILEGED if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    try:
        cluster = str(folder / "data")
        options = f"--pgdata={cluster} --username={OWNER} --auth=trust --encoding=UTF8 --no-sync".split()
        subprocess.run([programs / "initdb", *options], user=user, check=True, capture_output=True, cwd=folder)
        settings = [part for setting in (*FAST, f"unix_socket_directories={folder}") for part in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", cluster, *settings],
                user=user,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        server = Postgres(folder, process)
        try:
            _wait(server)
            yield server
        finally:
            server.go_on()
            process.send_signal(signal.SIGQUIT)
            process.wait()
    finally:
        shutil.rmtree(folder)


def _wait(server: Postgres) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(server.url()).close()
            return
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.02)
