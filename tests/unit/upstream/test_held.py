"""What is kept, renewed, given up and not asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from isthmusd.core.errors import Misconfigured, TimedOut, Told, Unreachable
from isthmusd.upstream import held
from isthmusd.upstream.held import Held, Lease


class Source:
    """Hands out tokens 1, 2, 3 ..., or fails, and lets time be set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.count = 0
        self.good_for_s: float | None = 3600.0
        self.failure: Misconfigured | Unreachable | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.held = Held(self.fetch, lambda: self.now)

    async def fetch(self) -> Lease[str]:
        self.count += 1
        count = self.count
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return Lease(value=f"token-{count}", good_for_s=self.good_for_s)


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    made = Source()
    yield made
    await made.held.aclose()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_value_is_fetched_once(source: Source) -> None:
    assert [await source.held.get() for _ in range(3)] == ["token-1"] * 3

    source.now += 3600 - held.EARLY_S - 1
    assert await source.held.get() == "token-1"
    assert source.count == 1


async def test_value_without_an_end_is_never_renewed(source: Source) -> None:
    source.good_for_s = None
    await source.held.get()

    source.now += 1e9

    assert await source.held.get() == "token-1"


async def test_many_waiters_cause_one_fetch(source: Source) -> None:
    source.open.clear()
    waiters = [asyncio.ensure_future(source.held.get()) for _ in range(20)]
    await settled()
    source.open.set()

    assert set(await asyncio.gather(*waiters)) == {"token-1"}
    assert source.count == 1


async def test_waiter_who_gives_up_does_not_end_the_fetch(source: Source) -> None:
    source.open.clear()
    first, second = (asyncio.ensure_future(source.held.get()) for _ in range(2))
    await settled()

    first.cancel()
    await settled()
    source.open.set()

    assert await second == "token-1"
    assert first.cancelled()


async def test_value_is_renewed_before_its_end_while_calls_go_on(source: Source) -> None:
    await source.held.get()
    source.open.clear()

    source.now += 3600 - held.EARLY_S
    assert await source.held.get() == "token-1"
    assert await source.held.get() == "token-1"
    source.open.set()
    await settled()

    assert await source.held.get() == "token-2"
    assert source.count == 2


async def test_ended_value_is_not_used(source: Source) -> None:
    await source.held.get()

    source.now += 3600

    assert await source.held.get() == "token-2"


async def test_failed_renewal_hurts_nobody_while_the_old_value_is_good(source: Source) -> None:
    await source.held.get()
    source.failure = Unreachable("down")

    source.now += 3600 - held.EARLY_S
    for _ in range(3):
        assert await source.held.get() == "token-1"
        await settled()
    assert source.count == 2  # it rests after a failure

    source.now += held.EARLY_S
    with pytest.raises(Unreachable):
        await source.held.get()


async def test_failures_are_followed_by_longer_and_longer_rests(source: Source) -> None:
    source.failure = Misconfigured("refused", told=Told(detail="why"))
    asked_at: list[float] = []
    began_at = source.now
    for _ in range(400):
        before = source.count
        with pytest.raises(Misconfigured, match="refused"):
            await source.held.get()
        if source.count > before:
            asked_at.append(source.now - began_at)
        source.now += 0.5

    assert asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183]


async def test_each_call_gets_an_error_of_its_own(source: Source) -> None:
    source.failure = Misconfigured("refused", told=Told(detail="why"))
    errors = [error for error in await asyncio.gather(*(source.held.get() for _ in range(3)), return_exceptions=True)]
    source.now += 0.25
    with pytest.raises(Misconfigured) as resting:
        await source.held.get()

    assert len({id(error) for error in (*errors, resting.value)}) == 4
    assert resting.value.told.detail == "why"
    assert resting.value.retry_after_s == 0.75


async def test_success_ends_the_rests(source: Source) -> None:
    source.failure = Unreachable("down")
    with pytest.raises(Unreachable):
        await source.held.get()
    source.failure = None
    source.now += 1

    assert await source.held.get() == "token-2"
    source.now += 3600
    assert await source.held.get() == "token-3"


async def test_refused_value_is_given_up_once_a_minute(source: Source) -> None:
    first = await source.held.get()
    assert source.held.refuse(first)
    second = await source.held.get()

    assert not source.held.refuse(first)  # not the one that is held
    assert not source.held.refuse(second)  # a target that refuses all of them
    assert await source.held.get() == second == "token-2"
    source.now += held.REFUSALS_EVERY_S
    assert source.held.refuse(second)
    assert await source.held.get() == "token-3"


async def test_fetch_that_hangs_ends(source: Source) -> None:
    source.open.clear()
    impatient = Held(source.fetch, patience_s=0.01)

    with pytest.raises(TimedOut):
        await impatient.get()


async def test_closing_ends_a_fetch(source: Source) -> None:
    source.open.clear()
    waiter = asyncio.ensure_future(source.held.get())
    await settled()

    await source.held.aclose()

    with pytest.raises(asyncio.CancelledError):
        await waiter
