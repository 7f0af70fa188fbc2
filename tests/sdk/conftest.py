"""One gateway for all tests of the SDKs. The provider behind it answers by the model's name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import openai
import pytest

from tests.system.pair import Pair, running_pair

KEY = "sk-anything"
"""The gateway's own key wins over it: access is anonymous here."""


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    with running_pair(providers={"mistral": {}}, models={"fast": {"provider": "openai", "model": "ok"}}) as up:
        yield up


@pytest.fixture
def client(pair: Pair) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{pair.url}/v1", api_key=KEY, max_retries=0, timeout=30.0) as sdk:
        yield sdk


@pytest.fixture
async def async_client(pair: Pair) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{pair.url}/v1", api_key=KEY, max_retries=0, timeout=30.0) as sdk:
        yield sdk
