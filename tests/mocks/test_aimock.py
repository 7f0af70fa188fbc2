"""Isthmus in front of a mock that nobody here wrote: chats whole and streamed, tools and their results, embeddings and
errors, in each wire format that `@copilotkit/aimock` has. It is installed from npm once; where that fails, so do these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.edge.gateway import Gateway, running_gateway
from tests.mocks.aimock import install, journal, running_aimock
from tests.system.background import in_background

pytestmark = [pytest.mark.edge, pytest.mark.timeout(180)]
TEXT = "Hello there, wörld 🌍: this is an answer of more than one piece."
VERTEX = "/v1/projects/p/locations/global"
CREDENTIALS = {"authorization", "x-api-key", "x-goog-api-key", "api-key", "x-amz-date"}
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
CHATS = (
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4-5",
    "google/gemini-2.5-flash",
    "vertex/gemini-2.5-flash",
    "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock-by-key/amazon.nova-lite-v1:0",
    "cohere/command-a-03-2025",
    "ollama/llama3.2",
)
THINKERS = CHATS[1:5]
"""Of OpenAI's the mock shows no thinking, and Cohere's it writes as text, which Cohere does not."""
EMBEDDERS = (
    "openai/text-embedding-3-small",
    "google/gemini-embedding-001",
    "cohere/embed-v4.0",
    "ollama/nomic-embed-text",
)


@asynccontextmanager
async def installed(folder: Path) -> AsyncIterator[str]:
    await install(folder)
    async with running_aimock(folder) as url:
        yield url


@pytest.fixture(scope="module")
def mock(pytestconfig: pytest.Config) -> Iterator[str]:
    with in_background(installed(pytestconfig.cache.mkdir("npm-aimock"))) as url:
        yield url


@pytest.fixture(scope="module")
def gateway(mock: str) -> Iterator[Gateway]:
    region = {"region": "us-east-1"}
    providers = {
        "openai": {"base_url": f"{mock}/v1", "api_key": "mock"},
        "anthropic": {"base_url": f"{mock}/v1", "api_key": "mock"},
        "google": {"base_url": f"{mock}/v1beta", "api_key": "mock"},
        "vertex": {"base_url": mock + VERTEX, "api_key": "mock"},
        "bedrock": {"base_url": mock, "params": region, "aws": KEYS},
        "bedrock-by-key": {"base_url": mock, "dialect": "bedrock", "api_key": "mock"},
        "cohere": {"base_url": f"{mock}/v2", "api_key": "mock"},
        "ollama": {"base_url": f"{mock}/v1"},
    }
    with running_gateway({"providers": providers}) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-any", max_retries=0, timeout=30) as sdk:
        yield sdk


def asking(text: str) -> list[Any]:
    return [{"role": "system", "content": "Be terse."}, {"role": "user", "content": text}]


@pytest.mark.parametrize("model", CHATS)
async def test_chat(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(model=model, messages=asking("Say hello."), max_tokens=100)

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("model", CHATS)
async def test_chat_stream(client: openai.AsyncOpenAI, model: str) -> None:
    async with client.chat.completions.stream(model=model, messages=asking("Say hello.")) as stream:
        said = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()

    assert "".join(said) == TEXT
    assert len(said) > 3
    assert final.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_parallel_tools_and_their_results(client: openai.AsyncOpenAI, model: str, streams: bool) -> None:
    ask: dict[str, Any] = {"model": model, "tools": TOOLS}
    messages = asking("What is the weather?")
    if streams:
        async with client.chat.completions.stream(messages=messages, **ask) as stream:
            first: Any = (await stream.get_final_completion()).choices[0]
    else:
        first = (await client.chat.completions.create(messages=messages, **ask)).choices[0]

    calls = first.message.tool_calls
    assert first.finish_reason == "tool_calls"
    assert [call.function.name for call in calls] == ["get_weather", "get_weather"]
    assert ["Zürich" in calls[0].function.arguments, "東京" in calls[1].function.arguments] == [True, True]
    assert len({call.id for call in calls}) == 2

    results = [{"role": "tool", "tool_call_id": call.id, "content": "14 °C"} for call in calls]
    told = [*messages, first.message.model_dump(exclude_none=True), *results]
    second = await client.chat.completions.create(messages=told, **ask)

    assert second.choices[0].message.content == "14 °C and 19 °C."


@pytest.mark.parametrize("model", CHATS)
async def test_error(client: openai.AsyncOpenAI, model: str) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model=model, messages=asking("This is too much."))

    assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("model", THINKERS)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_thinking(client: openai.AsyncOpenAI, model: str, streams: bool) -> None:
    ask: dict[str, Any] = {"model": model, "messages": asking("Please think.")}
    if streams:
        async with client.chat.completions.stream(**ask) as stream:
            message: Any = (await stream.get_final_completion()).choices[0].message
    else:
        message = (await client.chat.completions.create(**ask)).choices[0].message

    assert message.content == "42"
    assert message.reasoning_content == "Six times seven."


@pytest.mark.parametrize("model", EMBEDDERS)
async def test_embedding(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.embeddings.create(model=model, input="a vector")

    assert answer.data[0].embedding == [0.5, -0.25, 1.0]


async def test_every_provider_is_asked_in_its_own_format(client: openai.AsyncOpenAI, mock: str) -> None:
    for model in CHATS:
        await client.chat.completions.create(model=model, messages=asking("Say hello."))

    asked = (await journal(mock))[-len(CHATS) :]
    # The mock hides what credentials hold, and not that they are there.
    assert [(entry["path"], CREDENTIALS & entry["headers"].keys()) for entry in asked] == [
        ("/v1/chat/completions", {"authorization"}),
        ("/v1/messages", {"x-api-key"}),
        ("/v1beta/models/gemini-2.5-flash:generateContent", {"x-goog-api-key"}),
        (f"{VERTEX}/publishers/google/models/gemini-2.5-flash:generateContent", {"authorization"}),
        ("/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse", {"authorization", "x-amz-date"}),
        ("/model/amazon.nova-lite-v1%3A0/converse", {"authorization"}),
        ("/v2/chat", {"authorization"}),
        ("/v1/chat/completions", set()),
    ]
