"""Whose answers are: nobody gets one that was made for another, and whoever may no longer call gets none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from isthmusd.core.administration import TenantWish
from isthmusd.core.tenants import ForwardGrant, Grants

from tests.fakes import jose
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.system.background import in_background
from tests.system.caching import ALWAYS, HIT, MISS, asked, chat_body, fresh_text, post, status_of
from tests.system.issuing import Scene, running_scene
from tests.system.ways import CALLS, wishing
from tests.system.wire import Response

pytestmark = pytest.mark.edge
SCOPES = ("credential", "tenant")
WAYS = ("http chat", "http chat stream", "http embedding", "grpc chat", "grpc chat stream", "grpc embedding")
EFFECT_S = 1.0
"""Within which what was taken back is gone."""
SLACK_S = 0.5

OWN: Mapping[str, str] = {
    "key": "a1",
    "other key of the tenant": "a2",
    "credential": "c1",
    "other credential of the key": "c2",
    "identity": "alice",
    "identity with a newer token": "alice",
    "other identity of the tenant": "bob",
    "key of another tenant": "g1",
    "credential of another tenant": "g2",
    "identity of another tenant": "gina",
    "provider key": "x",
    "other provider key": "y",
    "credential of a provider key": "z",
    "credential of nobody": "w",
    "nobody": "anonymous",
}
"""Callers, and with whom they share where each credential has its own."""
OF_ACME = frozenset({"a1", "a2", "c1", "c2", "alice", "bob"})
OF_GLOBEX = frozenset({"g1", "g2", "gina"})


def group(caller: str, scope: str) -> str:
    """With whom a caller shares."""
    own = OWN[caller]
    if scope == "tenant":
        return "acme" if own in OF_ACME else "globex" if own in OF_GLOBEX else own
    return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    scene: Scene
    scope: str
    tokens: dict[str, str | None]


@pytest.fixture(scope="module", params=SCOPES)
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    data = tmp_path_factory.mktemp("scopes") / "data"
    with ExitStack() as stack:
        people = {name: stack.enter_context(in_background(FakeIdentityProvider())) for name in ("acme", "globex")}
        issuers = {
            name: {"issuer": one.url, "audience": jose.AUDIENCE, "jwks_url": one.keys_url, "tenants": [name]}
            for name, one in people.items()
        }
        scene = stack.enter_context(
            running_scene(data, auth={"issuers": issuers}, cache={"scope": request.param}),
        )
        scene.office.tenant("globex", forward=ForwardGrant.SHARED)
        tokens = asyncio.run(tokens_of(scene, people))
        yield Town(scene=scene, scope=request.param, tokens=tokens)


async def tokens_of(scene: Scene, people: Mapping[str, FakeIdentityProvider]) -> dict[str, str | None]:
    def identity(tenant: str, subject: str, age_s: int = 5) -> str:
        now = int(time.time())
        return people[tenant].token(client_id=tenant, sub=subject, iat=now - age_s, exp=now + 3600)

    globex = scene.office.key("globex").token
    nobodys = await scene.wish(None)
    return {
        "key": scene.key,
        "other key of the tenant": scene.office.key("acme").token,
        "credential": await scene.credential(),
        "other credential of the key": await scene.credential(),
        "identity": identity("acme", "alice"),
        "identity with a newer token": identity("acme", "alice", 1),
        "other identity of the tenant": identity("acme", "bob"),
        "key of another tenant": globex,
        "credential of another tenant": await scene.credential(globex),
        "identity of another tenant": identity("globex", "alice"),
        "provider key": "sk-provider-key-x",
        "other provider key": "sk-provider-key-y",
        "credential of a provider key": await scene.credential("sk-provider-key-x"),
        "credential of nobody": nobodys.json()["key"],
        "nobody": None,
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("turn", [0, 4, 9])
async def test_each_caller_gets_the_answers_of_those_with_whom_he_shares(town: Town, way: str, turn: int) -> None:
    callers, text = list(OWN), fresh_text()
    order = callers[turn:] + callers[:turn]
    provider, gateway = town.scene.pair.provider, town.scene.pair.gateway
    got: list[tuple[str, str | None]] = []
    async with wishing(gateway.url, gateway.grpc_target) as wish:
        for caller in (*order, *order):
            heard = await CALLS[way](wish(token=town.tokens[caller], text=text, more=(ALWAYS,)))
            assert heard.is_good, (caller, heard)
            got.append((caller, dict(heard.headers).get("x-isthmus-cache")))

    seen = set[str]()
    for caller, status in got:
        known = group(caller, town.scope) in seen
        seen.add(group(caller, town.scope))
        assert (caller, status) == (caller, "HIT" if known else "MISS")
    assert asked(provider, text) == len(seen)


@pytest.fixture(scope="module", params=SCOPES)
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    data = tmp_path_factory.mktemp("gate") / "data"
    with running_scene(data, cache={"scope": request.param}) as scene:
        yield scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A token, and what takes it back."""

    token: str
    take: Callable[[], Any]


