"""Two tenants on one gateway of two workers: whatever one does, over whichever surface, nothing of the other is used,
seen, counted or spent."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from isthmus.v1 import admin_pb2, admin_pb2_grpc, credential_pb2, credential_pb2_grpc, model_pb2
from isthmusd.core.errors import AlreadyExists
from isthmusd.core.tenants import Role

from tests.fakes import jose
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.pair import OUR_KEY, Pair, eventually, running_pair
from tests.system.ways import CALLS, OWN, Heard, Wish, heard, over_http, wishing
from tests.system.wire import chat, connected, request

pytestmark = pytest.mark.edge
ACME, GLOBEX = "acme", "globex"
TENANTS = (ACME, GLOBEX)
OTHER = {ACME: GLOBEX, GLOBEX: ACME}
KEYS = {tenant: f"sk-{tenant}-own" for tenant in (*TENANTS, "initech")}
ALIAS = {ACME: "alpha", GLOBEX: "beta"}
PROJECT = {ACME: "anvils", GLOBEX: "globes"}
LIMIT = 8
"""Calls at once of a tenant, per worker."""
LOAD = 200
CLIENTS = 5
UNKNOWN = {401, "UNAUTHENTICATED"}
NAMED = ("x-tenant", "x-tenant-id", "x-client-id", "client_id", "client-id", "x-isthmus-tenant", "x-isthmus-int-tenant")

numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """The gateway, and who calls it."""

    pair: Pair
    office: Office
    data: Path
    keys: dict[str, str]
    admin: str
    identities: dict[str, FakeIdentityProvider]

    def identity(self, tenant: str, **said: Any) -> str:
        """A token of the tenant's own identity provider."""
        now = int(time.time())
        return self.identities[tenant].token(**{"iat": now - 5, "exp": now + 3600, "client_id": tenant, **said})

    def paid(self, text: str) -> list[str | None]:
        """What the provider was paid with by the calls that had this text."""
        found = [each for each in list(self.pair.provider.requests) if text.encode() in each.body]
        return [each.header("authorization") for each in found]

    def administration(self, call: Callable[[Any, Any], Any]) -> Any:
        with grpc.insecure_channel(self.pair.gateway.admin_url.removeprefix("http://")) as channel:
            return call(admin_pb2_grpc.AdminServiceStub(channel), (("authorization", f"Bearer {self.admin}"),))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    data: Path = tmp_path_factory.mktemp("isolation") / "data"
    with (
        Office(data) as office,
        in_background(FakeIdentityProvider()) as of_acme,
        in_background(FakeIdentityProvider()) as of_globex,
    ):
        for tenant in (*TENANTS, "initech"):
            models = {ALIAS.get(tenant, "gamma"), "ok", "echo", "stall"}
            office.tenant(tenant, models=models, projects={PROJECT.get(tenant, "tps")}, calls=LIMIT)
            office.provider_key(tenant, "openai", KEYS[tenant], f"{tenant}-main")
            office.project(tenant, PROJECT.get(tenant, "tps"))
        office.subject(GLOBEX, of_globex.url, "gina")
        keys = {tenant: office.key(tenant).token for tenant in KEYS}
        identities = {ACME: of_acme, GLOBEX: of_globex, "initech": of_globex}
        bound = {ACME: [ACME], GLOBEX: [GLOBEX, "initech"]}
        issuers = {
            tenant: {
                "issuer": identities[tenant].url,
                "audience": jose.AUDIENCE,
                "jwks_url": identities[tenant].keys_url,
                "tenants": bound[tenant],
            }
            for tenant in TENANTS
        }
        office.tenant("ops")
        admin = office.key("ops", role=Role.ADMIN).token
        models = {name: {"provider": "openai", "model": "ok"} for name in ("alpha", "beta", "gamma")}
        auth = {"anonymous": False, "provider_keys": False, "issuers": issuers}
        with running_pair(2, data=str(data), auth=auth, models=models) as pair:
            yield Town(pair=pair, office=office, data=data, keys=keys, admin=admin, identities=identities)


@pytest.fixture
async def wish(town: Town) -> AsyncIterator[Callable[..., Wish]]:
    async with wishing(town.pair.url, town.pair.gateway.grpc_target) as made:
        yield made


def fresh(tenant: str) -> str:
    """A text that no other call has, and that tells whose it is."""
    return f"{tenant}-text-{next(numbers)}-{random.getrandbits(48):x}"


