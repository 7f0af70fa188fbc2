"""Every call leaves exactly one record with the right facts, whatever became of it; gauges come back to zero; no secret
is written down.
"""

from __future__ import annotations

import asyncio
import random
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import msgspec
import pytest

from tests.fakes.answers import STALL, Answer, chat_events, stream
from tests.system.pair import OUR_KEY, Pair, eventually
from tests.system.typed import chat_stream, chat_whole
from tests.system.wire import JSON_TYPE, Response, ask, chat, connected, request

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
EVENTS = chat_events("ok", include_usage=True)
SILENT = stream(*EVENTS[:2], STALL)


def records(pair: Pair, request_id: str) -> list[dict[str, Any]]:
    """The records of one call, so far."""
    lines = [line for line in pair.gateway.log.read_text().splitlines() if line.startswith("{") and request_id in line]
    return [line for line in map(msgspec.json.decode, lines) if line["event"] == "call"]


def the_record(pair: Pair, request_id: str) -> dict[str, Any]:
    """The one record of a call that has ended."""
    assert eventually(lambda: bool(records(pair, request_id))), "the call left no record"
    (record,) = records(pair, request_id)
    return record


def metrics(pair: Pair) -> dict[str, float]:
    with urllib.request.urlopen(f"{pair.gateway.admin_url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


def calls(pair: Pair) -> float:
    return sum(value for name, value in metrics(pair).items() if name.startswith("isthmus_calls_total"))


async def call(pair: Pair, body: bytes, request_id: str, **how: Any) -> Response:
    headers = (*JSON_TYPE, ("x-request-id", request_id))
    return await ask(pair.url, how.pop("path", CHAT), body, headers=headers, **how)


OUTCOMES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "whole": (chat(), {"status": 200, "end": "complete", "stream": False, "model": "ok", "error_code": None}),
    "stream": (chat(stream=True), {"status": 200, "end": "complete", "stream": True}),
    "alias": (chat("fast"), {"status": 200, "end": "complete", "model": "fast"}),
    "bad-json": (b"{", {"status": 400, "end": "refused", "model": None, "attempts": []}),
    "unknown-model": (chat("nosuch/x"), {"status": 404, "end": "refused", "error_code": "model_not_found"}),
    "throttled": (chat("r429"), {"status": 429, "end": "failed", "error_code": "rate_limit_exceeded"}),
    "provider-fails": (chat("e500"), {"status": 502, "end": "failed"}),
    "cut-stream": (
        chat("cut", stream=True),
        {"end": "interrupted", "stream": True, "error_code": "upstream_interrupted"},
    ),
}


@pytest.mark.parametrize(("body", "facts"), OUTCOMES.values(), ids=OUTCOMES.keys())
async def test_outcome_is_recorded(pair: Pair, body: bytes, facts: dict[str, Any]) -> None:
    request_id = f"record-{random.getrandbits(64):x}"
    before = calls(pair)

    await call(pair, body, request_id)
    record = await asyncio.to_thread(the_record, pair, request_id)

    assert {name: record[name] for name in facts} == facts
    assert record["surface"] == "openai"
    assert record["duration_s"] > 0
    assert await asyncio.to_thread(eventually, lambda: calls(pair) > before)


async def test_facts_of_an_attempt_and_usage(pair: Pair) -> None:
    await call(pair, chat(stream=True), "record-of-a-stream")

    record = await asyncio.to_thread(the_record, pair, "record-of-a-stream")

    (attempt,) = record["attempts"]
    assert (attempt["provider"], attempt["model"], attempt["status"]) == ("openai", "ok", 200)
    assert attempt["upstream_request_id"] == "req-fake"
    assert record["usage"]["total_tokens"] == 8, "counted although the caller did not ask"
    assert record["first_event_s"] <= record["duration_s"]


async def test_usage_is_estimated_where_the_provider_says_nothing(pair: Pair) -> None:
    pair.provider.reply_with(stream(*chat_events("ok")))

    await call(pair, chat(stream=True), "record-of-an-estimate")
    record = await asyncio.to_thread(the_record, pair, "record-of-an-estimate")

    assert record["usage"]["estimated"] is True
    assert record["usage"]["completion_tokens"] > 0


