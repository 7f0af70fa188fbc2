"""How long an answer is kept, how old callers are told it is, and what replaces it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.answers import whole
from tests.system.caching import HIT, MISS, asked, chat_body, fresh_text, holds, post, rows, status_of, told
from tests.system.pair import Pair, eventually, running_pair

pytestmark = pytest.mark.edge
ROUNDS = 24
"""Calls that reach both of two workers."""
TTL = "x-isthmus-cache-ttl"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair(2) as running:
        yield running


@pytest.mark.parametrize("memory_bytes", [0, 2**20], ids=["store", "memory"])
async def test_an_answer_ends_with_its_time_to_live(tmp_path: Path, memory_bytes: int) -> None:
    with running_pair(cache={"memory_bytes": memory_bytes}, data=str(tmp_path)) as pair:
        body = chat_body(fresh_text())
        first = await post(pair, body, (TTL, "3"))
        made = time.monotonic()
        kept = await asyncio.to_thread(holds, tmp_path, 1)

        second = await post(pair, body)
        early = time.monotonic() - made
        await asyncio.sleep(3.05 - early)
        third = await post(pair, body, (TTL, "1"))
        fourth = await post(pair, body)

        assert kept
        assert early < 3
        assert [status_of(each) for each in (first, second, third)] == [MISS, HIT, MISS]
        assert told(second.headers).max_age == 3
        assert fourth.status == 200


async def test_one_second_is_one_second(pair: Pair) -> None:
    text = fresh_text()
    body = chat_body(text)
    await post(pair, body, (TTL, "1"))
    made = time.monotonic()
    while status_of(await post(pair, body, ("cache-control", "no-store"))) == HIT:
        assert time.monotonic() - made < 2
        await asyncio.sleep(0.01)
    lived = time.monotonic() - made

    assert lived > 0.9
    assert asked(pair.provider, text) == 2


async def test_what_has_ended_is_removed_from_the_file(tmp_path: Path) -> None:
    with running_pair(data=str(tmp_path)) as pair:
        await post(pair, chat_body(fresh_text()), (TTL, "1"))
        kept = await asyncio.to_thread(holds, tmp_path, 1)
        await asyncio.sleep(1.1)
        # Whoever writes makes room.
        for _ in range(3):
            await post(pair, chat_body(fresh_text()))
        few = await asyncio.to_thread(eventually, lambda: len(rows(tmp_path)) in (3, 4))

        assert kept
        assert few


async def test_age_counts_from_when_the_answer_was_complete(pair: Pair) -> None:
    body = chat_body(fresh_text())
    began = time.time()
    await post(pair, body)
    made = time.time()
    ages: list[int] = []
    while time.time() - made < 2.5:
        asked_at = time.time()
        said = told((await post(pair, body)).headers)
        assert said.age is not None
        assert int(asked_at - made) - 1 < said.age <= time.time() - began
        ages.append(said.age)
        await asyncio.sleep(0.2)

    assert ages == sorted(ages)
    assert ages[-1] == 2


async def test_a_hit_tells_how_long_the_answer_is_kept_not_what_this_call_wished(pair: Pair) -> None:
    body = chat_body(fresh_text())
    made = await post(pair, body, (TTL, "100"))
    hits = [await post(pair, body, (TTL, "200")) for _ in range(ROUNDS)]

    assert (status_of(made), told(made.headers).max_age) == (MISS, 100)
    assert {(*status_of(each), told(each.headers).max_age) for each in hits} == {(*HIT, 100)}


async def test_a_call_that_may_not_be_kept_still_reads(pair: Pair) -> None:
    text = fresh_text()
    body = chat_body(text)
    first = await post(pair, body, ("cache-control", "no-store"))
    second = await post(pair, body)
    third = await post(pair, body, ("cache-control", "no-store"))

    assert [status_of(each) for each in (first, second, third)] == [MISS, MISS, HIT]
    assert third.body == second.body
    assert asked(pair.provider, text) == 2


async def test_a_fresh_answer_that_fails_leaves_the_older_one(pair: Pair) -> None:
    body = chat_body(fresh_text())
    await post(pair, body)
    pair.provider.reply_with(whole({"error": {"message": "No.", "type": "x", "code": None}}, 400))
    failed = await post(pair, body, ("cache-control", "no-cache"))
    after = await post(pair, body)

    assert failed.status == 400
    assert status_of(after) == HIT
