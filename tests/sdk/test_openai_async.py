"""The official OpenAI SDK for Python, unchanged and asynchronous, against Envoy."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.answers import TEXT, WORDS
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


async def test_chat(async_client: openai.AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="ok", messages=HELLO)

    assert answer.choices[0].message.content == TEXT


async def test_chat_stream(async_client: openai.AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(model="ok", messages=HELLO, stream=True)

    words = [chunk.choices[0].delta.content async for chunk in stream]

    assert [word for word in words if word] == list(WORDS)


async def test_many_streams_at_once_do_not_mix(async_client: openai.AsyncOpenAI) -> None:
    async def ask(number: int) -> str:
        text = f"number {number}"
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
        stream = await async_client.chat.completions.create(model="openai/echo", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    echoes = await asyncio.gather(*(ask(number) for number in range(50)))

    assert all(f'"number {number}"' in echo for number, echo in enumerate(echoes))


async def test_raw_response(async_client: openai.AsyncOpenAI) -> None:
    raw = await async_client.chat.completions.with_raw_response.create(model="ok", messages=HELLO)

    assert raw.headers["x-request-id"]
    assert raw.parse().choices[0].message.content == TEXT


async def test_completion_embedding_and_models(async_client: openai.AsyncOpenAI) -> None:
    completion = await async_client.completions.create(model="ok", prompt="Say hello.")
    embedding = await async_client.embeddings.create(model="ok", input=[[1212, 318]], dimensions=3)
    models = [model.id async for model in async_client.models.list()]

    assert completion.choices[0].text == TEXT
    assert len(embedding.data[0].embedding) == 3
    assert "fast" in models


async def test_file_upload_and_speech(async_client: openai.AsyncOpenAI, pair: Pair) -> None:
    await async_client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    body = pair.provider.last.body
    sound = await async_client.audio.speech.create(model="ok", voice="alloy", input="Hello")

    assert b"{}\n" in body
    assert len(await sound.aread()) == 256 * 64 * 4


async def test_leaving_a_stream_frees_the_provider(async_client: openai.AsyncOpenAI, pair: Pair) -> None:
    start = len(pair.provider.requests)
    stream = await async_client.chat.completions.create(model="stall", messages=HELLO, stream=True)
    async for chunk in stream:
        if chunk.choices[0].delta.content == WORDS[1]:  # the last one before the silence
            break

    await stream.close()

    received = pair.provider.requests[start]
    async with asyncio.timeout(5):
        while not received.aborted.is_set():  # noqa: ASYNC110 the event lives in the provider's loop
            await asyncio.sleep(0.01)
