"""Nothing wrong is ever kept: whatever a provider, the way to it or the caller breaks, the next one who asks is
answered anew, and only a good answer serves the one after him."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.answers import CUT, Answer, chat_body, chat_events, error, raw, sse, stream, whole
from tests.system import caching
from tests.system.caching import ALWAYS, CHAT, HIT, MISS, asked, fresh_text, headers_of, holds, post, rows, status_of
from tests.system.pair import Pair, running_pair
from tests.system.ways import CALLS, Heard, wishing
from tests.system.wire import connected, request

pytestmark = pytest.mark.edge
WAYS = ("http chat", "http chat stream", "grpc chat", "grpc chat stream")
STREAMS = tuple(way for way in WAYS if way.endswith("stream"))
WHOLES = tuple(way for way in WAYS if way not in STREAMS)
EVENTS = chat_events("ok")
GOOD = chat_body("ok")
TOLD = {"error": {"message": "The engine stopped.", "type": "server_error", "param": None, "code": "engine"}}
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
BREATH_S = 0.05


def coded(status: int, *headers: tuple[str, str]) -> Answer:
    return error(status, "No.", "some_error", "some_code", *headers)


def ended(word: str) -> dict[str, object]:
    """Give an answer whose generation ended with a word."""
    return {**GOOD, "choices": [{**GOOD["choices"][0], "finish_reason": word}]}


SHORT = raw(JSON_HEAD + b"content-length: 4000\r\n\r\n" + b'{"id": "chatcmpl-fake"}')
EITHER: Mapping[str, Answer] = {
    **{f"status {status}": coded(status) for status in (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504)},
    **{f"status {status}": coded(status, ("location", "/v1/elsewhere")) for status in (301, 302, 307)},
    "an error with a good status": whole(TOLD),
    "an error beside no choices": whole({**GOOD, "choices": [], **TOLD}),
    "an error beside null": whole({"id": "", "choices": None, **TOLD}),
    "an error without its name": whole({"object": "error", "message": "overloaded", "code": 50001}),
    "a page": Answer(headers=(("content-type", "text/html"),), pieces=(b"<html>Hello</html>",)),
    "nothing": raw(),
    "no body": whole(b""),
}
WHOLE: Mapping[str, Answer] = {
    **EITHER,
    "a short body": SHORT,
    "a cut body": Answer(headers=(("content-type", "application/json"),), pieces=(b'{"id": "chat', BREATH_S, CUT)),
    "half an object": whole(b'{"id": "chatcmpl-fake", "choices": ['),
    "a list": whole([]),
    "no choices": whole({**GOOD, "choices": []}),
    "a later answer": whole({"request_id": "later"}),
    "an error beside a choice": whole({**GOOD, **TOLD}),
    "an abort": whole(ended("abort")),
    "too few resources": whole(ended("insufficient_system_resource")),
}
STREAM: Mapping[str, Answer] = {
    **EITHER,
    "no end": stream(*EVENTS[:3]),
    "a finish without an end": stream(*EVENTS[:-1]),
    "a cut stream": stream(*EVENTS[:3], BREATH_S, CUT),
    "a cut event": stream(*EVENTS[:2], EVENTS[2][:20]),
    "a connection that closes": raw(SSE_HEAD + b"connection: close\r\n\r\n" + b"".join(EVENTS[:3])),
    "no last chunk": raw(SSE_HEAD + b"transfer-encoding: chunked\r\n\r\n8\r\n" + EVENTS[0][:8] + b"\r\n"),
    "an error in it": stream(*EVENTS[:2], sse(TOLD)),
    "an error, then an end": stream(*EVENTS[:2], sse(TOLD), EVENTS[-1]),
    "an error first, then an end": stream(sse(TOLD), EVENTS[-1]),
    "a broken event": stream(*EVENTS[:2], b'data: {"id": "chatcmpl-fake", \n\n', EVENTS[-1]),
    "no event at all": stream(),
    "an abort": stream(*EVENTS[:-2], EVENTS[-2].replace(b'"stop"', b'"abort"'), EVENTS[-1]),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    pair: Pair
    data: Path

    async def ask(self, way: str, text: str) -> Heard:
        gateway = self.pair.gateway
        async with wishing(gateway.url, gateway.grpc_target) as wish:
            return await CALLS[way](wish(text=text, more=(ALWAYS,)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    data = tmp_path_factory.mktemp("cache")
    with running_pair(2, data=str(data)) as pair:
        yield Kept(pair=pair, data=data)


def cache_of(heard: Heard) -> str | None:
    return dict(heard.headers).get("x-isthmus-cache")


@pytest.mark.parametrize(
    ("way", "fault"),
    [*((way, fault) for way in WHOLES for fault in WHOLE), *((way, fault) for way in STREAMS for fault in STREAM)],
)
async def test_what_a_provider_breaks_is_not_kept(kept: Kept, way: str, fault: str) -> None:
    text, provider = fresh_text(), kept.pair.provider
    provider.reply_always((STREAM if way in STREAMS else WHOLE)[fault])
    broken = await kept.ask(way, text)
    count = asked(provider, text)
    provider.reply_always(None)
    mended = await kept.ask(way, text)
    again = await kept.ask(way, text)

    assert count >= 1
    assert cache_of(broken) != "HIT"
    assert (mended.is_good, cache_of(mended)) == (True, "MISS")
    assert (again.is_good, cache_of(again), again.body) == (True, "HIT", mended.body)
    assert asked(provider, text) == count + 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("cookies", "serves"),
    [
        (("sid=s3cr3t; Path=/; HttpOnly",), False),
        (("__cf_bm=edge; Path=/", "sid=s3cr3t"), False),
        (("__cf_bm=edge; Path=/; HttpOnly; Secure",), True),
        (("_cfuvid=edge", "AWSALB=edge; Path=/"), True),
    ],
)
async def test_an_answer_that_is_somebodys_own_is_not_kept(
    kept: Kept, way: str, cookies: tuple[str, ...], serves: bool
) -> None:
    text, provider = fresh_text(), kept.pair.provider
    set_cookies = tuple(("set-cookie", each) for each in cookies)
    good = stream(*EVENTS, headers=set_cookies) if way in STREAMS else whole(GOOD, headers=set_cookies)
    provider.reply_always(good)
    heard = [await kept.ask(way, text) for _ in range(3)]
    provider.reply_always(None)

    assert [cache_of(each) for each in heard] == (["MISS", "HIT", "HIT"] if serves else ["MISS"] * 3)
    assert all(each.is_good for each in heard)
    for each in heard:
        assert "set-cookie" not in dict(each.headers)
        assert b"s3cr3t" not in each.everything
        assert b"edge" not in each.everything


@pytest.mark.parametrize("at", [0, 1, 3, len(EVENTS) - 1])
async def test_a_stream_that_its_only_reader_left_is_not_kept(kept: Kept, at: int) -> None:
    text, provider = fresh_text(), kept.pair.provider
    body = caching.chat_body(text, stream=True)
    provider.reply_always(stream(*EVENTS[:at], 5.0, *EVENTS[at:]))
    count = len(provider.requests)
    async with connected(kept.pair.url) as exchange:
        await exchange.send(request(kept.pair.url, CHAT, json.dumps(body).encode(), headers=headers_of(None)))
        if at:
            await exchange.head()
            await exchange.until(b'"role"')
        else:
            await asyncio.to_thread(caching.eventually, lambda: len(provider.requests) > count)
        exchange.leave()
    (asking,) = [each for each in provider.requests if text.encode() in each.body]
    left = await asyncio.to_thread(caching.eventually, lambda: asking.aborted_at is not None)
    provider.reply_always(None)
    mended = await post(kept.pair, body)
    again = await post(kept.pair, body)

    assert left
    assert [status_of(mended), status_of(again)] == [MISS, HIT]
    assert mended.body == again.body
    assert mended.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_of_more_than_an_entry_is_given_whole_and_not_kept(tmp_path: Path, way: str) -> None:
    long = "word " * 4000
    pieces = [EVENTS[0], *[sse(chunk(long[at : at + 500])) for at in range(0, len(long), 500)], *EVENTS[-2:]]
    big = stream(*pieces) if way in STREAMS else whole(chat_body("ok", long))
    with running_pair(2, data=str(tmp_path), cache={"entry_bytes": 4096}) as pair:
        kept, big_text, small_text = Kept(pair=pair, data=tmp_path), fresh_text(), fresh_text()
        pair.provider.reply_always(big)
        heard = [await kept.ask(way, big_text) for _ in range(3)]
        pair.provider.reply_always(None)
        small = [await kept.ask(way, small_text) for _ in range(2)]
        written = await asyncio.to_thread(holds, tmp_path, 1)

        assert [cache_of(each) for each in heard] == ["MISS"] * 3
        assert asked(pair.provider, big_text) == 3
        assert all(each.is_good for each in heard)
        assert all(each.body.count(b"word ") == 4000 for each in heard)
        assert [cache_of(each) for each in small] == ["MISS", "HIT"]
        assert written
        assert len(rows(tmp_path)) == 1


def chunk(text: str) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "ok", "choices": [choice]}


STRICT = ("x-isthmus-strict", "true")


async def test_a_strict_call_gets_no_answer_with_losses() -> None:
    claude = {"dialect": "anthropic", "api_key": "claude-key", "models": ["claude"]}
    with running_pair(providers={"far": claude}) as pair:
        pair.provider.reply_always(whole(CLAUDE))
        body = caching.chat_body(fresh_text(), model="far/claude", logit_bias={"7": 1})
        first = await post(pair, body)
        second = await post(pair, body)
        strict = await post(pair, body, STRICT)
        third = await post(pair, body)

        assert [status_of(each) for each in (first, second, third)] == [MISS, HIT, HIT]
        assert strict.status == 400
        assert strict.error["code"] == "unsupported_feature"
        assert {each.headers["x-isthmus-losses"] for each in (first, second, third)} == {
            first.headers["x-isthmus-losses"]
        }


CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 3},
}
