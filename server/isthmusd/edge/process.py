"""Child processes that never outlive us, kept running. Not what they are for: see `workers.py` and `envoy.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from isthmusd.edge.errors import ChildFailed

LOG = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
YOUNG_S = 5.0
"""A process that dies younger than this died of its start: the next pause doubles."""

LAST_WORDS_S = 1.0


def _nothing() -> None:
    return None


def _ignore(pid: int) -> None:
    del pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How one process is started, each time."""

    name: str
    """For the log."""
    argv: Sequence[str]
    environ: Mapping[str, str]
    before_start: Callable[[], None] = _nothing
    after_death: Callable[[int], None] = _ignore
    """Gets the pid of the process that died."""
    deaths_allowed: int | None = None
    """After so many deaths in a row at a young age the run is over; None: it is tried for ever."""


def bound_to_us(argv: Sequence[str]) -> list[str]:
    """Prefix a command so that the kernel ends it with us, even if we are killed; without setpriv it runs as it is."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *argv] if setpriv else list(argv)


class Kept:
    """One process, started again whenever it dies.

    `run` is awaited by exactly one owner and returns only after `stop`, or raises ChildFailed. The process has a
    session of its own: Ctrl-C and signals to our process group reach us only, so the order of a stop is ours.
    """

    def __init__(self, command: Command) -> None:
        self.started_count = 0
        self._command = command
        self._process: Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The running process, if any."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self) -> None:
        """Keep the process running until `stop`."""
        clock = asyncio.get_running_loop().time
        pause_s, young_deaths = FIRST_PAUSE_S, 0
        while not self._stopping.is_set():
            born_at = clock()
            process = await self._start()
            code = await process.wait()
            self._command.after_death(process.pid)
            if self._stopping.is_set():
                return
            is_young = clock() - born_at < YOUNG_S
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S) if is_young else FIRST_PAUSE_S
            young_deaths = young_deaths + 1 if is_young else 0
            LOG.error("%s (pid %d) ended with %s; starting it again", self._command.name, process.pid, _ending(code))
            if self._command.deaths_allowed is not None and young_deaths > self._command.deaths_allowed:
                raise ChildFailed(f"{self._command.name} keeps ending with {_ending(code)}; its last words are above")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def expect_end(self) -> None:
        """Do not start it again: it is about to be stopped."""
        self._stopping.set()

    async def stop(self, grace_s: float) -> None:
        """End the process: politely, then for certain."""
        self.expect_end()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace_s)
        except TimeoutError:
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process and what it started, now."""
        self.expect_end()
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def abort(self) -> None:
        """End a process that no longer answers, after a moment to say where it stands; it is started again."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        for number in (signal.SIGABRT, signal.SIGCONT):  # a stopped process takes signals only once it goes on
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        asyncio.get_running_loop().call_later(LAST_WORDS_S, _end, process)

    async def _start(self) -> Process:
        self._command.before_start()
        # Standard output is the operator's: the ready line is all that a run writes there.
        self._process = await asyncio.create_subprocess_exec(
            *bound_to_us(self._command.argv),
            env=dict(self._command.environ),
            stdin=DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )
        self.started_count += 1
        return self._process


def _end(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