@pytest.mark.parametrize("tenant", TENANTS)
async def test_r8_every_surface_pays_with_the_callers_own_key(
    town: Town, wish: Callable[..., Wish], tenant: str
) -> None:
    tokens = {"key": town.keys[tenant], "identity": town.identity(tenant)}
    credential = await OWN["http credentials"](wish(token=town.keys[tenant]))
    tokens["credential"] = msgspec.json.decode(credential.body)["key"]
    for kind, token in tokens.items():
        for name, way in CALLS.items():
            text = fresh(tenant)

            answer = await way(wish(token=token, text=text))

            assert answer.is_good, (kind, name, answer)
            assert town.paid(text) == [f"Bearer {KEYS[tenant]}"], (kind, name)
            assert f"{tenant}-main".encode() in answer.everything, name
            assert OTHER[tenant].encode() not in answer.everything, (kind, name)


async def test_r25_each_sees_and_may_name_its_own_models_only(town: Town, wish: Callable[..., Wish]) -> None:
    for tenant in TENANTS:
        token, foreign = town.keys[tenant], ALIAS[OTHER[tenant]]
        over_http_ = msgspec.json.decode((await OWN["http models"](wish(token=token))).body)["data"]
        typed = model_pb2.ListModelsResponse.FromString((await OWN["grpc models"](wish(token=token))).body)

        assert [each["id"] for each in over_http_] == [each.id for each in typed.models] == [ALIAS[tenant]]
        for name, way in {**CALLS, "grpc model": OWN["grpc model"]}.items():
            text = fresh(tenant)
            forbidden = await way(wish(token=token, text=text, model=foreign))
            unknown = await way(wish(token=token, text=text, model="never"))
            assert not forbidden.is_good, name
            assert forbidden.status == unknown.status, name
            assert told(forbidden, foreign) == told(unknown, "never"), name
            assert town.paid(text) == []


def told(answer: Heard, model: str) -> bytes:
    return answer.body.replace(model.encode(), b"M")


async def test_a_credential_is_nobodys_but_its_issuers(town: Town, wish: Callable[..., Wish]) -> None:
    async def doing(tenant: str, method: str, **asked: Any) -> Heard:
        one = wish(token=town.keys[tenant])
        stub = credential_pb2_grpc.CredentialServiceStub(one.channel)
        asking = getattr(credential_pb2, f"{method}Request")(**asked)
        return await heard(getattr(stub, method)(asking, metadata=one.pairs, timeout=10))

    def names(page: Heard) -> set[str]:
        return {each.id for each in credential_pb2.ListCredentialsResponse.FromString(page.body).credentials}

    made = await OWN["http credentials"](wish(token=town.keys[ACME]))
    name, key = (msgspec.json.decode(made.body)[part] for part in ("id", "key"))
    unknown = name[:-4] + ("aaaa" if name[-4:] != "aaaa" else "bbbb")

    for method, field in (("GetCredential", "id"), ("RevokeCredential", "id"), ("ListCredentials", "page_token")):
        foreign = await doing(GLOBEX, method, **{field: name})
        missing = await doing(GLOBEX, method, **{field: unknown})
        assert foreign.status == missing.status in ("NOT_FOUND", "INVALID_ARGUMENT"), method
        assert foreign.body == missing.body.replace(unknown.encode(), name.encode())
    assert name not in names(await doing(GLOBEX, "ListCredentials", page_size=1000))
    assert name in names(await doing(ACME, "ListCredentials", page_size=1000))
    assert (await CALLS["http chat"](wish(token=key))).is_good, "nobody took it back"


async def test_nothing_that_a_caller_writes_makes_it_another_tenant(town: Town, wish: Callable[..., Wish]) -> None:
    tokens = (town.keys[ACME], town.identity(ACME))
    for token in tokens:
        for name, way in CALLS.items():
            text = fresh(ACME)
            asked = wish(token=token, text=text, more=tuple((each, GLOBEX) for each in NAMED))
            if name.startswith("http"):
                asked = replace(
                    asked,
                    query=f"?tenant={GLOBEX}&client_id={GLOBEX}",
                    members={"client_id": GLOBEX, "tenant": GLOBEX, "metadata": {"client_id": GLOBEX}},
                )

            assert (await way(asked)).is_good, name
            assert town.paid(text) == [f"Bearer {KEYS[ACME]}"], name


