"""Identical calls at the same time make one call to the provider, over all workers, in every form and over both
protocols; a failure reaches all of them; an answer that is complete serves whoever asks next, wherever he asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from tests.fakes.answers import CUT, STALL, Answer, chat_events, error, sse, stream
from tests.system.caching import HIT, MISS, asked, fresh_text, status_of
from tests.system.flying import (
    DONE,
    JOIN_S,
    answers,
    bodies,
    body_of,
    calls,
    crowd,
    only,
    paused,
    received,
    slow_stream,
    slow_whole,
    soon,
    tally,
)
from tests.system.pair import Pair, running_pair

pytestmark = pytest.mark.edge
CROWD = 200
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
FORMS: dict[str, dict[str, Any]] = {"whole": {}, "stream": {"stream": True}, "usage": USAGE}
GATEWAY_S = 3.0
"""The gateway's own limit for a call."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Pair]:
    with running_pair(2, limits={"request_s": GATEWAY_S}) as running:
        yield running


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    shared.provider.reply_always(None)
    yield shared
    shared.provider.reply_always(None)


async def both_had_some(pair: Pair, before: dict[int, float], count: int) -> None:
    """Wait until all calls are counted; each worker must have had some."""
    await soon(lambda: sum(calls(pair).values()) - sum(before.values()) >= count)
    each = [now - before[pid] for pid, now in calls(pair).items()]
    assert len(each) == 2
    assert min(each) > count / 10, each


@pytest.mark.parametrize("form", FORMS)
async def test_many_identical_calls_make_one(pair: Pair, form: str) -> None:
    text, before = fresh_text(), calls(pair)
    pair.provider.reply_with(slow_whole() if form == "whole" else slow_stream())

    got = await answers(crowd(pair, *[body_of(text, **FORMS[form])] * CROWD))

    assert asked(pair.provider, text) == 1
    assert tally(got) == {(200, "MISS", "0"): 1, (200, "HIT", "0"): CROWD - 1}
    assert len(bodies(got)) == 1
    assert form == "whole" or got[0].body.endswith(DONE)
    assert (b'"usage":{' in got[0].body) is (form != "stream")
    await both_had_some(pair, before, CROWD)


@pytest.mark.parametrize("leader", FORMS)
async def test_forms_mix(pair: Pair, leader: str) -> None:
    text, before = fresh_text(), calls(pair)
    pair.provider.reply_with(slow_whole() if leader == "whole" else slow_stream())
    first = crowd(pair, body_of(text, **FORMS[leader]))
    await received(pair, text)
    count = CROWD // len(FORMS)

    others = {form: crowd(pair, *[body_of(text, **FORMS[form])] * count) for form in FORMS}
    got = {form: await answers(tasks) for form, tasks in others.items()}
    got[leader] += await answers(first)

    assert asked(pair.provider, text) == 1
    everyone = [each for some in got.values() for each in some]
    assert tally(everyone) == {(200, "MISS", "0"): 1, (200, "HIT", "0"): len(everyone) - 1}
    assert [len(bodies(got[form])) for form in FORMS] == [1, 1, 1]
    assert got["whole"][0].json()["choices"][0]["message"]["content"] == "Hello, wörld 🌍"
    assert {each.body.endswith(DONE) for each in (*got["stream"], *got["usage"])} == {True}
    assert b'"usage":{' not in got["stream"][0].body
    assert got["usage"][0].body.count(b'"usage":{') == 1
    await both_had_some(pair, before, len(everyone))


def typed(text: str) -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role="user", parts=[chat_pb2.Part(text=text)])
    return chat_pb2.ChatRequest(model="ok", messages=[message], temperature=0)


async def whole_call(stub: chat_pb2_grpc.ChatServiceAsyncStub, text: str) -> tuple[str, bytes]:
    call = stub.CreateChatCompletion(typed(text), timeout=30)
    answer = await call
    return str(dict(await call.initial_metadata())["x-isthmus-cache"]), answer.SerializeToString()


