"""Streams flow as they come, however the provider cuts its bytes, and never pretend to be whole. What the events say is
the corpus' matter.
"""

from __future__ import annotations

import itertools
import random

import grpc
import pytest

from tests.fakes.answers import CUT, STALL, TEXT, Step, chat_events, stream
from tests.system.pair import Pair, eventually
from tests.system.typed import chat_stream, failure_of, text_of
from tests.system.wire import ask, chat, connected, request

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
EVENTS = chat_events("ok", include_usage=True)
CONTENT = b"".join(EVENTS)
FIRST_WORD = b'"content":"Hel"'


def cuts(content: bytes, seed: int | None) -> tuple[Step, ...]:
    """Cut between any two bytes: everywhere, or at random places."""
    if seed is None:
        return tuple(content[at : at + 1] for at in range(len(content)))
    rng = random.Random(seed)
    places = [0, *sorted(rng.sample(range(1, len(content)), rng.randint(1, 60))), len(content)]
    return tuple(content[begin:end] for begin, end in itertools.pairwise(places))


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4, 5])
async def test_any_cut_gives_the_same_bytes(pair: Pair, seed: int | None) -> None:
    pair.provider.reply_with(stream(*cuts(CONTENT, seed)))

    answer = await ask(pair.url, CHAT, chat(stream=True, stream_options={"include_usage": True}))

    assert answer.body == CONTENT


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_any_cut_gives_the_same_events(pair: Pair, channel: grpc.Channel, seed: int | None) -> None:
    pair.provider.reply_with(stream(*cuts(CONTENT.replace(b"\n", b"\r\n"), seed)))

    events = [event for chunk in chat_stream(channel) for event in chunk.events]

    assert "".join(event.text_delta.text for event in events) == TEXT
    assert [event.WhichOneof("event") for event in events][-2:] == ["choice_end", "usage"]
    assert events[-1].usage.total_tokens == 8


async def test_first_event_leaves_before_the_second_arrives(pair: Pair) -> None:
    start = len(pair.provider.requests)
    pair.provider.reply_with(stream(*EVENTS[:2], STALL))

    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, CHAT, chat(stream=True)))
        assert await exchange.head() == 200
        assert exchange.headers["content-type"] == "text/event-stream; charset=utf-8"
        await exchange.until(FIRST_WORD)

        assert not pair.provider.requests[start].aborted.is_set()


def test_first_typed_event_leaves_before_the_second_arrives(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_with(stream(*EVENTS[:2], STALL))
    call = chat_stream(channel)

    seen = ""
    while "Hel" not in seen:
        seen += text_of([next(call)])

    assert not pair.provider.last.aborted.is_set()
    call.cancel()
    assert eventually(pair.provider.last.aborted.is_set)


async def test_cut_stream_ends_with_an_error_and_without_done(pair: Pair) -> None:
    pair.provider.reply_with(stream(*EVENTS[:3], 0.1, CUT))

    answer = await ask(pair.url, CHAT, chat(stream=True))

    assert answer.status == 200
    assert answer.body.count(b"data: ") == 4
    assert answer.body.split(b"\n\n")[-2].startswith(b'data: {"error":')
    assert b"[DONE]" not in answer.body


async def test_stream_cut_within_an_event_shows_nothing_of_that_event(pair: Pair) -> None:
    pair.provider.reply_with(stream(*EVENTS[:2], EVENTS[2][:-20], 0.1, CUT))

    answer = await ask(pair.url, CHAT, chat(stream=True))

    assert b'"content":"lo, "' not in answer.body
    assert answer.body.split(b"\n\n")[-2].startswith(b'data: {"error":')


async def test_cut_before_the_first_event_is_an_http_error(pair: Pair) -> None:
    pair.provider.reply_with(stream(CUT))

    answer = await ask(pair.url, CHAT, chat(stream=True))

    assert answer.status == 502
    assert answer.error["type"] == "upstream_error"


def test_typed_cut_is_unavailable_after_what_came(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_with(stream(*EVENTS[:3], 0.1, CUT))
    seen: list[str] = []

    failure = failure_of(lambda: seen.extend(text_of([chunk]) for chunk in chat_stream(channel)))

    assert "".join(seen) == "Hello, "
    assert failure.grpc == "UNAVAILABLE"
    assert failure.reason == "UPSTREAM_INTERRUPTED"
