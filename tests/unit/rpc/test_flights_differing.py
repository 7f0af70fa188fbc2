"""Workers that know different things of a caller, or of each other: nobody waits for ever, nothing is asked in vain."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from isthmusd.pipeline.resolve import Resolver

from tests.unit.pipeline.gateway import (
    ALIASES,
    CLAUDE,
    DONE,
    HELLO,
    NEW,
    OLD,
    OPENAI,
    chat_answer,
    error,
    events,
    whole,
)
from tests.unit.pipeline.world import arrival_of, headers_of
from tests.unit.rpc.workers import LIMIT_S, Node, body_of, node, of_all

ODD = "req-\udcff"
"""A byte that is no Unicode, as it comes out of a header."""


def reconfigure(own: Node, place: int) -> None:
    """Let one worker know another address of the provider: it finds other names for all answers."""
    moved = replace(OPENAI, base_url="http://other/v1")
    providers = {provider.name: provider for provider in (moved, CLAUDE, OLD, NEW)}
    gateway = own.workers[place].gateway
    object.__setattr__(gateway, "resolver", Resolver(providers, ALIASES, "openai", anonymous=True))


async def test_workers_that_find_different_names_do_not_wait_for_each_other() -> None:
    async with node(*(whole(chat_answer()) for _ in range(3))) as own:
        one, other = own.workers
        reconfigure(own, 1)
        for seed in range(10_000):
            arrival = arrival_of(headers_of(), body=body_of(seed=seed))
            owners = [own.outside.owners(await worker.name(arrival))[0] for worker in own.workers]
            if owners == [other.address, one.address]:
                break

        async with asyncio.timeout(LIMIT_S):
            got = await asyncio.gather(*(worker.ask(seed=seed) for worker in own.workers))

        assert [each.cache for each in got] == ["MISS", "MISS"]
        assert own.sent == 2


async def test_a_call_that_nothing_kept_serves_says_so_to_the_worker_that_it_asks() -> None:
    """A stream that tells no name of its call has no faithful whole: the other worker has it, and must ask anew."""
    unfaithful = HELLO.replace(b'"content":"hello"', b'"tool_calls":[{"id":"x"}]') + DONE
    async with node(events(unfaithful), whole(chat_answer()), whole(chat_answer("never"))) as own:
        asked = await own.owned_by(0)
        await own.workers[0].ask(**asked, stream=True)

        got = [await worker.ask(**asked) for worker in (own.workers[1], own.workers[1], own.workers[0])]

        assert [each.cache for each in got] == ["MISS", "HIT", "HIT"]
        assert {each.body for each in got} == {chat_answer()}
        assert own.sent == 2


async def test_a_failure_with_an_odd_name_is_told_to_other_workers() -> None:
    def failing() -> Any:
        said = error(400)
        said.headers = {**said.headers, "x-request-id": [ODD]}
        return said

    async with node(failing(), failing()) as own:
        asked = await own.owned_by(0)

        (failed,) = await of_all(own.workers[1].ask(**asked))

        assert own.sent == 1
        assert failed.http_status == 400
