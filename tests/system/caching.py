"""Asks a gateway the same again, and reads what its answers, its metrics and its store say of the cache. It asserts
nothing of what they say.
"""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import urllib.request
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.edge.gateway import running_gateway
from tests.fakes.provider import FakeProvider
from tests.system.pair import OUR_KEY, Pair, eventually
from tests.system.wire import JSON_TYPE, Headers, Response, ask

CHAT = "/v1/chat/completions"
WEEK_S = 604_800
FACTS = ("x-isthmus-cache", "x-bt-cached", "age", "cache-control")
LIMIT_S = 5.0
ALWAYS = ("x-isthmus-cache", "always")
numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an answer says of the cache."""

    cache: str | None
    older: str | None
    """The header of the older name."""
    age: int | None
    control: frozenset[str]
    """The directives of `cache-control`."""

    @property
    def max_age(self) -> int | None:
        """How long the answer is kept."""
        return next((int(each[8:]) for each in self.control if each.startswith("max-age=")), None)


def told(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Told:
    """Read headers, or metadata."""
    said = {name: value for name, value in dict(pairs).items() if name in FACTS}
    control = (each.strip() for each in said.get("cache-control", "").split(","))
    return Told(
        cache=said.get("x-isthmus-cache"),
        older=said.get("x-bt-cached"),
        age=int(said["age"]) if "age" in said else None,
        control=frozenset(each for each in control if each),
    )


def status_of(answer: Response) -> tuple[int, str | None]:
    """How a call ended, and what the cache did for it."""
    return answer.status, answer.headers.get("x-isthmus-cache")


HIT, MISS, BYPASS = (200, "HIT"), (200, "MISS"), (200, "BYPASS")


def fresh_text() -> str:
    """A prompt that nobody has asked before."""
    return f"prompt {random.getrandbits(64):016x} {next(numbers)}"


def chat_body(text: str, **members: Any) -> dict[str, Any]:
    """A chat that is cached when nothing is said, unless members are."""
    return {"model": "ok", "messages": [{"role": "user", "content": text}], "temperature": 0, **members}


def headers_of(token: str | None, *more: tuple[str, str]) -> Headers:
    """The headers of a JSON call, of an anonymous one if there is no token."""
    return (*JSON_TYPE, *((("authorization", f"Bearer {token}"),) if token is not None else ()), *more)


async def post(
    pair: Pair, body: Mapping[str, Any] | bytes, *more: tuple[str, str], path: str = CHAT, token: str | None = None
) -> Response:
    """Ask once, on a connection of its own: any worker may get it."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(pair.url, path, content, headers=headers_of(token, *more))


def asked(provider: FakeProvider, text: str) -> int:
    """How often a provider got a prompt."""
    return sum(text.encode() in each.body for each in list(provider.requests))


def metric(pair: Pair, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, over all workers."""
    with urllib.request.urlopen(f"{pair.gateway.admin_url}/metrics", timeout=LIMIT_S) as answer:
        text = answer.read().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def faults(pair: Pair) -> float:
    """How often the shared store did not do what it was asked."""
    return metric(pair, "isthmus_cache_store_errors_total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An entry in the file, as whoever steals it sees it."""

    name: bytes
    tenant: str
    model: str
    sealed: bytes


def rows(data: Path) -> list[Row]:
    """Read the file's entries, the oldest first."""
    query = "SELECT e.name, e.tenant, e.model, s.sealed FROM entries_1 AS e JOIN sealed_1 AS s USING (number)"
    with closing(sqlite3.connect(f"file:{data}/cache.db?mode=ro", uri=True, timeout=LIMIT_S)) as connection:
        found = connection.execute(f"{query} ORDER BY number").fetchall()
    return [Row(name=name, tenant=tenant, model=model, sealed=sealed) for name, tenant, model, sealed in found]


def change(data: Path, statement: str, *given: Any) -> int:
    """Change the file behind the gateway's back; tells how many rows."""
    with closing(sqlite3.connect(data / "cache.db", timeout=LIMIT_S)) as connection, connection:
        return connection.execute(statement, given).rowcount


def holds(data: Path, count: int) -> bool:
    """Wait until the file has so many entries: they are written soon after an answer, not before."""

    def there() -> bool:
        try:
            return len(rows(data)) >= count
        except sqlite3.OperationalError:
            return count == 0

    return eventually(there)


@contextmanager
def before(provider: FakeProvider, workers: int = 2, **settings: Any) -> Generator[Pair]:
    """Run a gateway before a provider that outlives it: what is kept is for where it came from."""
    openai = {"base_url": provider.url, "api_key": OUR_KEY, "endpoint": "main"}
    with running_gateway({"providers": {"openai": openai}, **settings}, workers) as gateway:
        yield Pair(gateway=gateway, provider=provider)
