"""The built-in provider, as a client of an OpenAI-compatible host would see it."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from typing import Any

import msgspec
import pytest
from isthmusd.core.errors import Garbled, Misconfigured
from isthmusd.core.request import Outbound
from isthmusd.upstream.demo_answers import MAX_WORDS
from isthmusd.upstream.options import UpstreamOptions
from isthmusd.upstream.registry import Upstreams

from tests.fakes.provider import FakeProvider

LIMIT = 2**20
HELLO = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello  big world"}]


def outbound_of(path: str, body: Any = None, method: str = "POST") -> Outbound:
    content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
    return Outbound(method=method, url=f"demo:/v1{path}", headers=(), body=content)


async def ask(path: str, body: Any = None, method: str = "POST") -> tuple[int, Any]:
    async with Upstreams() as upstreams, upstreams.send(outbound_of(path, body, method)) as reply:
        return reply.status, msgspec.json.decode(await reply.read(LIMIT))


async def events_of(path: str, body: Any) -> list[bytes]:
    pieces: list[bytes] = []
    outbound = outbound_of(path, body | {"stream": True})
    async with Upstreams(UpstreamOptions(demo_delay_s=0)) as upstreams, upstreams.send(outbound) as reply:
        assert reply.headers["content-type"] == ["text/event-stream"]
        while piece := await reply.next_chunk():
            assert piece.startswith(b"data: ")
            assert piece.endswith(b"\n\n")
            pieces.append(piece.removeprefix(b"data: ").strip())
    return pieces


@pytest.mark.parametrize("model", ["demo/echo", "echo"])
async def test_chat_repeats_the_last_user_message_and_says_who_it_is(model: str) -> None:
    status, answer = await ask("/chat/completions", {"model": model, "messages": HELLO})

    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "demo/echo"
    [choice] = answer["choices"]
    assert choice["message"]["content"].startswith("You said: Hello  big world\n\n")
    assert "demo provider" in choice["message"]["content"]
    assert "OPENAI_API_KEY" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    words = len(choice["message"]["content"].split())
    assert answer["usage"] == {"prompt_tokens": 5, "completion_tokens": words, "total_tokens": 5 + words}


async def test_streamed_chat_says_the_same_word_by_word() -> None:
    request = {"model": "demo/echo", "messages": HELLO}
    _, whole = await ask("/chat/completions", request)

    *events, done = await events_of("/chat/completions", request)

    chunks = [msgspec.json.decode(event) for event in events]
    assert done == b"[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in chunk for chunk in chunks)


async def test_streamed_usage_comes_only_if_asked_for() -> None:
    request = {"model": "demo/echo", "messages": HELLO, "stream_options": {"include_usage": True}}

    *events, last, _done = [e for e in await events_of("/chat/completions", request)]

    assert all(msgspec.json.decode(event)["usage"] is None for event in events)
    report = msgspec.json.decode(last)
    assert report["choices"] == []
    assert report["usage"]["prompt_tokens"] == 5


async def test_several_choices_and_a_length() -> None:
    request = {"model": "demo/echo", "messages": HELLO, "n": 2, "max_tokens": 3}

    _, answer = await ask("/chat/completions", request)
    *events, _done = await events_of("/chat/completions", request)

    assert [c["message"]["content"] for c in answer["choices"]] == ["You said: Hello  "] * 2
    assert {c["finish_reason"] for c in answer["choices"]} == {"length"}
    assert answer["usage"]["completion_tokens"] == 6
    chunks = [msgspec.json.decode(event)["choices"][0] for event in events]
    assert [c["finish_reason"] for c in chunks if c["finish_reason"]] == ["length", "length"]
    assert {c["index"] for c in chunks} == {0, 1}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/embeddings", {"model": "embed", "input": ["x"] * 20_000}, "input"),
        ("/embeddings", {"model": "embed", "input": ["x"] * 300, "dimensions": 4096}, "input"),
        ("/completions", {"model": "echo", "prompt": ["x"] * 2000}, "prompt"),
    ],
)
async def test_more_than_the_loop_has_time_for_is_refused(path: str, body: Any, param: str) -> None:
    status, answer = await ask(path, body)

    assert (status, answer["error"]["param"]) == (400, param)


async def test_a_very_long_echo_ends_early() -> None:
    request = {"model": "echo", "messages": [{"role": "user", "content": "a " * 200_000}], "n": 4}

    _, answer = await ask("/chat/completions", request)

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == MAX_WORDS


async def test_content_parts_are_read() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "x"}}]

    _, answer = await ask("/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": parts}]})

    assert answer["choices"][0]["message"]["content"].startswith("You said: one\n")


@pytest.mark.parametrize(
    ("prompt", "said"), [("Hi", ["Hi"]), (["a", "b"], ["a", "b"]), ([1, 2], ["1 2"]), ([[1], [2, 3]], ["1", "2 3"])]
)
async def test_completion_takes_every_form_of_prompt(prompt: Any, said: list[str]) -> None:
    request = {"model": "demo/echo", "prompt": prompt, "max_tokens": 2 + len(said[-1].split())}

    _, answer = await ask("/completions", request)
    *events, _done = await events_of("/completions", request)

    assert answer["object"] == "text_completion"
    texts = [choice["text"].strip() for choice in answer["choices"]]
    assert [text.startswith(f"You said: {word}") for text, word in zip(texts, said, strict=True)] == [True] * len(said)
    streamed = [""] * len(said)
    for event in events:
        choice = msgspec.json.decode(event)["choices"][0]
        streamed[choice["index"]] += choice["text"]
    assert streamed == [choice["text"] for choice in answer["choices"]]


async def test_embeddings_are_unit_vectors_in_both_formats() -> None:
    request = {"model": "demo/embed", "input": ["a", "b", "a"]}

    _, floats = await ask("/embeddings", request)
    _, packed = await ask("/embeddings", request | {"encoding_format": "base64"})

    first, second, third = (entry["embedding"] for entry in floats["data"])
    assert len(first) == 64
    assert sum(x * x for x in first) == pytest.approx(1)
    assert first == third
    assert first != second
    assert [entry["index"] for entry in floats["data"]] == [0, 1, 2]
    assert floats["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    unpacked = struct.unpack("<64f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(unpacked) == pytest.approx(first)


async def test_embedding_obeys_dimensions() -> None:
    _, answer = await ask("/embeddings", {"model": "embed", "input": "a", "dimensions": 5})

    assert len(answer["data"][0]["embedding"]) == 5


async def test_models_are_listed() -> None:
    _, answer = await ask("/models", method="GET")

    assert [model["id"] for model in answer["data"]] == ["demo/echo", "demo/embed"]


async def test_same_request_gives_the_same_bytes() -> None:
    request = {"model": "demo/echo", "messages": HELLO}

    assert await events_of("/chat/completions", request) == await events_of("/chat/completions", request)


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/chat/completions", b"{", 400, None),
        ("/chat/completions", b'{"model": "\xff"}', 400, None),
        ("/chat/completions", {"model": "demo/echo"}, 400, "messages"),
        ("/chat/completions", {"model": "demo/echo", "messages": "hi"}, 400, "messages"),
        ("/chat/completions", {"model": "demo/echo", "messages": HELLO, "n": 0}, 400, "n"),
        ("/chat/completions", {"model": "demo/embed", "messages": HELLO}, 400, "model"),
        ("/chat/completions", {"model": "demo/other", "messages": HELLO}, 404, "model"),
        ("/completions", {"model": "demo/echo"}, 400, "prompt"),
        ("/completions", {"model": "demo/echo", "prompt": []}, 400, "prompt"),
        ("/embeddings", {"model": "demo/embed", "input": {"a": 1}}, 400, "input"),
        ("/embeddings", {"model": "demo/embed", "input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ("/embeddings", {"model": "demo/embed", "input": "a", "dimensions": 0}, 400, "dimensions"),
        ("/files", b"", 404, None),
    ],
)
async def test_bad_requests_get_an_openai_error(path: str, body: Any, status: int, param: str | None) -> None:
    got, answer = await ask(path, body)

    assert got == status
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param
    assert answer["error"]["message"]


async def test_stream_takes_real_time_and_can_be_cancelled() -> None:
    async with Upstreams(UpstreamOptions(demo_delay_s=0.02)) as upstreams:
        started_at = time.monotonic()
        outbound = outbound_of("/chat/completions", {"model": "echo", "messages": HELLO, "stream": True})
        async with upstreams.send(outbound) as reply:
            for _ in range(3):
                await reply.next_chunk()
            took_s = time.monotonic() - started_at
            waiting = asyncio.create_task(reply.next_chunk())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    assert took_s >= 0.05


async def test_answer_over_the_limit_is_garbled() -> None:
    async with Upstreams() as upstreams, upstreams.send(outbound_of("/models", method="GET")) as reply:
        with pytest.raises(Garbled):
            await reply.read(10)


async def test_scheme_chooses_the_means() -> None:
    async with FakeProvider() as provider, Upstreams() as upstreams:
        outbound = Outbound(method="GET", url=f"{provider.url}/models", headers=())

        async with upstreams.send(outbound) as reply:
            assert reply.status == 200
            await reply.read(LIMIT)
        with pytest.raises(Misconfigured):
            upstreams.send(Outbound(method="GET", url="file:///etc/passwd", headers=()))

    assert len(provider.requests) == 1
