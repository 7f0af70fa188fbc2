"""A provider on a real socket that writes raw bytes, so that it can cut, split, stall and lie. What it says by default
is `tests/fakes/faults.py`; it checks nothing about the requests, it only keeps them.

    async with FakeProvider() as provider:
        provider.reply_with(stream(b"data: {}\\n\\n", 0.2, CUT))
        ...                                     # send something to provider.url
        assert provider.last.json()["model"] == "x"

With nothing scripted the model named in the body chooses the answer, which also works from another process:
`python -m tests.fakes.provider --port N`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from tests.fakes.answers import CUT, STALL, Answer
from tests.fakes.faults import answer_for
from tests.fakes.received import Received, read_request


class FakeProvider:
    """Requests are in `requests`, in order of arrival. One instance serves one event loop."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.requests: list[Received] = []
        self.connection_count = 0
        self._scripted: deque[Answer] = deque()
        self._always: Answer | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        """Base URL, up to and including the version segment."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def last(self) -> Received:
        return self.requests[-1]

    def reply_with(self, *answers: Answer) -> None:
        """Script the next answers, one request each."""
        self._scripted.extend(answers)

    def reply_always(self, answer: Answer | None) -> None:
        """Give this answer whenever nothing is scripted; None: choose by model again."""
        self._always = answer

    async def received(self, count: int = 1) -> Received:
        """Wait until so many requests have arrived whole; give the last of them."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connection_count += 1
        try:
            # Cancelled by __aexit__; swallowed, or the streams protocol would report it as an unhandled error.
            with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                while (received := await read_request(reader)) is not None:
                    await self._answer(received, reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        answer = self._scripted.popleft() if self._scripted else self._always or answer_for(received)
        async with _watched(reader, received):
            await _play(answer, received, writer)


@asynccontextmanager
async def _watched(reader: asyncio.StreamReader, received: Received) -> AsyncIterator[None]:
    """Note when the client leaves before its answer is complete."""

    async def watch() -> None:
        with suppress(ConnectionError):
            await reader.read(1)
        received.aborted_at = time.monotonic()
        received.aborted.set()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def _play(answer: Answer, received: Received, writer: asyncio.StreamWriter) -> None:
    for step in answer.steps(received.method):
        if step is CUT:
            writer.transport.abort()
        elif step is STALL:
            await received.aborted.wait()
        elif isinstance(step, float):
            with suppress(TimeoutError):
                await asyncio.wait_for(received.aborted.wait(), step)
        elif isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        if received.aborted.is_set() or writer.is_closing():
            raise ConnectionAbortedError
    if answer.closes:
        writer.close()
        raise ConnectionAbortedError


async def _main(port: int) -> None:
    async with FakeProvider(port) as provider:
        print(f"fake provider at {provider.url}", flush=True)  # noqa: T201 its callers read the port here
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(parser.parse_args().port))
