"""A store that is slow, hangs or fails is a miss, in time, and counted; and it is left alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from isthmusd.core.entry import CacheItem
from isthmusd.stores.caching import CacheFault, CacheStats, Cleared, Fault, StoreStep
from isthmusd.stores.patient_cache import AT_ONCE, LONGEST_REST_S, QUEUE_BYTES, PatientCache

from tests.unit.pipeline.world import FakeClock, play
from tests.unit.stores.cached import START, Counts, item, name

Behaviour = Callable[[], Awaitable[Any]]
TIMEOUT_S = 0.05


async def works() -> None:
    return None


async def hangs() -> None:
    await asyncio.Event().wait()


async def hangs_for_good() -> None:
    """A second ago it was told to end, and did not hear."""
    for _ in range(20):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            continue


async def is_slow() -> None:
    await asyncio.sleep(0.06)


async def is_away() -> None:
    raise CacheFault(Fault.UNREACHABLE, "gone")


async def is_garbled() -> None:
    raise CacheFault(Fault.CORRUPT, "garbage")


async def is_full() -> None:
    raise CacheFault(Fault.FULL, "full")


async def is_mistaken() -> None:
    raise KeyError("a secret value")


@dataclass(slots=True)
class Moody:
    """A store of one entry that does as it is told to."""

    behaviour: Behaviour = works
    asked: list[tuple[StoreStep, float]] = field(default_factory=list[tuple[StoreStep, float]])
    kept: list[CacheItem] = field(default_factory=list[CacheItem])
    is_closed: bool = False

    async def _do(self, step: StoreStep) -> None:
        self.asked.append((step, asyncio.get_running_loop().time()))
        await self.behaviour()

    async def load(self) -> None:
        await self.behaviour()

    async def get(self, name: bytes) -> CacheItem | None:
        await self._do(StoreStep.GET)
        return item("a")

    async def put(self, item: CacheItem) -> None:
        await self.put_all([item])

    async def put_all(self, items: Sequence[CacheItem]) -> None:
        await self._do(StoreStep.PUT)
        self.kept += items

    async def clear(self, tenant: str | None, model: str | None) -> int:
        return 0

    async def cleared_since(self, mark: str | None) -> tuple[list[Cleared], str]:
        await self._do(StoreStep.NEWS)
        return [], "mark"

    async def stats(self, tenant: str | None, model: str | None) -> CacheStats:
        return CacheStats(count=0, size=0)

    async def aclose(self) -> None:
        self.is_closed = True

    def times(self) -> list[float]:
        return [round(at, 2) for _, at in self.asked]


@dataclass(slots=True)
class Scene:
    store: Moody
    counts: Counts
    patient: PatientCache

    async def get(self) -> tuple[CacheItem | None, float]:
        """Look up, and tell how long it took."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        return await self.patient.get(name("a")), round(loop.time() - began_at, 9)


def scene(behaviour: Behaviour = works) -> Scene:
    store, counts = Moody(behaviour), Counts()
    return Scene(store, counts, PatientCache(store, TIMEOUT_S, FakeClock(), counts))


def test_what_works_is_given_and_measured() -> None:
    async def playing() -> Scene:
        given = scene()
        assert await given.get() == (item("a"), 0.0)
        return given

    given = play(playing())
    assert given.counts.took == [(StoreStep.GET, 0.0)]
    assert not given.counts.failed


@pytest.mark.parametrize(
    ("behaviour", "fault", "took_s"),
    [
        (hangs, Fault.TIMEOUT, TIMEOUT_S),
        (hangs_for_good, Fault.TIMEOUT, TIMEOUT_S),
        (is_slow, Fault.TIMEOUT, TIMEOUT_S),
        (is_away, Fault.UNREACHABLE, 0.0),
        (is_garbled, Fault.CORRUPT, 0.0),
        (is_mistaken, Fault.BROKEN, 0.0),
    ],
)
def test_a_lookup_that_fails_is_a_miss_in_time_and_counted(behaviour: Behaviour, fault: Fault, took_s: float) -> None:
    async def playing() -> Scene:
        given = scene(behaviour)
        assert await given.get() == (None, took_s)
        return given

    given = play(playing())
    assert given.counts.failed == {(StoreStep.GET, fault): 1}
    assert given.counts.took == [(StoreStep.GET, took_s)]


