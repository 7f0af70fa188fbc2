"""Kept answers where a clock goes wrong: what was stored at a time that has not come yet is not believed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.unit.pipeline.gateway import chat_answer, whole
from tests.unit.pipeline.test_flights import World
from tests.unit.pipeline.world import FakeClock, play

YEAR_S = 365 * 86_400.0


@dataclass(slots=True)
class WrongClock(FakeClock):
    """Wall time that is set by hand."""

    ahead_s: float = 0.0

    def now(self) -> float:
        # Slots of a dataclass are another class: super() would not find its own.
        return FakeClock.now(self) + self.ahead_s


@pytest.mark.parametrize(
    ("ahead_s", "then_s", "sent"),
    [
        pytest.param(YEAR_S, 0.0, 2, id="a clock that was a year ahead"),
        pytest.param(60.0, 0.0, 1, id="nodes whose clocks differ by a minute"),
        pytest.param(0.0, 60.0, 1, id="a minute that passed"),
        pytest.param(0.0, YEAR_S, 2, id="a clock that goes a year ahead"),
    ],
)
def test_what_is_stored_later_than_now_is_not_served(ahead_s: float, then_s: float, sent: int) -> None:
    world = World(whole(chat_answer()), whole(chat_answer("again")))
    clock = world.built.clock = WrongClock(ahead_s=ahead_s)
    world.gateway = world.built.gateway

    async def scene() -> list[bytes]:
        first = await world.ask()
        clock.ahead_s = then_s
        return [first.body, (await world.ask()).body, (await world.ask()).body]

    got = play(scene())

    assert world.sent == sent
    assert got[1] == got[2] == chat_answer("again" if sent == 2 else "hello")
