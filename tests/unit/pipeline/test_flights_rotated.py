"""Answers kept under an older secret, while a newer one is there too."""

from __future__ import annotations

import asyncio

from tests.unit.pipeline.caching import SECRET, CacheParts, KeptAnswers
from tests.unit.pipeline.gateway import chat_answer, whole
from tests.unit.pipeline.test_flights import Got, World
from tests.unit.pipeline.world import play

NEWER = "unit-tests-only-newer-51e2b84d067f3a9c"


def test_a_fresh_answer_takes_the_place_of_one_under_an_older_secret() -> None:
    older = CacheParts()
    play(World(whole(chat_answer("old")), parts=older).ask())
    parts = CacheParts(answers=older.answers, secrets=f"{NEWER} {SECRET}")
    world = World(whole(chat_answer("new")), parts=parts)

    async def scene() -> list[Got]:
        return [await world.ask(), await world.ask({"cache_control": "no-cache"}), await world.ask()]

    kept, refreshed, after = play(scene())

    assert [each.cache for each in (kept, refreshed, after)] == ["HIT", "MISS", "HIT"]
    assert b"old" in kept.body
    assert b"new" in refreshed.body
    assert refreshed.body == after.body
    (old, new) = parts.answers.items
    assert {name for name, _ in parts.peers.renewed} == {old, new}, "other workers may have the one or the other"
    assert list(parts.answers.outdated) == [old], "here the newer one is found first, but only as long as it is there"


class SlowAnswers(KeptAnswers):
    """Takes its time for each lookup."""

    async def get(self, name: bytes) -> bytes | None:
        await asyncio.sleep(0.04)
        return await super().get(name)


def test_a_slow_store_is_waited_for_once_however_many_secrets_there_are() -> None:
    def duration_s(secrets: str) -> float:
        world = World(whole(chat_answer()), parts=CacheParts(answers=SlowAnswers(), secrets=secrets))
        play(world.ask())
        (record,) = world.records
        return record.duration_s

    assert duration_s(f"{NEWER} {SECRET}") == duration_s(SECRET) > 0.03