def test_a_mistake_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    play(scene(is_mistaken).get())

    assert "KeyError at " in caplog.text
    assert "secret" not in caplog.text


def test_an_answer_that_came_while_the_loop_was_busy_is_taken() -> None:
    async def stalled() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(TIMEOUT_S - 0.01, lambda: None)
        await asyncio.sleep(TIMEOUT_S)

    async def playing() -> None:
        given = scene(stalled)
        found, _ = await given.get()
        assert found == item("a")
        assert not given.counts.failed

    play(playing())


def test_a_store_that_failed_rests_twice_as_long_each_time() -> None:
    async def playing() -> Scene:
        given = scene(is_away)
        for _ in range(4000):
            found, took_s = await given.get()
            assert (found, took_s) == (None, 0.0)
            await asyncio.sleep(0.01)
        return given

    given = play(playing())
    waits = [later - at for at, later in zip(given.store.times(), given.store.times()[1:], strict=False)]
    assert waits == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_REST_S, LONGEST_REST_S], abs=0.025)
    assert given.counts.failed[StoreStep.GET, Fault.RESTING] == 4000 - len(given.store.asked)


def test_a_store_that_works_again_is_used_again() -> None:
    async def playing() -> None:
        given = scene(is_away)
        await given.get()
        given.store.behaviour = works
        assert await given.get() == (None, 0.0)
        await asyncio.sleep(0.3)
        for _ in range(3):
            assert await given.get() == (item("a"), 0.0)
        given.store.behaviour = is_away
        await given.get()
        given.store.behaviour = works
        await asyncio.sleep(0.3)
        assert await given.get() == (item("a"), 0.0)

    play(playing())


def test_only_one_asks_after_a_rest() -> None:
    async def playing() -> Scene:
        given = scene(hangs)
        await asyncio.gather(*(given.get() for _ in range(100)))
        await asyncio.sleep(0.3)
        began_at = asyncio.get_running_loop().time()
        assert len(given.store.asked) == AT_ONCE
        await asyncio.gather(*(given.get() for _ in range(100)))
        assert asyncio.get_running_loop().time() - began_at == pytest.approx(TIMEOUT_S)
        return given

    given = play(playing())
    assert len(given.store.asked) == AT_ONCE + 1
    assert given.counts.failed == {(StoreStep.GET, Fault.TIMEOUT): 101, (StoreStep.GET, Fault.RESTING): 99}


def test_many_faults_at_once_count_as_one_for_the_rest() -> None:
    async def playing() -> None:
        given = scene(hangs)
        await asyncio.gather(*(given.get() for _ in range(100)))
        given.store.behaviour = works
        await asyncio.sleep(0.26)
        assert await given.get() == (item("a"), 0.0)

    play(playing())


def test_faults_of_one_entry_let_nobody_rest() -> None:
    async def playing() -> None:
        given = scene(is_garbled)
        await given.get()
        given.store.behaviour = works
        assert await given.get() == (item("a"), 0.0)

    play(playing())


def test_who_is_late_while_others_are_answered_lets_nobody_rest() -> None:
    async def playing() -> None:
        given = scene(hangs)
        late = asyncio.ensure_future(given.get())
        await asyncio.sleep(0.01)
        given.store.behaviour = works
        assert await given.get() == (item("a"), 0.0)
        assert await late == (None, TIMEOUT_S)
        assert await given.get() == (item("a"), 0.0)

    play(playing())


def test_lookups_get_turns_and_who_gets_none_in_time_is_not_asked_for() -> None:
    async def takes_a_while() -> None:
        await asyncio.sleep(0.02)

    async def playing() -> Scene:
        given = scene(takes_a_while)
        found = await asyncio.gather(*(given.get() for _ in range(10 * AT_ONCE)))
        assert [one is not None for one, _ in found] == [True] * 2 * AT_ONCE + [False] * 8 * AT_ONCE
        assert max(took_s for _, took_s in found) == TIMEOUT_S
        await asyncio.sleep(1)
        assert len(given.store.asked) == 3 * AT_ONCE
        assert await given.get() == (item("a"), 0.02)
        return given

    assert play(playing()).counts.failed == {(StoreStep.GET, Fault.TIMEOUT): 8 * AT_ONCE}


