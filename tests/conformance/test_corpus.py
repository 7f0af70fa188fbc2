"""Runs the whole corpus over HTTP and over gRPC against one gateway and holds both to the same expectations. What a
case means is said in `tests/conformance/corpus.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import grpc
import pytest

from tests.conformance import over_grpc, over_http
from tests.conformance.corpus import Case, load_cases, params
from tests.conformance.outcome import Outcome, differences
from tests.conformance.typed import STREAMING
from tests.conformance.upstream import scripted
from tests.system.pair import Pair, closed_port, running_pair

CASES = load_cases()
WEAK = {"stream_options": False, "stream_ends_with_done": False}
PROVIDERS = {
    "box": {"dialect": "openai", "api_key": "box-key", "models": ["tiny"], "accepts": WEAK},
    "mistral": {},
    "dead": {"api_key": "dead-key", "base_url": f"http://127.0.0.1:{closed_port()}/v1"},
}
"""`mistral` needs a key that the gateway does not have."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    aliases = {"fast": {"provider": "openai", "model": "alias"}}
    with running_pair(providers=PROVIDERS, models=aliases) as running:
        yield running


@pytest.fixture(scope="module")
def channel(pair: Pair) -> Iterator[grpc.Channel]:
    with pair.channel() as opened:
        yield opened


@pytest.mark.edge
@pytest.mark.parametrize("case", params(CASES, "http"), ids=lambda case: case.name)
async def test_case_over_http(case: Case, pair: Pair) -> None:
    start = prepare(case, pair)

    outcome = await over_http.run(case, pair.url)

    check(case, outcome, pair, start)


@pytest.mark.edge
@pytest.mark.parametrize("case", params(CASES, "grpc"), ids=lambda case: case.name)
def test_case_over_grpc(case: Case, pair: Pair, channel: grpc.Channel) -> None:
    start = prepare(case, pair)

    outcome = over_grpc.run(case, channel)

    check(case, outcome, pair, start)


def test_corpus_is_as_wide_as_promised() -> None:
    groups = Counter(case.group for case in CASES)
    names = Counter(case.name for case in CASES)

    assert sum(groups.values()) >= 80
    assert all(groups[group] >= 10 for group in ("errors", "streams", "tools", "usage")), groups
    assert max(names.values()) == 1, names.most_common(3)


def prepare(case: Case, pair: Pair) -> int:
    """Script the provider; give the number of requests that it has had."""
    pair.provider.reply_always(None if case.upstream is None else scripted(case.upstream))
    return len(pair.provider.requests)


def check(case: Case, outcome: Outcome, pair: Pair, start: int) -> None:
    sees_usage = outcome.protocol == "grpc" or case.asks_usage
    found = differences(case.expect, outcome, sees_usage=sees_usage)
    found += _sent_differences(case, [received.json() for received in pair.provider.requests[start:]])
    assert not found, "\n".join(found)


def _sent_differences(case: Case, sent: list[dict[str, object]]) -> list[str]:
    """Compare what the provider got with what the caller asked for, in whatever protocol."""
    if case.upstream is None or case.sent == "any":
        return [f"the provider was asked, and should not have been: {sent}"] if sent and case.upstream is None else []
    if not sent:
        return ["the provider was not asked"]
    body = sent[-1]
    found = [] if body.get("stream", False) is case.is_stream else [f"stream: the provider got {body.get('stream')!r}"]
    if isinstance(case.sent, dict):
        return found + [
            f"sent {name}: {body.get(name)!r}" for name, wanted in case.sent.items() if body.get(name) != wanted
        ]
    wanted = {"model": case.upstream_model} | case.request
    names = (wanted.keys() | body.keys()) - set(STREAMING)
    return found + [
        f"sent {name}: asked for {wanted.get(name, 'nothing')!r}, the provider got {body.get(name, 'nothing')!r}"
        for name in sorted(names)
        if wanted.get(name, "nothing") != body.get(name, "nothing")
    ]
