"""What becomes of records when processes are killed, and when the store or the disk is not there: a call whose reply
was complete is in the store once, in the end; what is lost is counted; and no call waits for any of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import statistics
import time
import urllib.request
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
import msgspec
import psycopg
import pytest
from isthmus.v1 import chat_pb2_grpc

from tests.fakes.postgres import Postgres, running_postgres
from tests.system.callers import Office
from tests.system.kept_calls import DIARY, Kept, counts, keeping, rows, settled, stored
from tests.system.pair import Pair, eventually, running_pair
from tests.system.typed import chat_request
from tests.system.wire import ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
CLIENTS = 12


class Load:
    """Calls of every kind, one after the other by each of some clients, until it is told to stop."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.complete: list[str] = []
        """Request ids of the calls whose replies came whole."""
        self._stopping = False

    async def run(self) -> None:
        async with grpc.aio.insecure_channel(self._kept.pair.gateway.grpc_target) as channel:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            kinds = (self._whole, self._streamed, partial(self._typed, stub))
            await asyncio.gather(*(self._client(kinds) for _ in range(CLIENTS)))

    def stop(self) -> None:
        self._stopping = True

    async def _client(self, kinds: Sequence[Callable[[str], Awaitable[bool]]]) -> None:
        while not self._stopping:
            request_id = f"load-{random.getrandbits(64):016x}"
            try:
                if await random.choice(kinds)(request_id):
                    self.complete.append(request_id)
            except (OSError, EOFError, ValueError, grpc.RpcError, TimeoutError):
                await asyncio.sleep(0.02)

    async def _whole(self, request_id: str) -> bool:
        answer = await ask(self._kept.pair.url, CHAT, chat(), headers=self._kept.headers(request_id), limit_s=5)
        return answer.status == 200 and "choices" in answer.json()

    async def _streamed(self, request_id: str) -> bool:
        headers = self._kept.headers(request_id)
        answer = await ask(self._kept.pair.url, CHAT, chat(stream=True), headers=headers, limit_s=5)
        return answer.status == 200 and answer.body.endswith(DONE)

    async def _typed(self, stub: chat_pb2_grpc.ChatServiceAsyncStub, request_id: str) -> bool:
        call = stub.StreamChatCompletion(chat_request(), timeout=5, metadata=self._kept.metadata(request_id))
        pieces = [piece async for piece in call]
        return bool(pieces)


def wrong(data: Path, complete: list[str]) -> dict[str, int]:
    """The calls that are not in the store exactly once."""
    return {request_id: count for request_id, count in counts(data, complete).items() if count != 1}


def pids(kept: Kept, name: str) -> list[int]:
    return [pid for pid, line in kept.pair.gateway.children().items() if name in line]


async def test_r19_no_complete_call_is_lost_with_a_worker_or_recorder_that_is_killed(tmp_path: Path) -> None:
    with keeping(tmp_path / "data") as kept:
        load = Load(kept)
        running = asyncio.create_task(load.run())
        for name in ("worker", "recorder", "worker", "recorder"):
            await asyncio.sleep(0.7)
            os.kill(random.choice(pids(kept, f"isthmusd.{name}")), signal.SIGKILL)
        await asyncio.sleep(1.0)
        load.stop()
        await running

        assert len(load.complete) > 100
        assert await asyncio.to_thread(eventually, lambda: not wrong(kept.data, load.complete), 20.0)
        assert await asyncio.to_thread(settled, kept.data)
        assert wrong(kept.data, load.complete) == {}


async def test_r19_no_complete_call_is_lost_when_everything_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    complete = list[str]()
    for _ in range(2):
        with keeping(data) as kept:
            load = Load(kept)
            running = asyncio.create_task(load.run())
            await asyncio.sleep(1.5)
            victims = [*kept.pair.gateway.children(), kept.pair.gateway.process.pid]
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            load.stop()
            await running
            complete += load.complete
    assert len(complete) > 50

    with keeping(data):
        assert await asyncio.to_thread(eventually, lambda: not wrong(data, complete), 20.0)
        assert await asyncio.to_thread(settled, data)
    assert wrong(data, complete) == {}
    assert rows(data, "PRAGMA integrity_check") == [("ok",)]
    assert list((data / "journal").glob("*.jsonl")) == [], "a run that ends leaves nothing behind"


def test_a_run_that_ends_stores_everything_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with keeping(data) as kept:
        for number in range(5):
            asyncio.run(ask(kept.pair.url, CHAT, chat(), headers=kept.headers(f"last-{number}")))
        code = kept.pair.gateway.stop()

    assert code == 0
    assert counts(data, [f"last-{number}" for number in range(5)]) == {f"last-{number}": 1 for number in range(5)}


