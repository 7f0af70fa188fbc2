"""Callers who come and go at random, of a gateway whose workers are killed and stopped at random: whatever anybody
reads is a part of one answer of the provider, from its beginning, and what ends as complete is complete.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from dataclasses import dataclass, field

import pytest

from tests.fakes.answers import Answer, sse, stream
from tests.system.caching import fresh_text
from tests.system.flying import DONE, body_of, paused, stopped, wish, workers
from tests.system.pair import Pair, running_pair
from tests.system.wire import connected

pytestmark = [pytest.mark.edge, pytest.mark.soak]
CALLERS = 40
PIECES = 10
TAG = re.compile(rb"<(\d+):(\d+)>")
LASTS_S = 12.0
LIMIT_S = 15.0


def answer(number: int) -> Answer:
    """A stream of which every piece tells which answer it is of, and its place."""
    base = {"id": f"c{number}", "object": "chat.completion.chunk", "created": 1700000000, "model": "ok"}
    contents = [f"<{number}:{place}>" for place in range(PIECES)]
    choices = [{"index": 0, "delta": {"content": each}, "finish_reason": None} for each in contents]
    events = [sse(base | {"choices": [choice]}) for choice in choices]
    end = sse(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return stream(*paused([*events, end, sse(b"[DONE]")], 0.05), delay_s=random.choice((0.0, 0.3)))


@dataclass(slots=True)
class Chaos:
    """What callers ask just now, and what they got."""

    pair: Pair
    texts: list[str] = field(default_factory=lambda: [fresh_text() for _ in range(4)])
    complete: int = 0
    failed: int = 0
    wrong: list[bytes] = field(default_factory=list[bytes])
    is_over: bool = False

    async def call(self) -> None:
        """Ask until it is over; leave one time in three."""
        while not self.is_over:
            leaves_s = random.random() if random.random() < 0.3 else LIMIT_S
            body, ended = await self._read(random.choice(self.texts), leaves_s)
            self._judge(body, ended=ended)

    async def _read(self, text: str, leaves_s: float) -> tuple[bytes, bool]:
        members = {"stream_options": {"include_usage": True}} if random.random() < 0.3 else {}
        body = b""
        try:
            async with connected(self.pair.url, leaves_s) as exchange:
                await exchange.send(wish(self.pair, body_of(text, stream=True, **members)))
                if await exchange.head() != 200:
                    return b"", False
                while piece := await exchange.piece():
                    body += piece
        except (OSError, EOFError, ValueError, TimeoutError):
            await asyncio.sleep(0.02)
            return body, False
        return body, True

    def _judge(self, body: bytes, *, ended: bool) -> None:
        tags = [(int(number), int(place)) for number, place in TAG.findall(body)]
        is_one = tags == [(tags[0][0], place) for place in range(len(tags))] if tags else True
        is_complete = ended and body.endswith(DONE)
        has_failed = b'"error"' in body
        is_right = is_one and (not is_complete or (len(tags) == PIECES and not has_failed))
        if not is_right or (ended and body and not is_complete and not has_failed):
            self.wrong.append(body)
        self.complete += is_complete
        self.failed += not is_complete

    async def change(self) -> None:
        """Let callers ask for something else, again and again."""
        while not self.is_over:
            await asyncio.sleep(0.25)
            self.texts[random.randrange(len(self.texts))] = fresh_text()

    async def harm(self) -> None:
        """Kill a worker, or let it stand still for a while, again and again."""
        while not self.is_over:
            await asyncio.sleep(1.0)
            alive = workers(self.pair)
            if len(alive) < 2:
                continue
            if random.random() < 0.5:
                os.kill(random.choice(alive), signal.SIGKILL)
            else:
                with stopped(random.choice(alive)):
                    await asyncio.sleep(random.choice((0.2, 1.0, 3.0)))


async def test_nobody_gets_a_mixed_answer() -> None:
    with running_pair(2) as pair:
        pair.provider.reply_with(*(answer(number) for number in range(20_000)))
        chaos = Chaos(pair)
        callers = [asyncio.create_task(chaos.call()) for _ in range(CALLERS)]
        others = [asyncio.create_task(each) for each in (chaos.change(), chaos.harm())]
        await asyncio.sleep(LASTS_S)
        chaos.is_over = True
        await asyncio.gather(*callers, *others)

    assert chaos.wrong == []
    assert chaos.complete > 100, (chaos.complete, chaos.failed)
