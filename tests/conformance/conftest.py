"""One gateway with providers of every dialect, for all tests of dialects. The corpus in OpenAI's own has another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.dialects import load_dialects
from tests.system.pair import Pair, closed_port, running_pair


@pytest.fixture(scope="session")
def session_pair() -> Iterator[Pair]:
    dead = f"http://127.0.0.1:{closed_port()}/v1"
    dialects = load_dialects()
    providers = {name: given for dialect in dialects for name, given in dialect.providers(dead).items()}
    aliases = {name: given for dialect in dialects for name, given in dialect.aliases.items()}
    # Nothing is fetched: URLs in the corpus are other people's.
    with running_pair(providers=providers, models=aliases, media={"fetch": False}) as running:
        yield running


@pytest.fixture
def dialect_pair(session_pair: Pair) -> Iterator[Pair]:
    """The gateway, with nothing scripted by tests before."""
    session_pair.provider.reply_always(None)
    yield session_pair
    session_pair.provider.reply_always(None)