def latency(pair: Pair, call: Callable[[int], bytes]) -> float:
    """The median of some calls, in seconds."""
    took = list[float]()
    for number in range(40):
        began = time.perf_counter()
        call(number)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def posting(kept: Kept, prefix: str) -> Callable[[int], bytes]:
    def post(number: int) -> bytes:
        headers = {name: str(value) for name, value in kept.headers(f"{prefix}-{number}")}
        message = urllib.request.Request(kept.pair.url + CHAT, chat(), headers, method="POST")
        with urllib.request.urlopen(message, timeout=10) as answer:
            return answer.read()

    return post


@contextmanager
def sqlite_store(folder: Path) -> Generator[tuple[Kept, Callable[[], AbstractContextManager[None]]]]:
    """A gateway on a file that somebody else can lock."""

    @contextmanager
    def dead() -> Generator[None]:
        with closing(sqlite3.connect(kept.data / "isthmus.db", isolation_level=None, timeout=10)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            yield

    with keeping(folder / "data") as kept:
        yield kept, dead


def test_while_the_store_is_locked_calls_are_as_fast_and_nothing_is_lost(tmp_path: Path) -> None:
    with sqlite_store(tmp_path) as (kept, dead):
        latency(kept.pair, posting(kept, "warm"))
        alive_s = latency(kept.pair, posting(kept, "alive"))
        with dead():
            dead_s = latency(kept.pair, posting(kept, "dead"))
            time.sleep(3)
            waiting = metric(kept.pair, "isthmus_records_journal_bytes")

        wanted = [f"{when}-{number}" for when in ("alive", "dead") for number in range(40)]
        assert waiting > 40 * 500
        assert eventually(lambda: not wrong(kept.data, wanted), 20.0)
        assert metric(kept.pair, "isthmus_records_dropped_total") == 0
    assert dead_s < 2 * alive_s + 0.01, (alive_s, dead_s)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def test_while_postgres_stands_still_calls_are_as_fast_and_nothing_is_lost(postgres: Postgres, tmp_path: Path) -> None:
    database = postgres.database()
    url = postgres.url(database)
    with Office(tmp_path / "data", url) as office:
        office.tenant("acme")
        issued = office.key("acme")
    with running_pair(2, data=str(tmp_path / "data"), store={"url": url}) as pair:
        kept = Kept(pair=pair, data=tmp_path / "data", key=issued.token, key_id=issued.key.id)
        latency(pair, posting(kept, "warm"))
        alive_s = latency(pair, posting(kept, "alive"))
        postgres.pause()
        try:
            dead_s = latency(pair, posting(kept, "dead"))
            time.sleep(3)
        finally:
            postgres.go_on()

        wanted = {f"{when}-{number}" for when in ("alive", "dead") for number in range(40)}
        assert eventually(lambda: in_postgres(url) >= wanted, 20.0)
        assert metric(pair, "isthmus_records_dropped_total") == 0
    assert dead_s < 2 * alive_s + 0.01, (alive_s, dead_s)


def in_postgres(url: str) -> set[str]:
    """The request ids of what is stored; a failed assertion if one is there twice."""
    with psycopg.connect(url) as connection:
        found = [msgspec.json.decode(row[0])["request_id"] for row in connection.execute("SELECT data FROM records")]
    assert len(found) == len(set(found))
    return set(found)


def metric(pair: Pair, name: str) -> float:
    with urllib.request.urlopen(f"{pair.gateway.admin_url}/metrics", timeout=10) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines()]
    return sum(float(line[1]) for line in lines if line and line[0].partition("{")[0] == name)


def test_a_disk_that_takes_nothing_costs_records_and_they_are_counted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "journal").write_bytes(b"no directory")
    with keeping(data, workers=1) as kept:
        post = posting(kept, "lost")
        for number in range(10):
            assert b"choices" in post(number)

        assert eventually(lambda: metric(kept.pair, "isthmus_records_dropped_total") == 10)
        assert kept.pair.gateway.log.read_text().count("records of calls are lost") == 1
        assert stored(data) == []


def test_a_journal_that_is_full_drops_and_counts_until_the_store_is_back(tmp_path: Path) -> None:
    """The bound is a mebibyte; each of these calls leaves a quarter of one."""
    count = 12
    large = chat(user="x" * 200_000)
    with keeping(tmp_path / "data", workers=1, records={"journal_bytes": 2**20}) as kept:

        async def post(request_id: str) -> int:
            headers = kept.headers(request_id, ("x-isthmus-project", DIARY))
            return (await ask(kept.pair.url, CHAT, large, headers=headers)).status

        with closing(sqlite3.connect(kept.data / "isthmus.db", isolation_level=None, timeout=10)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            statuses = [asyncio.run(post(f"full-{number}")) for number in range(count)]
            assert eventually(lambda: metric(kept.pair, "isthmus_records_dropped_total") > 0)
            held = metric(kept.pair, "isthmus_records_journal_bytes")
            dropped = metric(kept.pair, "isthmus_records_dropped_total")

        assert statuses == [200] * count
        assert held <= 2**20
        assert eventually(lambda: len(stored(kept.data)) == count - dropped, 20.0)
        assert eventually(lambda: asyncio.run(post("again")) == 200 and bool(stored(kept.data, "again")), 20.0)
