"""A tenant's limit of calls at once: over every surface together, and given back whatever becomes of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from isthmusd.core.errors import LimitExceeded, Unreachable
from isthmusd.core.record import EndReason
from isthmusd.core.request import Operation
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.run import Gateway, run
from isthmusd.pipeline.tenant_forward import tenant_forward

from tests.unit.pipeline.gateway import Built, chat_answer, chat_request, whole
from tests.unit.pipeline.targets import NEVER, Answer
from tests.unit.pipeline.tenants import arriving, key_of
from tests.unit.pipeline.world import play

Calling = Callable[[Gateway, str], Awaitable[None]]


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


async def chat(gateway: Gateway, token: str) -> None:
    arrival = replace(arriving(Operation.CHAT, "/v1/chat/completions", token), body=chat_request())
    async with run(gateway, arrival) as reply:
        assert reply.status == 200


async def passed_on(gateway: Gateway, token: str) -> None:
    async with forward(gateway, arriving(Operation.FORWARD, "/v1/files", token), _nothing()) as answer:
        assert [chunk async for chunk in answer.chunks]


async def own(gateway: Gateway, token: str) -> None:
    arrival = arriving(Operation.TENANT_FORWARD, "/api/openai/v1/files", token)
    async with tenant_forward(gateway, arrival, _nothing()) as answer:
        assert [chunk async for chunk in answer.chunks]


SURFACES = [chat, passed_on, own]


@pytest.mark.parametrize("first", SURFACES)
@pytest.mark.parametrize("second", SURFACES)
def test_calls_count_over_all_surfaces(first: Calling, second: Calling) -> None:
    built = Built.saying(Answer(opening=(5.0,), steps=(chat_answer(),)), whole(chat_answer()), whole(chat_answer()))
    token, other = key_of(built, own=("sk-a",), calls=1), key_of(built, own=("sk-b",), name="other", calls=1)
    gateway = built.gateway

    async def scene() -> None:
        running = asyncio.ensure_future(first(gateway, token))
        await asyncio.sleep(1)
        with pytest.raises(LimitExceeded):
            await second(gateway, token)
        await second(gateway, other)
        await running
        await second(gateway, token)

    play(scene())

    assert [record.status for record in built.journal.records] == [429, 200, 200, 200]
    assert built.journal.records[0].end is EndReason.REFUSED
    assert built.shown.now == 0


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("leaves", [True, False])
def test_a_place_is_given_back_by_calls_that_fail_or_are_left(surface: Calling, leaves: bool) -> None:
    built = Built.saying(Answer(opening=(NEVER if leaves else Unreachable("no"),)), whole(chat_answer()))
    token = key_of(built, own=("sk-a",), calls=1)
    gateway = built.gateway

    async def scene() -> None:
        running = asyncio.ensure_future(surface(gateway, token))
        await asyncio.sleep(1)
        running.cancel()
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError if leaves else Unreachable)
        await surface(gateway, token)

    play(scene())

    assert built.journal.records[-1].status == 200
