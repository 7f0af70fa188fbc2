"""An alarm ends a wait that is over its limit, and nothing else."""

import asyncio

import pytest
from isthmusd.pipeline.alarm import Alarm


def after(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_wait_that_ends_in_time_gives_its_value() -> None:
    alarm = Alarm()

    assert await alarm.wait(asyncio.sleep(0.01, "value"), after(5)) == "value"
    alarm.close()


async def test_a_wait_over_its_limit_is_ended_and_the_task_lives_on() -> None:
    alarm = Alarm()

    with pytest.raises(TimeoutError):
        await alarm.wait(asyncio.sleep(60), after(0.02))

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await alarm.wait(asyncio.sleep(0, "again"), after(5)) == "again"
    alarm.close()


async def test_a_later_limit_does_not_ring_at_the_earlier_one() -> None:
    alarm = Alarm()

    await alarm.wait(asyncio.sleep(0), after(0.02))

    assert await alarm.wait(asyncio.sleep(0.06, "slept"), after(5)) == "slept"
    alarm.close()


async def test_an_earlier_limit_rings_though_a_later_one_was_set() -> None:
    alarm = Alarm()
    await alarm.wait(asyncio.sleep(0), after(60))

    with pytest.raises(TimeoutError):
        await alarm.wait(asyncio.sleep(60), after(0.02))
    alarm.close()


async def test_cancellation_by_others_passes() -> None:
    alarm = Alarm()
    waiting = asyncio.ensure_future(alarm.wait(asyncio.sleep(60), after(30)))
    await asyncio.sleep(0.01)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    alarm.close()


async def test_failures_of_the_work_pass() -> None:
    async def fail() -> None:
        raise LookupError

    alarm = Alarm()

    with pytest.raises(LookupError):
        await alarm.wait(fail(), after(5))
    alarm.close()
