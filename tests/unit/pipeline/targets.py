"""Targets for the pipeline that answer by script, in the loop's own time: the `Upstream` port without a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from isthmusd.core.headers import Headers
from isthmusd.core.request import Outbound

Step = bytes | float | Exception
"""Bytes that arrive at once, seconds of silence, or a failure."""
JSON = {"content-type": ["application/json"]}
EVENTS = {"content-type": ["text/event-stream"]}
NEVER = 1e9


@dataclass(slots=True)
class Answer:
    """One scripted answer. `opening` happens before its headers."""

    status: int = 200
    headers: Headers = field(default_factory=lambda: JSON)
    steps: tuple[Step, ...] = ()
    opening: tuple[Step, ...] = ()
    closed: bool = False
    """The connection was let go."""
    read_count: int = 0
    _left: deque[Step] | None = None

    async def read(self, limit: int) -> bytes:
        body = b""
        while piece := await self.next_chunk():
            body += piece
        assert len(body) <= limit
        return body

    async def next_chunk(self) -> bytes:
        if self._left is None:
            self._left = deque(self.steps)
        while self._left:
            match self._left[0]:
                case float() as seconds:
                    # Taken off only afterwards: whoever gives up waiting waits the rest another time.
                    until = asyncio.get_running_loop().time() + seconds
                    try:
                        await asyncio.sleep(seconds)
                    except asyncio.CancelledError:
                        self._left[0] = until - asyncio.get_running_loop().time()
                        raise
                    self._left.popleft()
                case Exception() as error:
                    raise error
                case bytes():
                    self.read_count += 1
                    piece = self._left.popleft()
                    assert isinstance(piece, bytes)
                    return piece
        return b""


@dataclass(slots=True)
class ScriptedUpstream:
    """Gives the next answer of the script to each request, and keeps the requests."""

    answers: deque[Answer] = field(default_factory=deque[Answer])
    sent: list[Outbound] = field(default_factory=list[Outbound])
    uploads: list[list[bytes] | None] = field(default_factory=list[list[bytes] | None])
    decoded: list[bool] = field(default_factory=list[bool])

    @classmethod
    def saying(cls, *answers: Answer) -> ScriptedUpstream:
        return cls(answers=deque(answers))

    @asynccontextmanager
    async def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AsyncIterator[Answer]:
        self.sent.append(outbound)
        self.decoded.append(decode)
        answer = self.answers.popleft()
        try:
            self.uploads.append(None if upload is None else [piece async for piece in upload])
            for step in answer.opening:
                match step:
                    case float() as seconds:
                        await asyncio.sleep(seconds)
                    case Exception() as error:
                        raise error
                    case bytes():
                        raise AssertionError("no bytes come before the headers")
            yield answer
        finally:
            answer.closed = True
