"""Answers that are kept and shared: one call to the provider for all who ask the same, nothing wrong for anybody."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from isthmusd.core.errors import Garbled, Interrupted, Overloaded, TimedOut, Unauthenticated, Unreachable
from isthmusd.core.record import EndReason
from isthmusd.core.reply import Stream, Whole
from isthmusd.pipeline.run import run

from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import (
    DONE,
    HELLO,
    STOP,
    Built,
    chat_answer,
    chat_request,
    error,
    event,
    events,
    whole,
)
from tests.unit.pipeline.targets import Answer
from tests.unit.pipeline.world import arrival_of, headers_of, play

STREAM = HELLO + STOP + DONE


@dataclass(frozen=True)
class Got:
    """What one caller got."""

    body: bytes
    headers: dict[str, str]
    pieces: tuple[bytes, ...] = ()

    @property
    def cache(self) -> str | None:
        return self.headers.get("x-isthmus-cache")


class World:
    """One gateway with a cache."""

    def __init__(self, *answers: Answer, parts: CacheParts | None = None, **options: Any) -> None:
        self.parts = parts or CacheParts()
        self.built = Built.saying(*answers, **options)
        self.built.caching = self.parts.caching
        self.gateway = self.built.gateway

    @property
    def sent(self) -> int:
        return len(self.built.upstream.sent)

    @property
    def records(self) -> list[Any]:
        return self.built.journal.records

    async def ask(self, headers: dict[str, Any] | None = None, **members: Any) -> Got:
        body = chat_request(**({"temperature": 0} | members))
        async with run(self.gateway, arrival_of(headers_of(**(headers or {})), body=body)) as reply:
            match reply:
                case Whole():
                    return Got(reply.body, dict(reply.headers))
                case Stream():
                    pieces = tuple([piece async for piece in reply.pieces])
                    return Got(b"".join(pieces), dict(reply.headers), pieces)


def test_the_second_call_is_answered_from_the_cache_with_the_same_bytes() -> None:
    world = World(whole(chat_answer()))

    async def scene() -> tuple[Got, Got]:
        return await world.ask(), await world.ask()

    first, second = play(scene())

    assert world.sent == 1
    assert (first.cache, second.cache) == ("MISS", "HIT")
    assert first.body == second.body == chat_answer()
    assert first.headers["cache-control"] == second.headers["cache-control"] == "max-age=604800"
    assert (first.headers["age"], second.headers["age"]) == ("0", "0")
    assert [record.cache for record in world.records] == ["MISS", "HIT"]
    assert [len(record.attempts) for record in world.records] == [1, 0]
    assert world.records[1].provider == "openai"
    assert world.records[0].usage == world.records[1].usage


def test_a_stream_is_repeated_event_by_event() -> None:
    world = World(events(HELLO, STOP, DONE))

    async def scene() -> tuple[Got, Got]:
        return await world.ask(stream=True), await world.ask(stream=True)

    first, second = play(scene())

    assert world.sent == 1
    assert first.body == second.body == STREAM
    assert second.headers["cache-control"] == "max-age=604800, no-transform"
    assert [record.end for record in world.records] == [EndReason.COMPLETE] * 2


@pytest.mark.parametrize("streams", [False, True])
def test_all_who_ask_at_once_share_one_call(streams: bool) -> None:
    answer = events(1.0, HELLO, 1.0, STOP, DONE) if streams else whole(chat_answer())
    answer.opening = (1.0,)
    world = World(answer)

    async def scene() -> list[Got]:
        return await asyncio.gather(*(world.ask(stream=streams) for _ in range(50)))

    got = play(scene())

    assert world.sent == 1
    assert {each.body for each in got} == {STREAM if streams else chat_answer()}
    assert sorted(each.cache or "" for each in got) == ["HIT"] * 49 + ["MISS"]
    assert sum(len(record.attempts) for record in world.records) == 1
    assert (world.parts.watched.began, world.parts.watched.joined) == (1, 49)


@pytest.mark.parametrize("leaves_at", [0.5, 1.5, 2.5])
def test_the_others_go_on_when_the_first_one_leaves(leaves_at: float) -> None:
    answer = events(1.0, HELLO, 1.0, STOP, DONE, opening=(1.0,))
    world = World(answer)

    async def scene() -> Got:
        first = asyncio.create_task(world.ask(stream=True))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(world.ask(stream=True))
        await asyncio.sleep(leaves_at - 0.1)
        first.cancel()
        return await second

    got = play(scene())

    assert world.sent == 1
    assert got.body == STREAM
    # The call was made for the first one, and now it is the second one's account.
    assert [len(record.attempts) for record in world.records] == [0, 1]
    assert [record.end for record in world.records] == [EndReason.CANCELLED, EndReason.COMPLETE]


def test_the_connection_is_closed_when_the_last_one_leaves() -> None:
    answer = events(HELLO, 1000.0, STOP, DONE)
    world = World(answer)

    async def scene() -> None:
        asking = [asyncio.create_task(world.ask(stream=True)) for _ in range(3)]
        await asyncio.sleep(1)
        for task in asking:
            assert not answer.closed
            task.cancel()
            await asyncio.wait((task,))

    play(scene())

    assert answer.closed
    assert world.parts.answers.items == {}
    assert [len(record.attempts) for record in world.records] == [0, 0, 1]


@pytest.mark.parametrize(
    ("answer", "streams", "kind"),
    [
        (error(500), False, Overloaded),
        (whole(b'{"error": {"message": "no"}}'), False, Exception),
        (whole(b"nonsense"), False, Garbled),
        (error(400), True, Exception),
        (events(Unreachable("gone")), True, Unreachable),
    ],
)
def test_a_failure_reaches_all_who_wait_and_is_not_kept(answer: Answer, streams: bool, kind: type[Exception]) -> None:
    answer.opening = (1.0,)
    world = World(answer, whole(chat_answer()) if not streams else events(STREAM))

    async def scene() -> tuple[list[Any], Got]:
        got = await asyncio.gather(*(world.ask(stream=streams) for _ in range(5)), return_exceptions=True)
        return got, await world.ask(stream=streams)

    failed, after = play(scene())

    assert all(isinstance(each, kind) for each in failed)
    assert after.cache == "MISS"
    assert world.sent == 2


@pytest.mark.parametrize(
    "broken",
    [
        events(HELLO),
        events(HELLO, event({"content": "more"})[:-9]),
        events(HELLO, Interrupted("cut")),
        events(HELLO, b'data: {"error": {"message": "broke", "type": "server_error"}}\n\n', DONE),
    ],
)
def test_a_stream_that_breaks_tells_all_in_band_and_is_not_kept(broken: Answer) -> None:
    broken.opening = (1.0,)
    world = World(broken, events(HELLO, STOP, DONE))

    async def scene() -> tuple[list[Got], Got]:
        return await asyncio.gather(*(world.ask(stream=True) for _ in range(4))), await world.ask(stream=True)

    got, after = play(scene())

    assert len({each.body for each in got}) == 1
    assert b'"error"' in got[0].body
    assert DONE not in got[0].body
    assert {record.end for record in world.records[:4]} == {EndReason.INTERRUPTED}
    assert after.cache == "MISS"
    assert after.body == STREAM


def test_a_call_that_does_not_wait_so_long_leaves_alone() -> None:
    answer = whole(chat_answer())
    answer.opening = (10.0,)
    world = World(answer)

    async def scene() -> list[Any]:
        return await asyncio.gather(
            world.ask({"x_isthmus_timeout": "1"}),
            world.ask(),
            world.ask({"x_isthmus_timeout": "5"}),
            return_exceptions=True,
        )

    impatient, patient, also = play(scene())

    assert isinstance(impatient, TimedOut)
    assert isinstance(also, TimedOut)
    assert patient.body == chat_answer()
    assert world.sent == 1


def test_another_form_is_the_same_answer() -> None:
    world = World(events(HELLO, STOP, DONE))

    async def scene() -> tuple[Got, Got]:
        return await world.ask(stream=True), await world.ask()

    _, second = play(scene())

    assert world.sent == 1
    assert second.cache == "HIT"
    assert b'"content":"hello"' in second.body
    assert second.headers["cache-control"] == "max-age=604800"


def test_forms_mix_in_one_flight() -> None:
    answer = events(1.0, HELLO, 1.0, STOP, DONE, opening=(1.0,))
    world = World(answer)

    async def scene() -> list[Got]:
        return await asyncio.gather(*(world.ask(stream=number % 2 == 0) for number in range(10)))

    got = play(scene())

    assert world.sent == 1
    assert {each.body for each in got[::2]} == {STREAM}
    assert all(b'"content":"hello"' in each.body for each in got[1::2])


def test_nobody_gets_an_answer_before_he_is_known() -> None:
    world = World(whole(chat_answer()), anonymous=False, provider_keys=True)

    async def scene() -> tuple[Got, Any]:
        first = await world.ask({"authorization": "Bearer sk-ours"})
        with pytest.raises(Unauthenticated):
            await world.ask()
        return first, None

    play(scene())
    assert world.sent == 1


def test_another_key_gets_nothing_of_it() -> None:
    world = World(whole(chat_answer("one")), whole(chat_answer("two")), anonymous=False)

    async def scene() -> list[Got]:
        return [await world.ask({"authorization": f"Bearer sk-{name}"}) for name in ("a", "b", "a", "b")]

    got = play(scene())

    assert [each.cache for each in got] == ["MISS", "MISS", "HIT", "HIT"]
    assert got[0].body == got[2].body != got[1].body


def test_cookies_of_a_session_keep_an_answer_out_and_those_of_an_edge_do_not() -> None:
    cookie = whole(chat_answer(), set_cookie="session=1; Path=/")
    edge = whole(chat_answer(), set_cookie="__cf_bm=xyz; Path=/")
    world = World(cookie, edge)

    async def scene() -> list[Got]:
        return [await world.ask(), await world.ask(), await world.ask()]

    got = play(scene())

    assert [each.cache for each in got] == ["MISS", "MISS", "HIT"]
    assert not any("set-cookie" in each.headers for each in got)
    assert ["cache-control" in each.headers for each in got] == [False, True, True]


def test_an_answer_that_is_longer_than_an_entry_reaches_all_and_is_not_kept() -> None:
    pieces = [event({"content": "x" * 1000}) for _ in range(30)]
    world = World(
        events(HELLO, *pieces, STOP, DONE, opening=(1.0,)), events(HELLO, STOP, DONE), cache_entry_bytes=5_000
    )

    async def scene() -> tuple[list[Got], Got]:
        got = await asyncio.gather(*(world.ask(stream=True) for _ in range(3)))
        return got, await world.ask(stream=True)

    got, after = play(scene())

    assert {each.body for each in got} == {HELLO + b"".join(pieces) + STOP + DONE}
    assert after.cache == "MISS"


def test_keep_alives_reach_those_who_wait_and_are_not_kept() -> None:
    world = World(events(40.0, HELLO, STOP, DONE))

    async def scene() -> tuple[Got, Got]:
        return await world.ask(stream=True), await world.ask(stream=True)

    first, second = play(scene())

    assert b"keep-alive" in first.body
    assert second.body == STREAM


def test_a_slow_reader_takes_no_piece_from_who_waits_for_the_whole() -> None:
    """The last piece makes it too long to be held: it is complete all the same, while others still read it."""
    texts = [letter * 30_000 for letter in "abc"]
    chunks = [event({"role": "assistant", "content": text}) for text in texts]
    world = World(events(*chunks, STOP, DONE, opening=(1.0,)), cache_entry_bytes=sum(map(len, (*chunks, STOP))))
    busy, heavy = threading.Event(), world.gateway.flights._attempts.heavy

    async def reads_slowly() -> bytes:
        body = chat_request(temperature=0, stream=True)
        got = b""
        async with run(world.gateway, arrival_of({}, body=body)) as reply:
            assert isinstance(reply, Stream)
            async for piece in reply.pieces:
                got += piece
                await asyncio.sleep(0.1)
                if got == b"".join(chunks[:2]):
                    busy.set()
        return got

    async def scene() -> tuple[bytes, Got]:
        blocked = asyncio.get_running_loop().run_in_executor(heavy, busy.wait, 10)
        got, whole, _ = await asyncio.gather(reads_slowly(), world.ask(), blocked)
        return got, whole

    got, answer = asyncio.run(scene())

    assert world.sent == 1
    assert got == b"".join(chunks) + STOP + DONE
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "".join(texts)


@pytest.mark.parametrize("streams", [False, True])
def test_the_other_workers_hear_of_a_fresh_answer_before_who_asked_for_it_has_it(streams: bool) -> None:
    def answer() -> Answer:
        return events(HELLO, STOP, DONE) if streams else whole(chat_answer())

    world = World(answer(), answer(), answer())

    async def scene() -> list[Got]:
        return [
            await world.ask(stream=streams),
            await world.ask({"cache_control": "no-cache"}, stream=streams),
            await world.ask({"cache_control": "no-cache, no-store"}, stream=streams),
        ]

    got = play(scene())

    assert [each.cache for each in got] == ["MISS", "MISS", None]
    ((name, at),) = world.parts.peers.renewed
    assert world.parts.answers.items[name].stored_at >= at
