"""The built-in provider behind the scheme `demo:`, so that the gateway can be tried without any key. It behaves like a
remote OpenAI-compatible host, bad requests included; what it answers is `demo_answers.py`. It reaches no network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from isthmusd.core.errors import Garbled
from isthmusd.core.headers import Headers
from isthmusd.core.request import Outbound
from isthmusd.upstream import demo_answers
from isthmusd.upstream.demo_answers import Answer, Refusal


class DemoReply:
    """An answer whose body is read once: whole or in chunks, a real delay between them."""

    __slots__ = ("_delay_s", "_pieces", "headers", "status")

    def __init__(self, answer: Answer, delay_s: float) -> None:
        self.status: int = answer.status
        self.headers: Headers = {
            "content-type": ["text/event-stream" if answer.streams else "application/json"],
            "x-request-id": [answer.id],
        }
        self._pieces = list(reversed(answer.pieces))
        self._delay_s = delay_s if answer.streams else 0.0

    async def read(self, limit: int) -> bytes:
        """Read the whole body. Raises Garbled over `limit` bytes."""
        body = b"".join(reversed(self._pieces))
        self._pieces = []
        if len(body) > limit:
            raise Garbled("the provider's answer is too large for this gateway")
        return body

    async def next_chunk(self) -> bytes:
        """Give the next event; b"" at the end."""
        if not self._pieces:
            return b""
        await asyncio.sleep(self._delay_s)
        return self._pieces.pop()


class DemoUpstream:
    """Holds no state: any number of calls at once."""

    def __init__(self, *, delay_s: float = 0.02) -> None:
        self._delay_s = delay_s

    @asynccontextmanager
    async def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AsyncGenerator[DemoReply, None]:
        """Answer in this process; see `pipeline.ports.Upstream`."""
        del decode  # nothing is compressed
        body = outbound.body or b""
        if upload is not None:
            body = b"".join([piece async for piece in upload])
        yield DemoReply(_answer(outbound, body), self._delay_s)


_ROUTES: dict[tuple[str, str], Callable[[bytes], Answer]] = {
    ("POST", "/chat/completions"): demo_answers.chat,
    ("POST", "/completions"): demo_answers.completion,
    ("POST", "/embeddings"): demo_answers.embedding,
    ("GET", "/models"): demo_answers.models,
}


def _answer(outbound: Outbound, body: bytes) -> Answer:
    path = outbound.url.removeprefix("demo:").partition("?")[0].rstrip("/").removeprefix("/v1")
    route = _ROUTES.get((outbound.method, path))
    try:
        if route is None:
            raise Refusal(f"the demo provider has no {outbound.method} {path}", status=404, code="not_found")
        return route(body)
    except Refusal as refusal:
        return refusal.answer()
