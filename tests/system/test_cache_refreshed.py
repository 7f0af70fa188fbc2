"""What replaces an answer that is kept, in a worker that is asked for both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.fakes.answers import chat_body as chat_answer
from tests.fakes.answers import whole
from tests.system.caching import HIT, MISS, chat_body, fresh_text, post, status_of, told
from tests.system.pair import Pair, running_pair
from tests.system.wire import Response

pytestmark = pytest.mark.edge
ROUNDS = 24
"""Calls that would reach each of some workers."""


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with running_pair(request.param) as running:
        yield running


def content(answer: Response) -> str:
    return answer.json()["choices"][0]["message"]["content"]


async def test_an_answer_older_than_wanted_is_made_anew(pair: Pair) -> None:
    body = chat_body(fresh_text())
    await post(pair, body)
    await asyncio.sleep(2.1)
    enough = await post(pair, body, ("cache-control", "max-age=60"))
    unkept = await post(pair, body, ("cache-control", "max-age=1, no-store"))
    old = await post(pair, body)
    anew = await post(pair, body, ("cache-control", "max-age=1"))
    after = [await post(pair, body) for _ in range(ROUNDS)]

    assert [status_of(each) for each in (enough, unkept, old, anew)] == [HIT, MISS, HIT, MISS]
    assert (told(old.headers).age or 0) >= 2
    assert {status_of(each) for each in after} == {HIT}
    assert all((told(each.headers).age or 0) < 2 for each in after)


@pytest.mark.parametrize("control", ["no-cache", "max-age=0", "NO-CACHE", 'max-age="0"', "max-age=soon"])
async def test_a_fresh_answer_takes_the_place_of_the_older(pair: Pair, control: str) -> None:
    body = chat_body(fresh_text())
    pair.provider.reply_with(whole(chat_answer("ok", "old")))
    before = [content(await post(pair, body)) for _ in range(ROUNDS)]
    for turn in ("new", "newer"):
        pair.provider.reply_with(whole(chat_answer("ok", turn)))
        fresh = await post(pair, body, ("cache-control", control))
        after = [await post(pair, body) for _ in range(ROUNDS)]

        assert (*status_of(fresh), content(fresh)) == (*MISS, turn)
        assert {(*status_of(each), content(each)) for each in after} == {(*HIT, turn)}
    assert set(before) == {"old"}
