"""One request as the fake provider saw it, read from the socket by hand so that nothing is normalised."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec


@dataclass(kw_only=True, slots=True)
class Received:
    """One request as it came. `body` is without its transfer coding."""

    method: str
    path: str
    """Raw path and query."""
    headers: list[tuple[str, str]]
    """In order, as written."""
    body: bytes = b""
    received_at: float = field(default_factory=time.monotonic)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client left before its answer was complete."""
    aborted_at: float | None = None

    @classmethod
    def of_head(cls, head: bytes) -> Self:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = [line.split(":", 1) for line in lines]
        return cls(method=method, path=path, headers=[(name, value.strip()) for name, value in pairs])

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def read_request(reader: asyncio.StreamReader) -> Received | None:
    """Read one request with its whole body; None if the client closed the connection instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    received = Received.of_head(head)
    if received.header("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            received.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        received.body = await reader.readexactly(int(received.header("content-length") or 0))
    return received
