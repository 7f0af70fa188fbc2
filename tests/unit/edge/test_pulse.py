"""Noticing a worker that lives but no longer moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from isthmusd.edge.pulse import Patience, beat, watch

QUICK = Patience(every_s=0.02, looks=3)


async def watched(path: Path, for_s: float) -> int:
    """Count how often the watch ends the worker."""
    ends: list[str] = []
    task = asyncio.create_task(watch("worker 0", path, lambda: ends.append("end"), QUICK))
    await asyncio.sleep(for_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(ends)


async def test_a_worker_that_stands_still_is_ended_until_it_is_gone(tmp_path: Path) -> None:
    pulse = tmp_path / "w0.pulse"
    pulse.touch()

    assert await watched(pulse, 0.5) > 1


async def test_a_worker_that_has_not_started_is_left_alone(tmp_path: Path) -> None:
    assert await watched(tmp_path / "w0.pulse", 0.3) == 0


async def test_a_worker_that_moves_is_left_alone(tmp_path: Path) -> None:
    pulse = tmp_path / "w0.pulse"

    async def moving() -> None:
        while True:
            pulse.touch()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(moving())
    try:
        assert await watched(pulse, 0.5) == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_beat_touches_the_file(tmp_path: Path) -> None:
    pulse = tmp_path / "w0.pulse"
    task = asyncio.create_task(beat(pulse))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert pulse.exists()