async def a_key(gate: Scene, tenant: str) -> Taken:
    issued = gate.office.key(tenant)
    return Taken(token=issued.token, take=lambda: gate.office.desk.revoke_key(issued.key.id))


async def its_tenant(gate: Scene, tenant: str) -> Taken:
    return Taken(token=gate.office.key(tenant).token, take=lambda: gate.office.desk.revoke_tenant(tenant))


async def the_model(gate: Scene, tenant: str) -> Taken:
    bound = TenantWish(id=tenant, grants=Grants(models=frozenset({"fast"})))
    return Taken(token=gate.office.key(tenant).token, take=lambda: gate.office.desk.update_tenant(bound))


async def a_credential(gate: Scene, tenant: str) -> Taken:
    answer = await gate.wish(gate.office.key(tenant).token)
    return Taken(token=answer.json()["key"], take=lambda: gate.office.desk.revoke_credential(answer.json()["id"]))


async def the_key_of_a_credential(gate: Scene, tenant: str) -> Taken:
    issued = gate.office.key(tenant)
    answer = await gate.wish(issued.token)
    return Taken(token=answer.json()["key"], take=lambda: gate.office.desk.revoke_key(issued.key.id))


async def time_of_a_key(gate: Scene, tenant: str) -> Taken:
    ends_at = time.time() + 2
    return Taken(
        token=gate.office.key(tenant, expires_at=ends_at).token, take=lambda: time.sleep(max(0, ends_at - time.time()))
    )


async def time_of_a_credential(gate: Scene, tenant: str) -> Taken:
    answer = await gate.wish(gate.office.key(tenant).token, ttl_seconds=2)
    ends_at = time.time() + 2
    return Taken(token=answer.json()["key"], take=lambda: time.sleep(max(0, ends_at - time.time())))


TAKEN = (
    (a_key, 401),
    (its_tenant, 401),
    (the_model, 403),
    (a_credential, 401),
    (the_key_of_a_credential, 401),
    (time_of_a_key, 401),
    (time_of_a_credential, 401),
)


@pytest.mark.parametrize(("what", "status"), TAKEN, ids=[what.__name__ for what, _ in TAKEN])
async def test_what_was_taken_back_gets_no_answer_that_is_kept(gate: Scene, what: Any, status: int) -> None:
    tenant = f"tenant-{time.monotonic_ns()}"
    await asyncio.to_thread(gate.office.tenant, tenant)
    taken: Taken = await what(gate, tenant)
    text = fresh_text()

    async def ask(*more: tuple[str, str]) -> Response:
        return await post(gate.pair, chat_body(text), *more, token=taken.token)

    before = [await ask() for _ in range(12)]
    await asyncio.to_thread(taken.take)
    await asyncio.sleep(EFFECT_S + SLACK_S)
    after = [await ask() for _ in range(12)]
    plain = await ask(("x-isthmus-cache", "never"))

    assert [status_of(each) for each in before] == [MISS, *[HIT] * 11]
    assert {each.status for each in after} == {plain.status} == {status}
    assert {each.error["code"] for each in after} == {plain.error["code"]}
    assert asked(gate.pair.provider, text) == 1
