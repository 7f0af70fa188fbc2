"""Keeps an asynchronous server running in a thread of its own, so that one server can serve tests that each have their
own event loop. It knows nothing of what the server is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

Thing = TypeVar("Thing")
START_S = 30.0


@contextmanager
def in_background(server: AbstractAsyncContextManager[Thing]) -> Iterator[Thing]:
    """Enter `server` in a new thread with its own loop, give what it yields, and leave it at the end."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready: Future[Thing] = Future()

    async def live() -> None:
        try:
            async with server as thing:
                ready.set_result(thing)
                await stop.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),), name="background-server", daemon=True)
    thread.start()
    try:
        yield ready.result(timeout=START_S)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=START_S)
        loop.close()
