"""Runs the corpus over HTTP and over gRPC against providers that speak other formats than OpenAI's: the same questions,
the same expectations, answered and read in the provider's own format by code that is none of the gateway's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.conformance import over_grpc, over_http
from tests.conformance.asked import sent_differences
from tests.conformance.corpus import Case, load_cases, params
from tests.conformance.dialects import WIRES, Dialect, load_dialects
from tests.conformance.outcome import Outcome, differences
from tests.conformance.upstream import spoken
from tests.system.pair import Pair

DIALECTS = load_dialects()
CASES = load_cases()


def runs(protocol: str) -> list[Any]:
    """Every case over every dialect that it makes sense for."""
    return [
        pytest.param(dialect, dialect.adapted(case), id=f"{dialect.name}-{case.name}")
        for dialect in DIALECTS
        for case in params(CASES, protocol)
        if not case.excepted(dialect.name) and not (case.operation == "embedding" and dialect.embedder is None)
    ]


@pytest.fixture
def pair(dialect_pair: Pair) -> Pair:
    return dialect_pair


@pytest.fixture(scope="module")
def channel(session_pair: Pair) -> Iterator[grpc.Channel]:
    with session_pair.channel() as opened:
        yield opened


@pytest.mark.edge
@pytest.mark.parametrize(("dialect", "case"), runs("http"))
async def test_case_over_http(dialect: Dialect, case: Case, pair: Pair) -> None:
    start = prepare(dialect, case, pair)

    outcome = await over_http.run(case, pair.url)

    check(dialect, case, outcome, pair, start)


@pytest.mark.edge
@pytest.mark.parametrize(("dialect", "case"), runs("grpc"))
def test_case_over_grpc(dialect: Dialect, case: Case, pair: Pair, channel: grpc.Channel) -> None:
    start = prepare(dialect, case, pair)

    outcome = over_grpc.run(case, channel)

    check(dialect, case, outcome, pair, start)


def test_every_dialect_has_most_of_the_corpus() -> None:
    counts = {dialect.name: sum(not case.excepted(dialect.name) for case in CASES) for dialect in DIALECTS}

    assert counts.keys() == WIRES.keys()
    assert all(count >= 100 for count in counts.values()), counts


def prepare(dialect: Dialect, case: Case, pair: Pair) -> int:
    """Script the provider; give the number of requests that it has had."""
    answer = None if case.upstream is None else spoken(case, case.upstream, dialect.wire)
    pair.provider.reply_always(answer)
    return len(pair.provider.requests)


def check(dialect: Dialect, case: Case, outcome: Outcome, pair: Pair, start: int) -> None:
    sees_usage = outcome.protocol == "grpc" or case.asks_usage
    found = [*differences(case.expect, outcome, sees_usage=sees_usage), *outcome.complaints]
    received = pair.provider.requests[start:]
    # A refused call has no headers that say what was lost, and its request is judged by the other cases.
    if outcome.error is None or outcome.error.inband:
        asked = [dialect.wire.asked(one) for one in received]
        found += sent_differences(case, dialect, asked, [one.body for one in received], list(outcome.losses))
    elif case.upstream is None and received:
        found.append("the provider was asked, and should not have been")
    assert not found, "\n".join(found)