async def streamed_call(stub: chat_pb2_grpc.ChatServiceAsyncStub, text: str) -> tuple[str, bytes]:
    call = stub.StreamChatCompletion(typed(text), timeout=30)
    pieces = [piece.SerializeToString() async for piece in call]
    return str(dict(await call.initial_metadata())["x-isthmus-cache"]), b"|".join(pieces)


@pytest.mark.parametrize("leader_streams", [False, True])
async def test_typed_calls_make_one(pair: Pair, leader_streams: bool) -> None:
    text, before = fresh_text(), calls(pair)
    pair.provider.reply_with(slow_stream() if leader_streams else slow_whole())
    async with AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(pair.gateway.grpc_target, options=options) for _ in range(8)]
        stubs = [chat_pb2_grpc.ChatServiceStub(await stack.enter_async_context(channel)) for channel in channels] * (
            CROWD // 8
        )
        first = asyncio.create_task((streamed_call if leader_streams else whole_call)(stubs[0], text))
        await received(pair, text)

        wholes, streams = await asyncio.gather(
            asyncio.gather(*(whole_call(stub, text) for stub in stubs[::2])),
            asyncio.gather(*(streamed_call(stub, text) for stub in stubs[1::2])),
        )
        (streams if leader_streams else wholes).append(await first)

    assert asked(pair.provider, text) == 1
    assert len({body for _, body in wholes}) == 1
    assert len({body for _, body in streams}) == 1
    said = [cache for cache, _ in (*wholes, *streams)]
    assert (said.count("MISS"), said.count("HIT")) == (1, CROWD)
    assert "Hello, wörld".encode() in wholes[0][1]
    await both_had_some(pair, before, CROWD + 1)


FAILURES: dict[str, tuple[Answer, int]] = {
    "500": (error(500, "Broke.", "server_error", None), 502),
    "429": (error(429, "Slow down.", "rate_limit_error", "rate_limit_exceeded", ("retry-after", "7")), 429),
    "400": (error(400, "Bad.", "invalid_request_error", None), 400),
    "timeout": (Answer(pieces=(STALL,), framing="raw"), 504),
    "cut": (Answer(pieces=(0.1, CUT), framing="raw"), 502),
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("answer", "status"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failure_reaches_all_and_is_not_kept(pair: Pair, answer: Answer, status: int, streams: bool) -> None:
    text = fresh_text()
    pair.provider.reply_with(replace(answer, delay_s=JOIN_S))
    content = body_of(text, stream=streams)

    got = await answers(crowd(pair, *[content] * 40))
    after = await only(pair, content)

    assert {each.status for each in got} == {status}
    assert len({str(each.error) for each in got}) == 1
    assert asked(pair.provider, text) == 2
    assert status_of(after) == MISS


BROKEN = {
    "cut": (*paused(chat_events("ok")[:3]), CUT),
    "short": (*paused(chat_events("ok")[:3]),),
    "in-band": (*paused(chat_events("ok")[:3]), sse({"error": {"message": "Broke.", "type": "server_error"}})),
}


@pytest.mark.parametrize("pieces", BROKEN.values(), ids=BROKEN.keys())
async def test_a_stream_that_breaks_does_so_for_all_and_is_not_kept(pair: Pair, pieces: tuple[Any, ...]) -> None:
    text = fresh_text()
    pair.provider.reply_with(stream(*pieces, delay_s=JOIN_S))
    content = body_of(text, stream=True)

    got = await answers(crowd(pair, *[content] * 40))
    after = await only(pair, content)

    assert len(bodies(got)) == 1
    assert b'"error"' in got[0].body
    assert DONE not in got[0].body
    assert asked(pair.provider, text) == 2
    assert status_of(after) == MISS
    assert after.body.endswith(DONE)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_complete_answer_serves_the_next_call_wherever_it_comes(pair: Pair, streams: bool) -> None:
    before = calls(pair)
    for _ in range(50):
        content = body_of(fresh_text(), stream=streams)

        first = await only(pair, content)
        after = [await only(pair, content) for _ in range(3)]

        assert status_of(first) == MISS
        assert [status_of(each) for each in after] == [HIT] * 3
        assert {each.body for each in after} == {first.body}
    await both_had_some(pair, before, 200)
