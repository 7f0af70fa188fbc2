"""The thread in which a store of cached answers does what blocks."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmusd.stores.cache_thread import CacheThread


class Batch:
    """Something large that is to be written."""

    def write(self) -> str:
        return "written"


@asynccontextmanager
async def hanging() -> AsyncGenerator[CacheThread]:
    """A thread whose first task does not end."""
    ends, thread = threading.Event(), CacheThread("test")
    first = thread.run(ends.wait)
    try:
        yield thread
    finally:
        ends.set()
        await first
        await thread.close(lambda: None, 5.0)


async def test_what_nobody_waits_for_any_more_is_not_held_behind_what_hangs() -> None:
    async with hanging() as thread:
        batch = Batch()
        held = weakref.ref(batch)
        asked = thread.run(batch.write)
        del batch
        await asyncio.sleep(0.01)
        assert held() is not None

        asked.cancel()
        await asyncio.sleep(0.01)
        gc.collect()

        assert held() is None


async def test_what_is_waited_for_is_done_once_its_turn_comes() -> None:
    async with hanging() as thread:
        left, asked = thread.run(Batch().write), thread.run(Batch().write)
        left.cancel()

    assert await asked == "written"
