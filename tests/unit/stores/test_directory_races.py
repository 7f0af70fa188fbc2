"""Reads race with changes: after a change is committed and the watch has asked once, nobody gets what was before it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.provision import provision

from tests.fakes.callers import SECRET
from tests.unit.stores.remembering import World, opened

RACED = "isk-raced"
WATCHED = "isk-watched"
"""Changed in the same transaction, and remembered until then: once it is new, the watch has asked."""
ROUNDS = 30
PATIENT_S = 30.0
"""What is late is no matter of these tests, and everything may be on a busy machine."""
READERS = 8


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    with opened(store_url) as made:
        made.add_key(RACED, "0")
        made.add_key(WATCHED, "0")
        yield made


async def named(directory: CachedDirectory, key_id: str) -> str:
    key = await directory.key(key_id)
    assert key is not None
    return key.name


async def watched(directory: CachedDirectory, version: str) -> None:
    """Wait until the watch has asked and seen a version."""
    for _ in range(20_000):
        if await named(directory, WATCHED) == version:
            return
        await asyncio.sleep(0.0005)
    raise AssertionError(f"nobody told of version {version}")


@dataclass(slots=True)
class Readers:
    """Look the raced key up all the time, also in the moment in which it is forgotten."""

    directory: CachedDirectory
    count: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def start(self) -> None:
        self.tasks = [asyncio.create_task(self._read()) for _ in range(READERS)]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            await named(self.directory, RACED)
            self.count += 1
            # Not at once: the threads that ask the store need their turns too.
            await asyncio.sleep(0.0002)


@pytest.mark.parametrize("slow_s", [0.0, 0.01])
async def test_r28_nobody_gets_the_old_value_after_one_question(world: World, slow_s: float) -> None:
    chance = random.Random(slow_s)
    world.database.slowness = itertools.cycle([chance.uniform(0, slow_s) for _ in range(997)])

    async with world.directory(poll_s=0.001, timeout_s=PATIENT_S) as directory:
        readers = Readers(directory)
        readers.start()
        for version in map(str, range(1, ROUNDS)):
            assert await named(directory, WATCHED) is not None
            await asyncio.to_thread(world.name_keys, version, RACED, WATCHED)
            await watched(directory, version)

            found = await asyncio.gather(*(named(directory, RACED) for _ in range(READERS)))

            assert set(found) == {version}
        await readers.stop()

    assert readers.count > ROUNDS


async def test_r28_a_read_that_was_overtaken_by_a_change_is_made_again(world: World) -> None:
    async with world.directory(poll_s=0.005) as directory:
        await directory.key(WATCHED)
        # The first reader has read, and holds what it has for longer than the change and the next question take.
        world.database.slowness = itertools.chain([0.15], itertools.repeat(0.0))
        reading = asyncio.create_task(named(directory, RACED))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(world.name_keys, "1", RACED, WATCHED)
        await watched(directory, "1")

        assert await named(directory, RACED) == "1"
        assert await reading == "1"
        assert await named(directory, RACED) == "1"


@settings(max_examples=25)
@given(steps=st.lists(st.sampled_from(["look", "change", "wait", "slow"]), max_size=14))
def test_r28_any_order_of_reads_and_changes_ends_with_the_newest(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    async def run(world: World) -> None:
        version, looking = 0, list[asyncio.Task[str]]()
        async with world.directory(poll_s=0.001) as directory:
            await named(directory, WATCHED)
            for step in steps:
                if step == "look":
                    looking.append(asyncio.create_task(named(directory, RACED)))
                    await asyncio.sleep(0)
                elif step == "change":
                    version += 1
                    await asyncio.to_thread(world.name_keys, str(version), RACED)
                elif step == "wait":
                    await asyncio.sleep(0.003)
                else:
                    world.database.slowness = itertools.chain([0.01], itertools.repeat(0.0))
            version += 1
            await asyncio.to_thread(world.name_keys, str(version), RACED, WATCHED)
            await watched(directory, str(version))

            assert await named(directory, RACED) == str(version)
            assert {int(name) <= version for name in await asyncio.gather(*looking)} <= {True}

    found = provision(tmp_path_factory.mktemp("store"), url=None, secret=SECRET)
    with opened(found.url) as world:
        world.add_key(RACED, "0")
        world.add_key(WATCHED, "0")
        asyncio.run(run(world))