async def leave(pair: Pair, answer: Answer, body: bytes, request_id: str) -> None:
    start = len(pair.provider.requests)
    pair.provider.reply_with(answer)
    headers = (*JSON_TYPE, ("x-request-id", request_id))
    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, CHAT, body, headers=headers))
        assert await asyncio.to_thread(eventually, lambda: len(pair.provider.requests) > start)
        if answer is SILENT:
            await exchange.head()
            await exchange.until(b"Hel")


@pytest.mark.parametrize("answer", [SILENT, Answer(pieces=(STALL,), framing="raw")], ids=["in a stream", "before it"])
async def test_leaving_is_recorded(pair: Pair, answer: Answer) -> None:
    request_id = f"record-left-{random.getrandbits(64):x}"

    await leave(pair, answer, chat(stream=True), request_id)
    record = await asyncio.to_thread(the_record, pair, request_id)

    assert record["end"] == "cancelled"


def test_typed_calls_are_recorded(pair: Pair, channel: grpc.Channel) -> None:
    before = calls(pair)
    chat_whole(channel)
    list(chat_stream(channel))
    left = chat_stream(channel, "stall")
    next(left)
    left.cancel()

    assert eventually(lambda: calls(pair) == before + 3)


async def test_forward_and_models_are_recorded(pair: Pair) -> None:
    await call(pair, b"", "record-forward", path="/v1/files", method="GET")
    await call(pair, b"", "record-models", path="/v1/models", method="GET")

    forward = await asyncio.to_thread(the_record, pair, "record-forward")
    models = await asyncio.to_thread(the_record, pair, "record-models")

    assert (forward["operation"], forward["status"], forward["end"]) == ("forward", 200, "complete")
    assert (models["operation"], models["status"], models["end"]) == ("models", 200, "complete")


async def test_storm_leaves_nothing_behind(pair: Pair, channel: grpc.Channel) -> None:
    before, count = calls(pair), 150
    rng = random.Random(7)
    doings: list[Callable[[], Awaitable[object]]] = [
        lambda: ask(pair.url, CHAT, chat()),
        lambda: ask(pair.url, CHAT, chat(stream=True)),
        lambda: ask(pair.url, CHAT, chat("cut", stream=True)),
        lambda: ask(pair.url, CHAT, b'{"model":'),
        lambda: ask(pair.url, CHAT, chat("e500")),
        lambda: hang_up(pair, "stall"),
        lambda: asyncio.to_thread(chat_whole, channel),
        lambda: asyncio.to_thread(lambda: list(chat_stream(channel))),
    ]

    await asyncio.gather(*(rng.choice(doings)() for _ in range(count)))

    active = "isthmus_calls_active"
    assert await asyncio.to_thread(eventually, lambda: calls(pair) == before + count)
    assert await asyncio.to_thread(eventually, lambda: metrics(pair)[active] == 0)


async def hang_up(pair: Pair, model: str) -> None:
    async with connected(pair.url) as exchange:
        await exchange.send(request(pair.url, CHAT, chat(model, stream=True)))
        await exchange.head()


async def test_secrets_stay_out_of_logs_and_metrics(pair: Pair) -> None:
    secret = "sk-callers-very-own"
    headers = (*JSON_TYPE, ("authorization", f"Bearer {secret}"), ("x-request-id", "record-secret"))
    prompt = "the prompt itself is nobody's business"
    for model in ("ok", "e401", "e500", "html", "badjson"):
        await ask(pair.url, CHAT, chat(model, user=prompt), headers=headers)

    assert await asyncio.to_thread(eventually, lambda: len(records(pair, "record-secret")) == 5)
    said = pair.gateway.log.read_text()

    assert secret not in said
    assert OUR_KEY not in said
    assert prompt not in said
    assert OUR_KEY not in str(metrics(pair))