def test_a_caller_that_leaves_takes_nothing_along() -> None:
    async def playing() -> Scene:
        given = scene(is_slow)
        leaving = asyncio.ensure_future(given.get())
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.wait({leaving})
        await asyncio.sleep(1)
        assert leaving.cancelled()
        return given

    assert play(playing()).counts.failed == {(StoreStep.GET, Fault.TIMEOUT): 1}


def test_writes_wait_for_nobody_come_in_order_and_together() -> None:
    async def playing() -> Scene:
        given = scene(is_slow)
        writing = asyncio.ensure_future(given.patient.write())
        for label in "abc":
            given.patient.put(item(label))
        await given.patient.flush()
        writing.cancel()
        return given

    given = play(playing())
    assert given.store.kept == [item(label) for label in "abc"]
    assert [step for step, _ in given.store.asked] == [StoreStep.PUT]
    assert not given.counts.failed


def test_what_waits_is_bounded_and_what_is_dropped_is_counted() -> None:
    async def playing() -> Scene:
        given = scene(hangs)
        writing = asyncio.ensure_future(given.patient.write())
        large = item("a", size=8 * 1024 * 1024)
        for _ in range(10):
            given.patient.put(large)
        await asyncio.sleep(0.01)
        assert given.counts.failed == {(StoreStep.PUT, Fault.DROPPED): 10 - QUEUE_BYTES // (8 * 1024 * 1024 + 1024)}
        given.store.behaviour = works
        await asyncio.sleep(20)
        assert given.counts.failed[StoreStep.PUT, Fault.TIMEOUT] == 1
        assert len(given.store.kept) == 2
        given.patient.put(large)
        await given.patient.flush()
        assert len(given.store.kept) == 3
        writing.cancel()
        return given

    play(playing())


def test_writes_that_fail_rest_and_lookups_go_on() -> None:
    async def playing() -> Scene:
        given = scene(is_full)
        writing = asyncio.ensure_future(given.patient.write())
        for number in range(100):
            given.patient.put(item(str(number)))
        await asyncio.sleep(2)
        given.store.behaviour = works
        assert await given.get() == (item("a"), 0.0)
        given.patient.put(item("late"))
        await asyncio.sleep(20)
        writing.cancel()
        return given

    given = play(playing())
    # A hundred are written in two goes; what fails is not tried again.
    assert given.counts.failed == {(StoreStep.PUT, Fault.FULL): 2}
    assert given.store.kept == [item("late")]


def test_flushing_ends_although_the_store_hangs() -> None:
    async def playing() -> float:
        given = scene(hangs)
        writing = asyncio.ensure_future(given.patient.write())
        given.patient.put(item("a"))
        await given.patient.flush()
        writing.cancel()
        await given.patient.aclose()
        assert given.store.is_closed
        return asyncio.get_running_loop().time()

    assert play(playing()) == 2.0


def test_what_was_cleared_is_not_written_any_more() -> None:
    async def playing() -> Scene:
        given = scene()
        given.patient.put(item("old"))
        given.patient.put(item("others", tenant="bar"))
        given.patient.put(item("new", stored_at=START + 2))
        given.patient.forget(Cleared(tenant="acme", model=None, at=START + 1))
        writing = asyncio.ensure_future(given.patient.write())
        await given.patient.flush()
        writing.cancel()
        return given

    given = play(playing())
    assert given.store.kept == [item("others", tenant="bar"), item("new", stored_at=START + 2)]


def test_news_may_take_longer_and_say_nothing_of_lookups() -> None:
    async def playing() -> None:
        given = scene(is_slow)
        await given.get()
        assert await given.patient.news(None) == ([], "mark")
        assert await given.get() == (None, 0.0)
        given.store.behaviour = is_away
        assert await given.patient.news("mark") is None
        assert await given.patient.news("mark") is None
        assert given.counts.failed[StoreStep.NEWS, Fault.UNREACHABLE] == 1

    play(playing())
