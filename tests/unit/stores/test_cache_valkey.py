"""A real Valkey or Redis that is killed, held still, full, closed to us or full of garbage; and a cluster of two."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from isthmusd.stores.cache_valkey import HEAD, PREFIX
from isthmusd.stores.caching import CacheStats, Fault

from tests.fakes.valkey import Valkey, running_valkey
from tests.unit.stores.cache_files import answers
from tests.unit.stores.cached import item, name
from tests.unit.stores.valkeys import opened


@pytest.fixture
def server() -> Iterator[Valkey]:
    """One that a test may harm."""
    with running_valkey() as started:
        yield started


@pytest.fixture
def emptied(valkey: Valkey) -> Valkey:
    valkey.say("FLUSHALL")
    return valkey


def key(label: str) -> str:
    return PREFIX + name(label).hex()


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage",
        b"\x02" + bytes(40),
        b"\x01" + b"\xff" * 40,
        bytes(100),
        b"\x01" + bytes(16) + b"\0\0\0\1\0\0\0\0\xff",
        b"\x01" + bytes(16) + b"\0\x20\0\0\0\0\0\0" + bytes(1 << 21),
    ],
)
async def test_garbage_is_corrupt_once_and_then_gone(emptied: Valkey, garbage: bytes) -> None:
    emptied.say("SET", key("a"), garbage)
    emptied.say("SET", key("b"), garbage)
    async with opened(emptied.url) as store:
        await store.put(item("good"))

        assert await answers(store.get(name("a"))) is Fault.CORRUPT
        assert await answers(store.get(name("a"))) is None
        assert await store.stats(None, None) == CacheStats(count=1, size=100)
        assert await store.clear(None, None) == 1
        assert await store.get(name("good")) is None


async def test_an_empty_value_is_none(emptied: Valkey) -> None:
    emptied.say("SET", key("a"), b"")
    async with opened(emptied.url) as store:
        assert await store.get(name("a")) is None
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")


async def test_no_more_is_read_than_an_entry_may_have(emptied: Valkey) -> None:
    async with opened(emptied.url) as store:
        await store.put(item("a"))
        emptied.say("SETRANGE", key("a"), str(200 * 1024 * 1024), "x")
        before = _sent(emptied)

        assert await answers(store.get(name("a"))) is Fault.CORRUPT
        assert _sent(emptied) - before < 34 * 1024 * 1024
        assert emptied.say("EXISTS", key("a")) == b":0\r\n"


def _sent(server: Valkey) -> int:
    """Bytes that a server has sent so far."""
    return int(server.say("INFO", "stats").partition(b"total_net_output_bytes:")[2].split()[0])


async def test_the_longest_entry_is_kept_and_a_longer_one_fails_after_the_others(emptied: Valkey) -> None:
    longest, others = item("longest", size=32 * 1024 * 1024 - HEAD.size), [item("a"), item("b")]
    longer = [replace(longest, name=name("1"), sealed=longest.sealed + b"x"), item("2", tenant="t" * 1_048_577)]
    async with opened(emptied.url) as store:
        await store.put(longest)
        assert await store.get(longest.name) == longest
        assert await answers(store.put_all([others[0], *longer, others[1]])) is Fault.DROPPED
        assert await answers(store.put_all([item("c", model="\ud800"), item("c")])) is Fault.UNREADABLE

        assert [await store.get(name(label)) is not None for label in "12abc"] == [False, False, True, True, True]


async def test_a_value_of_another_type_is_corrupt_once_and_then_gone(emptied: Valkey) -> None:
    emptied.say("RPUSH", key("a"), "x")
    emptied.say("RPUSH", key("b"), "x")
    async with opened(emptied.url) as store:
        assert await store.stats(None, None) == CacheStats(count=0, size=0)
        assert await answers(store.get(name("a"))) is Fault.CORRUPT
        assert await store.get(name("a")) is None
        await store.put(item("b"))
        assert await store.get(name("b")) == item("b")


async def test_the_server_forgets_by_itself(emptied: Valkey) -> None:
    async with opened(emptied.url) as store:
        await store.put(item("a", ttl_s=600))
        await store.clear("nobody", None)

    left = int(emptied.say("PTTL", key("a"))[1:])
    assert 590_000 < left <= 600_000
    assert 86_000 < int(emptied.say("TTL", "isthmus:1:cleared")[1:]) <= 86_400


async def test_keys_of_others_are_let_be(emptied: Valkey) -> None:
    emptied.say("SET", "theirs", "x")
    emptied.say("SET", "isthmus:2:e:x", "x")
    async with opened(emptied.url) as store:
        await store.put(item("a"))
        assert await store.clear(None, None) == 1

    assert emptied.say("GET", "theirs") == b"$1\r\nx\r\n"
    assert emptied.say("GET", "isthmus:2:e:x") == b"$1\r\nx\r\n"


async def test_notes_are_bounded(emptied: Valkey) -> None:
    for number in range(3000):
        emptied.say("XADD", "isthmus:1:cleared", "*", "tenant", f"={number}", "model", "", "at", "1")
    async with opened(emptied.url) as store:
        await store.clear("acme", None)

    assert int(emptied.say("XLEN", "isthmus:1:cleared")[1:]) <= 1200


async def test_a_server_that_is_started_again_is_used_again(server: Valkey) -> None:
    async with opened(server.url) as store:
        await asyncio.gather(*(store.put(item(str(number))) for number in range(100)))
        server.stop()
        assert await answers(store.get(name("1"))) is Fault.UNREACHABLE
        assert await answers(store.put(item("2"))) is Fault.UNREACHABLE
        assert await answers(store.stats(None, None)) is Fault.UNREACHABLE
        server.start()

        assert await store.get(name("1")) is None
        await store.put(item("2"))
        assert await store.get(name("2")) == item("2")


async def test_a_server_that_is_not_there_yet_is_used_when_it_is(server: Valkey) -> None:
    server.stop()
    async with opened(server.url) as store:
        found = await asyncio.gather(*(answers(store.get(name("a"))) for _ in range(100)))
        assert set(found) == {Fault.UNREACHABLE}
        server.start()
        await store.put(item("a"))
        assert await store.get(name("a")) == item("a")


async def test_answers_of_those_who_left_go_to_nobody_else(server: Valkey) -> None:
    items = [item(str(number)) for number in range(200)]
    async with opened(server.url) as store:
        await asyncio.gather(*(store.put(one) for one in items))
        server.pause()
        left = [asyncio.ensure_future(store.get(one.name)) for one in items]
        await asyncio.sleep(0.05)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        server.go_on()

        assert await asyncio.gather(*(store.get(one.name) for one in items[::-1])) == items[::-1]


async def test_a_full_server_refuses_and_gives_what_it_has(server: Valkey) -> None:
    async with opened(server.url) as store:
        await store.put(item("a"))
        server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.say("CONFIG", "SET", "maxmemory", "1")

        assert await answers(store.put(item("b"))) is Fault.FULL
        assert await answers(store.clear("x", None)) is Fault.FULL
        assert await store.get(name("a")) == item("a")


class Opened:
    """Which files Python code opens while this listens. Audit hooks cannot be taken back."""

    def __init__(self) -> None:
        self.listens = False
        self.paths: list[object] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.listens and event == "open":
            self.paths.append(args[0])


async def test_no_file_is_read_for_one_more_connection(emptied: Valkey) -> None:
    files = Opened()
    async with opened(emptied.url) as store:
        await store.put(item("a"))
        files.listens = True
        found = await asyncio.gather(*(store.get(name("a")) for _ in range(16)))
        files.listens = False

        assert found == [item("a")] * 16
        assert files.paths == []


async def test_a_replica_refuses_writes_until_it_is_none(server: Valkey) -> None:
    async with opened(server.url) as store:
        await store.put(item("a"))
        server.say("REPLICAOF", "127.0.0.1", "1")
        assert await answers(store.put(item("b"))) is Fault.REFUSED
        assert await store.get(name("a")) == item("a")
        server.say("REPLICAOF", "NO", "ONE")
        await store.put(item("b"))
        assert await store.get(name("b")) == item("b")


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:wrong@"])
async def test_a_server_that_wants_other_credentials_refuses(credentials: str) -> None:
    with running_valkey("--requirepass", "right", port=True) as server:
        async with opened(server.url.replace("://", f"://{credentials}")) as store:
            assert await answers(store.get(name("a"))) is Fault.REFUSED
            assert await answers(store.put(item("a"))) is Fault.REFUSED
        async with opened(server.url.replace("redis://", "valkey://:right@")) as store:
            await store.put(item("a"))
            assert await store.get(name("a")) == item("a")


async def test_who_may_do_little_is_refused_the_rest_and_nothing_else(server: Valkey) -> None:
    server.say("ACL", "SETUSER", "default", "-info", "-set")
    async with opened(server.url) as store:
        assert await store.get(name("a")) is None
        assert await answers(store.put(item("a"))) is Fault.REFUSED


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "unix:///nowhere/socket", "ftp://x", "redis://[", "rediss://127.0.0.1:1"]
)
async def test_a_place_where_nobody_answers_is_a_fault(url: str) -> None:
    async with opened(url) as store:
        assert await answers(store.get(name("a"))) in (Fault.UNREACHABLE, Fault.REFUSED)


async def test_a_text_that_is_none_is_not_kept(emptied: Valkey) -> None:
    async with opened(emptied.url) as store:
        assert await answers(store.put(item("a", model="\ud800"))) is Fault.UNREADABLE


@pytest.fixture
def cluster() -> Iterator[tuple[Valkey, Valkey]]:
    """Two servers that share the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port")
    with running_valkey(*options, "{bus}", port=True) as first, running_valkey(*options, "{bus}", port=True) as second:
        first.say("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
        second.say("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
        first.say("CLUSTER", "SET-CONFIG-EPOCH", "1")
        second.say("CLUSTER", "SET-CONFIG-EPOCH", "2")
        first.say("CLUSTER", "MEET", "127.0.0.1", str(second.port), str(second.bus))
        until = time.monotonic() + 30
        while not all(b"cluster_state:ok" in one.say("CLUSTER", "INFO") for one in (first, second)):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield first, second


async def test_a_cluster_is_used_whole(cluster: tuple[Valkey, Valkey]) -> None:
    first, second = cluster
    items = [item(str(number), tenant=f"t{number % 2}") for number in range(200)]
    async with opened(first.url) as store:
        await asyncio.gather(*(store.put(one) for one in items))
        counts = [int(one.say("DBSIZE")[1:]) for one in cluster]
        assert min(counts) > 50
        assert sum(counts) == 200
        assert await asyncio.gather(*(store.get(one.name) for one in items)) == items
        assert await store.stats("t1", None) == CacheStats(count=100, size=10_000)
        _, mark = await store.cleared_since(None)
        assert await store.clear("t1", None) == 100
        assert [note.tenant for note in (await store.cleared_since(mark))[0]] == ["t1"]
        await store.put_all([replace(one, stored_at=one.stored_at - 1) for one in items])
    async with opened(second.url) as store:
        assert (await store.stats(None, None)).count == 100

        first.stop()
        found = await asyncio.gather(*(answers(store.get(one.name)) for one in items[::20]))
        assert {fault for fault in found if isinstance(fault, Fault)} <= {Fault.UNREACHABLE, Fault.TIMEOUT}


async def test_a_cluster_that_is_elsewhere_now_is_found_where_the_url_says() -> None:
    """As one whose machines were all replaced, behind a name."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-port", "{bus}")
    with running_valkey(*options, port=True) as first, running_valkey(*options, port=True) as second:
        for one in (first, second):
            one.cluster_alone()
        async with passing_on([first.port]) as (url, ports), opened(url) as store:
            await store.put(item("a"))
            ports[:] = [second.port]
            first.stop()

            lost = await asyncio.gather(*(answers(store.get(name("a"))) for _ in range(20)))

            assert set(lost) <= {Fault.UNREACHABLE, Fault.TIMEOUT, None}
            await answers(store.get(name("a")))
            await store.put(item("b"))
            assert await store.get(name("b")) == item("b")


@asynccontextmanager
async def passing_on(ports: list[int]) -> AsyncGenerator[tuple[str, list[int]]]:
    """An address whose connections lead to the port that is the last one of a list."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", ports[-1])
            await asyncio.gather(copy(reader, back), copy(there, writer))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", ports
    finally:
        server.close()