@pytest.mark.parametrize("said", [{"client_id": GLOBEX}, {"client_id": None, "firebase": {"tenant": GLOBEX}}])
async def test_r24_an_issuer_names_its_own_tenants_only(
    town: Town, wish: Callable[..., Wish], said: dict[str, Any]
) -> None:
    token, nobodys = town.identity(ACME, **said), town.identity(ACME, client_id="nobody")
    for name, way in {**CALLS, **OWN}.items():
        text = fresh(ACME)
        foreign, unknown = await way(wish(token=token, text=text)), await way(wish(token=nobodys, text=text))
        assert not foreign.is_good, name
        assert (foreign.status, foreign.body) == (unknown.status, unknown.body), name
        assert town.paid(text) == [], name


async def test_a_provider_key_of_another_tenant_cannot_be_picked(town: Town, wish: Callable[..., Wish]) -> None:
    for name, way in CALLS.items():
        text = fresh(ACME)
        answer = await way(wish(token=town.keys[ACME], text=text, more=(("x-isthmus-endpoint", f"{GLOBEX}-main"),)))
        unknown = await way(wish(token=town.keys[ACME], text=text, more=(("x-isthmus-endpoint", "nobody-main"),)))
        assert not answer.is_good, name
        assert answer.status == unknown.status, name
        assert answer.body.replace(GLOBEX.encode(), b"nobody") == unknown.body, name
        assert town.paid(text) == [], name


async def test_a_project_of_another_tenant_cannot_be_recorded_under(town: Town, wish: Callable[..., Wish]) -> None:
    for name, way in CALLS.items():
        for header in (("x-isthmus-project", PROJECT[GLOBEX]), ("x-bt-parent", f"project_name:{PROJECT[GLOBEX]}")):
            text = fresh(ACME)
            answer = await way(wish(token=town.keys[ACME], text=text, more=(header,)))
            assert not answer.is_good, name
            assert town.paid(text) == [], name


async def test_a_full_tenant_takes_no_place_of_another(town: Town, wish: Callable[..., Wish]) -> None:
    body = chat("stall", stream=True)
    headers = (("content-type", "application/json"), ("authorization", f"Bearer {town.keys[ACME]}"))
    async with AsyncExitStack() as opened:
        refused = 0
        while refused < 8:  # in a row: both workers are full
            exchange = await opened.enter_async_context(connected(town.pair.url))
            await exchange.send(request(town.pair.url, "/v1/chat/completions", body, headers=headers))
            status = await exchange.head()
            assert status in {200, 429}
            refused = refused + 1 if status == 429 else 0
        for name, way in CALLS.items():
            full = await way(wish(token=town.keys[ACME], text=fresh(ACME)))
            free = await way(wish(token=town.keys[GLOBEX], text=fresh(GLOBEX)))
            assert full.status in {429, "RESOURCE_EXHAUSTED", "8"}, (name, full)
            assert free.is_good, (name, free)

    async def admitted() -> bool:
        answers = [await CALLS["http chat"](wish(token=town.keys[ACME])) for _ in range(8)]
        return all(answer.is_good for answer in answers)

    for _ in range(50):
        if await admitted():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the places are free again when their callers have left")


async def test_r28_a_revoked_tenant_loses_everything_at_once_and_others_nothing(
    town: Town, wish: Callable[..., Wish]
) -> None:
    office, key = town.office, town.keys["initech"]
    made = await OWN["grpc create credential"](wish(token=key))
    tokens = [
        key,
        credential_pb2.CreateCredentialResponse.FromString(made.body).key,
        town.identity("initech"),
    ]
    ways = {**CALLS, **OWN}
    for token in tokens:
        assert (await CALLS["http chat"](wish(token=token))).is_good

    await asyncio.to_thread(office.desk.revoke_tenant, "initech")
    await asyncio.sleep(1.0)

    for token, (name, way) in itertools.product(tokens, ways.items()):
        text = fresh("initech")
        answer = await way(wish(token=token, text=text))
        assert not answer.is_good, (name, answer)
        assert answer.status in {*UNKNOWN, 403, "PERMISSION_DENIED", 500, "16", "7"}, (name, answer)
        assert town.paid(text) == []
    for tenant in TENANTS:
        assert (await CALLS["grpc chat"](wish(token=town.keys[tenant]))).is_good
        assert (await CALLS["http tenant forward"](wish(token=town.identity(tenant)))).is_good
    with pytest.raises(AlreadyExists):
        await asyncio.to_thread(office.tenant, "initech")

    await asyncio.to_thread(office.desk.restore_tenant, "initech")
    await asyncio.sleep(1.0)
    text = fresh("initech")
    assert all([(await CALLS["http chat"](wish(token=key, text=text))).is_good for _ in range(8)])
    assert set(town.paid(text)) == {f"Bearer {KEYS['initech']}"}


