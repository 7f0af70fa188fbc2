"""Who leaves an answer that another worker has, and what is in whose account then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from isthmusd.core.errors import TimedOut
from isthmusd.core.record import EndReason, Record

from tests.unit.pipeline.gateway import DONE, HELLO, STOP, USAGE, events, whole
from tests.unit.pipeline.targets import NEVER
from tests.unit.pipeline.world import arrival_of, headers_of
from tests.unit.rpc.workers import Node, Worker, body_of, node, slowly, until

TOLD = b"data: " + json.dumps({"id": "c", "model": "m", "choices": [], "usage": USAGE}).encode() + b"\n\n"


async def leave(worker: Worker, asked: dict[str, Any], when: Callable[[list[Any]], bool]) -> None:
    """Call, and go away in the middle."""
    seen: list[Any] = []
    task = asyncio.create_task(worker.call(arrival_of(headers_of(), body=body_of(**asked)), seen.append))
    await until(lambda: when(seen))
    task.cancel()
    await asyncio.wait((task,))


def accounts(own: Node) -> list[tuple[EndReason, int, bool]]:
    """Of each record: the end, how many sends, whether it has a usage."""
    return [(record.end, len(record.attempts), record.usage is not None) for record in own.records]


async def test_who_leaves_in_a_stream_has_what_it_took_until_then() -> None:
    async with node(events(HELLO, TOLD, NEVER, STOP, DONE)) as own:
        asked = await own.owned_by(0, stream=True, stream_options={"include_usage": True})

        await leave(own.workers[1], asked, lambda seen: len(seen) == 2)

        assert accounts(own) == [(EndReason.CANCELLED, 1, True)]


@pytest.mark.parametrize("asker", [0, 1])
async def test_who_leaves_before_the_answer_begins_has_what_was_sent(asker: int) -> None:
    async with node(slowly(whole(b"{}"))) as own:
        asked = await own.owned_by(0)

        await leave(own.workers[asker], asked, lambda seen: own.sent == 1)

        assert accounts(own) == [(EndReason.CANCELLED, 1, False)]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("asker", [0, 1])
async def test_a_deadline_that_passes_meanwhile_is_what_came_of_it(asker: int, streams: bool) -> None:
    answer = events(HELLO, STOP, DONE) if streams else whole(b"{}")
    async with node(slowly(answer)) as own:
        asked = await own.owned_by(0, stream=streams)

        with pytest.raises(TimedOut, match="did not begin" if streams else "not complete"):
            await own.workers[asker].ask({"x-isthmus-timeout": "0.1"}, **asked)

        (record,) = own.records
        assert [attempt.error for attempt in record.attempts] == ["timeout"]


async def test_who_stays_has_what_was_sent_and_what_it_took() -> None:
    async with node(slowly(events(HELLO, 0.6, TOLD, STOP, DONE))) as own:
        asked = await own.owned_by(0, stream=True)
        leaving = asyncio.create_task(leave(own.workers[1], asked, bool))
        await until(lambda: own.sent == 1)
        await own.workers[0].ask(**asked)
        await leaving

        assert accounts(own) == [(EndReason.COMPLETE, 1, True), (EndReason.CANCELLED, 0, False)]


async def test_the_last_one_to_leave_has_it_whichever_worker_it_asked() -> None:
    async with node(slowly(events(HELLO, 0.5, HELLO, NEVER, DONE))) as own:
        asked = await own.owned_by(0, stream=True)
        first = asyncio.create_task(leave(own.workers[0], asked, lambda seen: len(seen) == 1))
        await until(lambda: own.sent == 1)

        await leave(own.workers[1], asked, lambda seen: len(seen) == 2)
        await first

        records: list[Record] = sorted(own.records, key=lambda record: len(record.attempts))
        assert [(record.end, len(record.attempts)) for record in records] == [
            (EndReason.CANCELLED, 0),
            (EndReason.CANCELLED, 1),
        ]


async def test_a_worker_that_is_gone_keeps_nobody_waiting() -> None:
    async with node(events(HELLO, NEVER, DONE)) as own:
        asked = await own.owned_by(0, stream=True)
        seen: list[Any] = []
        task = asyncio.create_task(own.workers[1].call(arrival_of(headers_of(), body=body_of(**asked)), seen.append))
        await until(lambda: bool(seen))
        own.workers[0].wire.hold()
        task.cancel()
        async with asyncio.timeout(3.0):
            await asyncio.wait((task,))

        assert [(each.end, len(each.attempts)) for each in own.workers[1].records] == [(EndReason.CANCELLED, 1)]
