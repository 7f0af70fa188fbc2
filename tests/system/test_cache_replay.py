"""A hit is the answer that was given, told again: to OpenAI's own client library, to the byte, in the other form."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion

from tests.fakes.answers import Answer, sse, stream, whole
from tests.fakes.answers import chat_body as chat_answer
from tests.system.caching import HIT, MISS, asked, chat_body, fresh_text, post, status_of
from tests.system.pair import Pair, eventually, running_pair
from tests.system.ways import CALLS, wishing
from tests.system.wire import Response

pytestmark = pytest.mark.edge
HEAD = {"id": "chatcmpl-7", "created": 1712345678, "model": "ok-2024", "system_fingerprint": "fp_7"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"where":"hére"}'}}


def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return sse({**HEAD, "object": "chat.completion.chunk", "choices": [choice]})


def told(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def call_of(arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **more, "function": {"arguments": arguments} | more.get("function", {})}]}


WHOLES: Mapping[str, dict[str, Any]] = {
    "text": {**chat_answer("ok", "Hello, wörld 🌍"), **HEAD, "usage": USAGE},
    "two choices": {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {"index": index, "message": told(text), "finish_reason": "stop", "logprobs": None}
            for index, text in ((0, "one"), (1, "two"))
        ],
        "usage": USAGE,
    },
    "tool call": {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
                "finish_reason": "tool_calls",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
    },
}
STREAMS: Mapping[str, tuple[bytes, ...]] = {
    "text": (
        chunk(0, told("")), chunk(0, {"content": "Hello, "}), chunk(0, {"content": "wörld 🌍"}), chunk(0, {}, "stop"),
    ),
    "two choices": (
        *(chunk(index, told("")) for index in (0, 1)), chunk(0, {"content": "o"}), chunk(1, {"content": "tw"}),
        chunk(0, {"content": "ne"}), chunk(1, {"content": "o"}), chunk(0, {}, "stop"), chunk(1, {}, "stop"),
    ),
    "tool call": (
        chunk(0, {"role": "assistant", "content": None}),
        chunk(0, call_of("", id="call_1", type="function", function={"name": "look", "arguments": ""})),
        chunk(0, call_of('{"where":')), chunk(0, call_of('"hére"}')), chunk(0, {}, "tool_calls"),
    ),
}  # fmt: skip
KINDS = tuple(WHOLES)
END = sse(b"[DONE]")
OF_USAGE = sse({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})


def answer(kind: str, *, streams: bool, usage: bool = True) -> Answer:
    """The same answer in each form."""
    if not streams:
        return whole(WHOLES[kind])
    return stream(*STREAMS[kind], *((OF_USAGE,) if usage else ()), END)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(2, data=str(tmp_path_factory.mktemp("replay"))) as running:
        yield running


@pytest.fixture
async def client(pair: Pair) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{pair.url}/v1", api_key="sk-somebodys", max_retries=0) as opened:
        yield opened


def asking(text: str) -> dict[str, Any]:
    return {"model": "ok", "messages": [{"role": "user", "content": text}], "temperature": 0}


async def ask_whole(client: AsyncOpenAI, text: str) -> tuple[str, ChatCompletion]:
    raw = await client.chat.completions.with_raw_response.create(**asking(text))
    return raw.headers["x-isthmus-cache"], raw.parse()


async def ask_stream(client: AsyncOpenAI, text: str) -> tuple[str, ChatCompletion, int]:
    """What the client library itself puts together of a stream, and of how many chunks."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    raw = await client.chat.completions.with_raw_response.create(**asking(text), **options)
    status, count = raw.headers["x-isthmus-cache"], 0
    state = ChatCompletionStreamState()
    async for each in raw.parse():
        count += 1
        state.handle_chunk(each)
    return status, state.get_final_completion(), count


def facts(completion: ChatCompletion) -> dict[str, Any]:
    """What both forms of an answer must say."""
    known = completion.model_dump(exclude_none=True)
    usage = {name: known["usage"][name] for name in USAGE}
    choices = [
        (each["index"], each["message"].get("content"), each["finish_reason"], calls_of(each["message"]))
        for each in sorted(known["choices"], key=lambda choice: choice["index"])
    ]
    return {name: known[name] for name in ("id", "created", "model", "system_fingerprint")} | {
        "usage": usage, "choices": choices,
    }  # fmt: skip


