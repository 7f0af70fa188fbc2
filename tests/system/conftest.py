"""One gateway with default limits for all tests that do not need limits of their own."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.fakes.provider import FakeProvider
from tests.system.pair import Pair, running_pair

SETTINGS = {
    "providers": {"box": {"dialect": "openai", "api_key": "box-key", "models": ["tiny"]}},
    "models": {"fast": {"provider": "openai", "model": "ok"}},
}


@pytest.fixture(scope="session")
def shared_pair() -> Iterator[Pair]:
    with running_pair(**SETTINGS) as running:
        yield running


@pytest.fixture
def pair(shared_pair: Pair) -> Iterator[Pair]:
    """The shared pair, with nothing scripted by tests before."""
    shared_pair.provider.reply_always(None)
    yield shared_pair
    shared_pair.provider.reply_always(None)


@pytest.fixture
def provider(pair: Pair) -> FakeProvider:
    return pair.provider


@pytest.fixture
def channel(pair: Pair) -> Iterator[grpc.Channel]:
    with pair.channel() as opened:
        yield opened
