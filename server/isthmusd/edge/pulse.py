"""Whether a worker still turns its loop: it touches a file every second, the supervisor sees when it stops to. A
process that is dead needs no pulse: `process.py` notices at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOG = logging.getLogger(__name__)

BEAT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a silent worker is waited for, in looks: a machine that slept looked seldom too."""

    every_s: float = 5.0
    looks: int = 6


async def beat(path: Path) -> None:
    """Touch the file for as long as the loop turns. Never ends by itself."""
    while True:
        path.touch()  # noqa: ASYNC240 the run's own folder, in memory
        await asyncio.sleep(BEAT_S)


async def watch(name: str, path: Path, end: Callable[[], None], patience: Patience) -> None:
    """Call `end` whenever the file was not touched for as many looks as `patience` has. Never ends by itself.

    A worker that has not started yet has no file, and is left alone: who starts it removes the file of the one before.
    """
    seen, silent = _touched(path), 0
    while True:
        await asyncio.sleep(patience.every_s)
        now = _touched(path)
        silent = silent + 1 if now is not None and now == seen else 0
        seen = now
        if silent >= patience.looks:
            LOG.error("%s has not moved for %g s; ending it", name, silent * patience.every_s)
            silent = 0
            end()


def _touched(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