def calls_of(message: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    calls = message.get("tool_calls") or []
    return [(each["id"], each["function"]["name"], each["function"]["arguments"]) for each in calls]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", ["whole", "stream"])
async def test_openais_client_gets_the_same_in_either_form(
    pair: Pair, client: AsyncOpenAI, kind: str, first: str
) -> None:
    text = fresh_text()
    pair.provider.reply_with(answer(kind, streams=first == "stream"))
    if first == "whole":
        given = [await ask_whole(client, text)]
        given += [(await ask_stream(client, text))[:2] for _ in range(4)]
    else:
        given = [(await ask_stream(client, text))[:2]]
        given += [await ask_whole(client, text) for _ in range(4)]

    assert [status for status, _ in given] == ["MISS", *["HIT"] * 4]
    expected = facts(ChatCompletion.model_validate(WHOLES[kind]))
    assert [facts(completion) for _, completion in given] == [expected] * 5
    assert asked(pair.provider, text) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_told_again_has_the_same_events(pair: Pair, client: AsyncOpenAI, kind: str) -> None:
    text = fresh_text()
    pair.provider.reply_with(answer(kind, streams=True))

    given = [await ask_stream(client, text) for _ in range(5)]

    assert [status for status, _, _ in given] == ["MISS", *["HIT"] * 4]
    assert {count for _, _, count in given} == {len(STREAMS[kind]) + 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("streams", [False, True])
async def test_the_same_form_is_repeated_to_the_byte(pair: Pair, kind: str, streams: bool) -> None:
    body = chat_body(fresh_text(), stream=streams)
    pair.provider.reply_with(answer(kind, streams=streams, usage=False))

    answers = [await post(pair, body) for _ in range(8)]

    assert [status_of(each) for each in answers] == [MISS, *[HIT] * 7]
    assert len({each.body for each in answers}) == 1
    assert {each.headers["content-type"] for each in answers} == {answers[0].headers["content-type"]}
    if streams:
        assert answers[0].body == b"".join((*STREAMS[kind], END))
    else:
        assert answers[0].json() == WHOLES[kind]


@pytest.mark.parametrize("usage", [False, True])
async def test_usage_is_in_a_stream_if_it_was_asked_for(pair: Pair, usage: bool) -> None:
    text = fresh_text()
    options = [{}, {"stream_options": {"include_usage": True}}]
    pair.provider.reply_with(answer("text", streams=True))
    first = await post(pair, chat_body(text, stream=True, **options[usage]))
    other = [await post(pair, chat_body(text, stream=True, **options[not usage])) for _ in range(4)]

    assert status_of(first) == MISS
    assert {status_of(each) for each in other} == {HIT}
    assert usage_of(first) == (USAGE if usage else None)
    assert [usage_of(each) for each in other] == [None if usage else USAGE] * 4
    assert all(each.body.endswith(END) for each in other)


def usage_of(answer: Response) -> Any:
    """The one that a stream tells."""
    events = [line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    return next((told for event in events if (told := json.loads(event).get("usage"))), None)


async def test_headers_that_were_true_once_are_not_repeated(pair: Pair) -> None:
    body = chat_body(fresh_text())
    once = (("x-ratelimit-remaining-requests", "99"), ("retry-after", "3"), ("openai-processing-ms", "7"))
    pair.provider.reply_with(whole(WHOLES["text"], headers=once))
    first, *others = [await post(pair, body) for _ in range(5)]

    assert first.headers["x-ratelimit-remaining-requests"] == "99"
    for each in others:
        assert not any(name.startswith("x-ratelimit-") or name == "retry-after" for name in each.headers)
        assert each.headers["x-isthmus-endpoint"] == first.headers["x-isthmus-endpoint"]
        assert each.headers["x-request-id"] != first.headers["x-request-id"]


async def test_grpc_streams_and_wholes_serve_each_other(pair: Pair) -> None:
    for first, other in (("grpc chat", "grpc chat stream"), ("grpc chat stream", "grpc chat")):
        text = fresh_text()
        async with wishing(pair.url, pair.gateway.grpc_target) as wish:
            given = [
                await CALLS[way](wish(text=text, more=(("x-isthmus-cache", "always"),)))
                for way in (first, first, other, other, first)
            ]

        assert [dict(each.headers)["x-isthmus-cache"] for each in given] == ["MISS", "HIT", "HIT", "HIT", "HIT"]
        assert given[0].body == given[1].body == given[4].body
        assert given[2].body == given[3].body
        assert all(b"Hel" in each.body and b"chatcmpl-fake" in each.body for each in given)
        assert asked(pair.provider, text) == 1


async def test_records_tell_what_the_cache_did(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = fresh_text()
    body = chat_body(text)
    never = ("x-isthmus-cache", "never")
    for number, more in enumerate(((), (), (never,))):
        await post(pair, body, ("x-request-id", f"{text[7:23]}-{number}"), *more)
    await post(pair, {"prompt": text}, ("x-request-id", f"{text[7:23]}-3"), path="/v1/images/generations")

    def found() -> list[dict[str, Any]]:
        argv = [sys.executable, "-m", "isthmusd.cli", "records", "--limit", "200", "--json"]
        environ = {**os.environ, "ISTHMUS_DATA": str(data_of(tmp_path_factory))}
        done = subprocess.run(argv, env=environ, capture_output=True, timeout=60, check=True)
        records = [each for each in json.loads(done.stdout) if each["request_id"].startswith(text[7:23])]
        return sorted(records, key=lambda each: each["request_id"])

    assert await asyncio.to_thread(eventually, lambda: len(found()) == 4, 30)
    records = await asyncio.to_thread(found)
    assert [each["cache"] for each in records] == ["MISS", "HIT", "BYPASS", None]
    assert records[0]["usage"] == records[1]["usage"]
    assert [len(each["attempts"]) for each in records[:3]] == [1, 0, 1]
    assert {each["status"] for each in records} == {200}


def data_of(factory: pytest.TempPathFactory) -> Path:
    return next(factory.getbasetemp().glob("replay*"))
