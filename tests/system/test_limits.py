"""Time and number: deadlines, first-event and idle limits, keep-alives, admission. All with limits of a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import grpc
import pytest

from tests.fakes.answers import STALL, TEXT, Answer, chat_events, stream
from tests.system.pair import Pair, eventually, running_pair
from tests.system.typed import chat_stream, chat_whole, failure_of, text_of
from tests.system.wire import JSON_TYPE, ask, chat, connected, request

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
EVENTS = chat_events("ok")
KEEP_ALIVE = b": keep-alive\n\n"
SILENT = Answer(pieces=(STALL,), framing="raw")
LIMITS = {"keep_alive_s": 0.2, "first_event_s": 2.5, "idle_s": 2.5, "request_s": 3.5}
SOON_S = 10.0
"""Later than any limit here by as much as a busy machine may need, and far from the defaults."""


@pytest.fixture(scope="module")
def hasty() -> Iterator[Pair]:
    """A pair whose limits are short."""
    with running_pair(limits=LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty_channel(hasty: Pair) -> Iterator[grpc.Channel]:
    with hasty.channel() as opened:
        yield opened


@pytest.fixture(scope="module")
def single() -> Iterator[Pair]:
    """A pair that takes one call at a time."""
    with running_pair(limits={"calls": 1}) as running:
        yield running


async def test_callers_deadline_over_http(pair: Pair) -> None:
    pair.provider.reply_with(SILENT)
    begun = time.monotonic()

    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("x-isthmus-timeout", "0.3")))

    assert answer.status == 504
    assert (answer.error["type"], answer.headers["x-should-retry"]) == ("timeout_error", "true")
    assert 0.3 <= time.monotonic() - begun < SOON_S
    assert await asyncio.to_thread(eventually, pair.provider.last.aborted.is_set)


async def test_callers_deadline_bounds_a_whole_stream(pair: Pair) -> None:
    pair.provider.reply_with(stream(*EVENTS[:2], STALL))

    answer = await ask(pair.url, CHAT, chat(stream=True), headers=(*JSON_TYPE, ("x-isthmus-timeout", "0.5")))

    assert answer.status == 200
    assert b'"type":"timeout_error"' in answer.body
    assert b"[DONE]" not in answer.body


@pytest.mark.parametrize("value", ["0", "-1", "soon", "", "1e999", "nan", "1,5"])
async def test_bad_deadline_is_refused(pair: Pair, value: str) -> None:
    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("x-isthmus-timeout", value)))

    assert answer.status == 400
    assert "x-isthmus-timeout" in answer.error["message"]


def test_callers_deadline_over_grpc(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_with(SILENT)

    failure = failure_of(lambda: chat_whole(channel, timeout=0.3))

    assert failure.grpc == "DEADLINE_EXCEEDED"
    assert eventually(pair.provider.last.aborted.is_set)


async def test_default_deadline_of_a_whole_reply(hasty: Pair) -> None:
    hasty.provider.reply_with(Answer(pieces=(b'{"id":', STALL), framing="chunked"))
    begun = time.monotonic()

    answer = await ask(hasty.url, CHAT, chat())

    assert answer.status == 504
    assert answer.error["type"] == "timeout_error"
    assert LIMITS["request_s"] - 0.1 <= time.monotonic() - begun < SOON_S


def test_default_deadline_over_grpc(hasty: Pair, hasty_channel: grpc.Channel) -> None:
    hasty.provider.reply_with(SILENT)

    failure = failure_of(lambda: chat_whole(hasty_channel, timeout=None))

    assert failure.grpc == "DEADLINE_EXCEEDED"
    assert failure.reason, "it is the gateway's own, with details"


async def test_first_event_limit(hasty: Pair) -> None:
    hasty.provider.reply_with(SILENT)

    answer = await ask(hasty.url, CHAT, chat(stream=True))

    assert answer.status == 504
    assert answer.error["type"] == "timeout_error"
    assert await asyncio.to_thread(eventually, hasty.provider.last.aborted.is_set)


def test_first_event_limit_over_grpc(hasty: Pair, hasty_channel: grpc.Channel) -> None:
    hasty.provider.reply_with(stream(STALL))

    failure = failure_of(lambda: list(chat_stream(hasty_channel)))

    assert failure.grpc == "DEADLINE_EXCEEDED"


async def test_first_event_limit_after_headers_is_in_band(hasty: Pair) -> None:
    hasty.provider.reply_with(stream(STALL))

    answer = await ask(hasty.url, CHAT, chat(stream=True))

    assert answer.status == 200
    assert answer.body.startswith(KEEP_ALIVE)
    assert answer.body.split(b"\n\n")[-2].startswith(b'data: {"error":')
    assert b'"type":"timeout_error"' in answer.body


async def test_idle_limit(hasty: Pair) -> None:
    hasty.provider.reply_with(stream(*EVENTS[:2], STALL))

    answer = await ask(hasty.url, CHAT, chat(stream=True))

    assert b'"content":"Hel"' in answer.body
    assert b'"type":"timeout_error"' in answer.body
    assert b"[DONE]" not in answer.body
    assert await asyncio.to_thread(eventually, hasty.provider.last.aborted.is_set)


def test_idle_limit_over_grpc(hasty: Pair, hasty_channel: grpc.Channel) -> None:
    hasty.provider.reply_with(stream(*EVENTS[:2], STALL))
    seen: list[str] = []

    failure = failure_of(lambda: seen.extend(text_of([chunk]) for chunk in chat_stream(hasty_channel)))

    assert "".join(seen) == "Hel"
    assert failure.grpc == "DEADLINE_EXCEEDED"


async def test_busy_stream_outlives_the_default_deadline(hasty: Pair) -> None:
    pauses = [step for event in EVENTS for step in (0.8, event)]
    hasty.provider.reply_with(stream(*pauses))

    answer = await ask(hasty.url, CHAT, chat(stream=True))

    assert answer.body.endswith(b"data: [DONE]\n\n"), answer
    assert len(EVENTS) * 0.8 > LIMITS["request_s"]


async def test_keep_alives_stand_between_events(hasty: Pair) -> None:
    half = len(EVENTS[2]) // 2
    hasty.provider.reply_with(stream(1.0, *EVENTS[:2], 1.0, EVENTS[2][:half], 0.7, EVENTS[2][half:], *EVENTS[3:]))

    answer = await ask(hasty.url, CHAT, chat(stream=True))

    assert answer.body.startswith(KEEP_ALIVE), "before the first event too, once the provider has answered"
    assert answer.body.count(KEEP_ALIVE) >= 3
    assert answer.body.replace(KEEP_ALIVE, b"") == b"".join(EVENTS)


def test_keep_alives_are_not_for_typed_streams(hasty: Pair, hasty_channel: grpc.Channel) -> None:
    hasty.provider.reply_with(stream(*EVENTS[:2], 1.0, *EVENTS[2:]))

    chunks = list(chat_stream(hasty_channel))

    assert text_of(chunks) == TEXT
    assert all(chunk.events for chunk in chunks)


async def test_call_beyond_the_limit_is_told_to_come_back(single: Pair) -> None:
    single.provider.reply_with(stream(*EVENTS[:2], STALL))
    async with connected(single.url) as exchange:
        await exchange.send(request(single.url, CHAT, chat(stream=True)))
        await exchange.head()
        await exchange.until(b"Hel")

        refused = await ask(single.url, CHAT, chat())
        with single.channel() as channel:
            failure = await asyncio.to_thread(failure_of, lambda: chat_whole(channel))

    assert (refused.status, refused.error["code"]) == (503, "overloaded")
    assert float(refused.headers["retry-after"]) > 0
    assert refused.headers["x-should-retry"] == "true"
    assert (failure.grpc, failure.reason) == ("UNAVAILABLE", "OVERLOADED")
    assert failure.retry_after
    assert await asyncio.to_thread(eventually, lambda: asyncio.run(ask(single.url, CHAT, chat())).status == 200)
