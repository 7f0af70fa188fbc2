"""What the pipeline asks of the world. Adapters satisfy these by their shape; the checker proves it in `app.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from isthmusd.core.call import Stamp
from isthmusd.core.headers import Headers
from isthmusd.core.media import Fetched
from isthmusd.core.record import Record
from isthmusd.core.request import Outbound


class Clock(Protocol):
    """Time and randomness, so that tests can hold them still."""

    def now(self) -> float:
        """Wall clock, Unix seconds."""
        ...

    def monotonic(self) -> float:
        """The event loop's clock, seconds."""
        ...

    def stamp(self) -> Stamp:
        """A fresh identity for an answer that we make."""
        ...


class UpstreamReply(Protocol):
    """A target's answer, its body not yet read. Read it either whole or in chunks."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises Garbled over `limit` bytes, Unreachable if the connection breaks."""
        ...

    async def next_chunk(self) -> bytes:
        """Whatever has arrived, at least one byte; b"" at a clean end. Raises Interrupted when cut."""
        ...


class Upstream(Protocol):
    """Sends to targets."""

    def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send and wait for the answer's headers; leaving the context early closes the connection.

        `decode=False` leaves a compressed body as it is. Raises Unreachable, TimedOut.
        """
        ...


class MediaFetcher(Protocol):
    """Fetches what callers name by URL. It reaches public addresses only."""

    async def fetch(self, url: str, limit: int) -> Fetched:
        """Give what is there. Raises InvalidRequest whose message goes on after "the image": `cannot be reached`."""
        ...


class Journal(Protocol):
    """Takes the record of a finished call. It must not block and must not raise."""

    def write(self, record: Record) -> None: ...


class ActiveCalls(Protocol):
    """Shows how many calls run."""

    def opened(self) -> None: ...

    def closed(self) -> None: ...
