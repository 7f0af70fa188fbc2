"""Keeps an asynchronous server running in a thread of its own, so that one server can serve tests that each have their
own event loop. It knows nothing of what the server is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

Thing = TypeVar("Thing")
START_S = 30.0


@contextmanager
def in_background(server: AbstractAsyncContextManager[Thing]) -> Iterator[Thing]:
    """Enter `server` in a new thread with its own loop, give what it yields, and leave it at the end."""
    ready: Future[tuple[Thing, Callable[[], object]]] = Future()

    async def live() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            async with server as thing:
                ready.set_result((thing, lambda: loop.call_soon_threadsafe(stop.set)))
                await stop.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    # asyncio.run cancels what the server left behind; a bare loop would drop it with its sockets.
    thread = threading.Thread(target=lambda: asyncio.run(live()), name="background-server", daemon=True)
    thread.start()
    thing, end = ready.result(timeout=START_S)
    try:
        yield thing
    finally:
        end()
        thread.join(timeout=START_S)