async def test_r8_two_tenants_under_load_cross_nowhere(town: Town, wish: Callable[..., Wish]) -> None:
    """The provider repeats what it was asked, so that each answer tells whose question it answers."""
    echoing = {"http chat", "http chat stream", "http auto", "http forward", "http tenant forward", "grpc chat"}
    sent: dict[str, str] = {}
    wrong: list[tuple[str, str, Heard]] = []
    asked = {tenant: itertools.count() for tenant in TENANTS}

    async def client(tenant: str) -> None:
        while next(asked[tenant]) < LOAD:
            name = random.choice(tuple(CALLS))
            text, echoes = fresh(tenant), name in echoing
            sent[text] = tenant
            named = (("x-request-id", text),)
            model = "echo" if echoes else "ok"
            answer = await CALLS[name](wish(token=town.keys[tenant], text=text, model=model, more=named))
            belongs = not echoes or text.encode() in answer.everything
            strange = OTHER[tenant].encode() in answer.everything
            if not answer.is_good or not belongs or strange:
                wrong.append((name, text, answer))

    await asyncio.gather(*(client(tenant) for tenant in TENANTS for _ in range(CLIENTS)))

    assert wrong == []
    assert len(sent) == LOAD * len(TENANTS)
    assert {text for text, tenant in sent.items() if set(town.paid(text)) != {f"Bearer {KEYS[tenant]}"}} == set()
    assert OUR_KEY not in {(each.header("authorization") or "")[7:] for each in town.pair.provider.requests}
    assert await asyncio.to_thread(eventually, lambda: recorded(town, ACME, GLOBEX) >= sent.keys())
    for tenant in TENANTS:
        own = {text for text, whose in sent.items() if whose == tenant}
        assert recorded(town, tenant) & sent.keys() == own
        assert commanded(town, tenant) & sent.keys() == own


def recorded(town: Town, *tenants: str) -> set[str]:
    """The request ids that administration lists of some tenants, one after the other."""
    found = set[str]()
    for tenant in tenants:
        after = ""
        while True:
            asking = admin_pb2.ListRecordsRequest(tenant=tenant, page_size=1000, page_token=after)
            page = town.administration(lambda stub, who, a=asking: stub.ListRecords(a, metadata=who, timeout=10))
            assert {each.tenant for each in page.records} <= {tenant}
            found |= {each.request_id for each in page.records}
            after = page.next_page_token
            if not after:
                break
    return found


def commanded(town: Town, tenant: str) -> set[str]:
    """The request ids that the command lists of a tenant."""
    argv = [sys.executable, "-m", "isthmusd.cli", "records", "--tenant", tenant, "--limit", "100000", "--json"]
    environ = {**os.environ, "ISTHMUS_DATA": str(town.data)}
    done = subprocess.run(argv, env=environ, capture_output=True, timeout=60, check=True)
    records = msgspec.json.decode(done.stdout)
    assert {each["tenant"] for each in records} == {tenant}
    return {each["request_id"] for each in records}


def test_filters_of_records_never_widen_each_other(town: Town) -> None:
    """Of one tenant by the other's key, or from where the other's page ended: nothing of the other."""

    def listed(**asked: Any) -> Any:
        asking = admin_pb2.ListRecordsRequest(**asked)
        return town.administration(lambda stub, who: stub.ListRecords(asking, metadata=who, timeout=10))

    def kept() -> bool:
        return all(len(listed(tenant=tenant, page_size=2).records) == 2 for tenant in TENANTS)

    answers = [over_http("/v1/models", "GET") for _ in range(3)]
    for tenant in TENANTS:
        asyncio.run(all_of(town, answers, tenant))
    assert eventually(kept)
    of_globex = listed(tenant=GLOBEX, page_size=1)
    key = of_globex.records[0].key_id

    assert list(listed(tenant=ACME, key_id=key).records) == []
    assert list(listed(tenant=ACME, project=PROJECT[GLOBEX]).records) == []
    assert {each.tenant for each in listed(tenant=ACME, page_token=of_globex.next_page_token).records} <= {ACME}


async def all_of(town: Town, ways: list[Any], tenant: str) -> None:
    async with wishing(town.pair.url, town.pair.gateway.grpc_target) as made:
        for way in ways:
            assert (await way(made(token=town.keys[tenant]))).is_good
