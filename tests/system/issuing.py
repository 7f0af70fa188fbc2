"""A gateway of two workers with its back office, for tests that ask it for temporary credentials. It asserts nothing
of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from isthmusd.core.tenants import ForwardGrant

from tests.system.callers import Office
from tests.system.pair import Pair, eventually, running_pair
from tests.system.wire import JSON_TYPE, Headers, Response, ask

CREDENTIALS = "/v1/credentials"
WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A gateway of two workers, its back office, and the key of a tenant that may do everything."""

    pair: Pair
    office: Office
    key: str
    data: Path

    @property
    def url(self) -> str:
        return self.pair.url

    async def wish(self, token: str | None, **wish: Any) -> Response:
        """Ask for a credential over HTTP."""
        return await ask(self.url, CREDENTIALS, msgspec.json.encode(wish), headers=bearing(token))

    async def credential(self, token: str | None = None, **wish: Any) -> str:
        """Get a credential over HTTP, of the tenant's key unless told otherwise."""
        answer = await self.wish(token or self.key, **wish)
        assert answer.status == 200, answer
        return answer.json()["key"]


@contextmanager
def running_scene(data: Path, **settings: Any) -> Iterator[Scene]:
    """Run all of it on a folder of its own."""
    with Office(data) as office:
        office.tenant("acme", forward=ForwardGrant.SHARED)
        key = office.key("acme").token
        models = {"fast": {"provider": "openai", "model": "ok"}}
        with running_pair(WORKERS, **{"data": str(data), "models": models, **settings}) as pair:
            yield Scene(pair=pair, office=office, key=key, data=data)


def bearing(token: str | None, *more: tuple[str, str]) -> Headers:
    return (*JSON_TYPE, *((("authorization", f"Bearer {token}"),) if token is not None else ()), *more)


def metadata(token: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"), *more)


def record_of(scene: Scene, request_id: str) -> dict[str, Any]:
    """The one record of a call that has ended."""

    def records() -> list[dict[str, Any]]:
        lines = scene.pair.gateway.log.read_text().splitlines()
        found = [msgspec.json.decode(line) for line in lines if line.startswith("{") and request_id in line]
        return [line for line in found if line["event"] == "call"]

    assert eventually(lambda: bool(records())), "the call left no record"
    (record,) = records()
    return record


def fresh_id() -> str:
    return f"credential-{random.getrandbits(64):x}"
