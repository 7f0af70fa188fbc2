"""What a gateway with a cache keeps of what providers answer, and what it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from isthmusd.core.reply import Stream, Whole
from isthmusd.core.request import Operation
from isthmusd.pipeline.run import run

from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import Built, whole
from tests.unit.pipeline.targets import Answer
from tests.unit.pipeline.world import arrival_of, headers_of, play


class Asked:
    """A gateway with a cache, of which one operation is asked."""

    def __init__(self, operation: Operation, *answers: Answer) -> None:
        self.operation = operation
        self.built = Built.saying(*answers)
        self.parts = CacheParts()
        self.built.caching = self.parts.caching
        self.gateway = self.built.gateway

    @property
    def sent(self) -> int:
        return len(self.built.upstream.sent)

    async def ask(self, mode: str = "auto", **members: Any) -> tuple[str | None, bytes]:
        """Give what the cache did for a call, and what was answered."""
        body = msgspec.json.encode({"model": "gpt", **members})
        arrival = arrival_of(headers_of(x_isthmus_cache=mode), body=body, operation=self.operation)
        async with run(self.gateway, arrival) as reply:
            cache = dict(reply.headers).get("x-isthmus-cache")
            match reply:
                case Whole():
                    return cache, reply.body
                case Stream():
                    return cache, b"".join([piece async for piece in reply.pieces])


def response(id: str) -> Answer:
    return whole(msgspec.json.encode({"id": id, "object": "response", "status": "completed", "output": []}))


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_each_turn_of_a_conversation_is_asked_for(mode: str) -> None:
    asked = Asked(Operation.RESPONSES, *map(response, "abc"))
    asking = {"input": "go on", "conversation": "conv_1", "temperature": 0}

    async def scene() -> list[tuple[str | None, bytes]]:
        at_once = await asyncio.gather(*(asked.ask(mode, **asking) for _ in range(2)))
        return [*at_once, await asked.ask(mode, **asking)]

    got = play(scene())

    assert [cache for cache, _ in got] == [None] * 3
    assert len({body for _, body in got}) == 3
    assert [record.cache for record in asked.built.journal.records] == ["BYPASS"] * 3
    assert (asked.parts.watched.began, asked.parts.answers.items) == (0, {})
