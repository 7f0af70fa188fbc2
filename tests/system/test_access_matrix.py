"""The table of access, lived: every RPC and every HTTP route with every kind of credential over a real gateway without
anonymous access. Each gets what the one table says, whatever the protocol, whole or streamed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import grpc
import msgspec
import pytest
from isthmus.v1 import credential_pb2, forward_pb2
from isthmusd.core.authorisation import ADMIN_ROUTES, ROUTES, RPCS, Access, Listener, demand_rpc_rules
from isthmusd.core.tenants import ForwardGrant, Role

from tests.fakes import jose
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.pair import Pair, running_pair
from tests.system.wire import JSON_TYPE, ask

pytestmark = pytest.mark.edge

OPENAI = "/isthmus.v1.OpenAIService/"
HEAD = forward_pb2.ForwardRequest(head=forward_pb2.ForwardRequestHead(method="GET", path="/v1/files"))
REQUESTS = {"/isthmus.v1.ForwardService/Forward": HEAD.SerializeToString()}
"""What reaches the check of the caller; of the others the empty message does."""
BODIES = (b"{}", b'{"stream":true}')


class Kind(StrEnum):
    NONE = "no credential"
    GARBAGE = "garbage"
    CALLER = "caller key"
    TEMPORARY = "temporary credential"
    IDENTITY = "identity token"
    PROVIDER = "provider key"
    ADMIN = "admin key"


class Outcome(StrEnum):
    UNKNOWN = "unauthenticated"
    DENIED = "permission denied"
    PASSES = "passes"


NOBODY = {Kind.NONE: Outcome.UNKNOWN, Kind.GARBAGE: Outcome.UNKNOWN}
PASSING = dict.fromkeys(Kind, Outcome.PASSES)
CALLERS = {**PASSING, **NOBODY, Kind.ADMIN: Outcome.DENIED}
EXPECTED: Mapping[Access, Mapping[Kind, Outcome]] = {
    Access.OPEN: PASSING,
    Access.CALLER: CALLERS,
    Access.ISSUER: {**CALLERS, Kind.TEMPORARY: Outcome.DENIED},
    Access.TENANT: {**CALLERS, Kind.PROVIDER: Outcome.UNKNOWN},
    Access.ADMIN: {**dict.fromkeys(Kind, Outcome.DENIED), **NOBODY, Kind.ADMIN: Outcome.PASSES},
}
OF_CODE = {
    grpc.StatusCode.UNAUTHENTICATED: Outcome.UNKNOWN,
    grpc.StatusCode.PERMISSION_DENIED: Outcome.DENIED,
}
NOT_SERVED = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL})
OF_STATUS = {401: Outcome.UNKNOWN, 403: Outcome.DENIED}
PATHS = {"/v1/**": "/v1/files", "/api/openai/**": "/api/openai/v1/files"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    pair: Pair
    tokens: Mapping[Kind, str | None]
    admin: str
    """Where administration is."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    data: Path = tmp_path_factory.mktemp("matrix")
    with Office(data) as office, in_background(FakeIdentityProvider()) as identities:
        office.tenant("acme", forward=ForwardGrant.SHARED)
        office.provider_key("acme", "openai", "sk-acmes-own")
        caller = office.key("acme").token
        admin = office.key("acme", role=Role.ADMIN).token
        issuer = {"issuer": identities.url, "audience": jose.AUDIENCE, "jwks_url": identities.keys_url}
        auth = {"anonymous": False, "provider_keys": True, "issuers": {"test": issuer}}
        with running_pair(2, data=str(data), auth=auth) as pair:
            now = int(time.time())
            tokens = {
                Kind.NONE: None,
                Kind.GARBAGE: "isk_garbage",
                Kind.CALLER: caller,
                Kind.TEMPORARY: temporary(pair, caller),
                Kind.IDENTITY: identities.token(iat=now - 5, exp=now + 3600, client_id="acme"),
                Kind.PROVIDER: "sk-somebodys-own",
                Kind.ADMIN: admin,
            }
            yield Stage(pair=pair, tokens=tokens, admin=pair.gateway.admin_url.removeprefix("http://"))


def temporary(pair: Pair, issuer: str) -> str:
    with pair.channel() as channel:
        create = channel.unary_unary("/isthmus.v1.CredentialService/CreateCredential")
        answer: bytes = create(b"", metadata=bearer(issuer), timeout=10)
    return credential_pb2.CreateCredentialResponse.FromString(answer).key


def bearer(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)


BELONGS = {Access.ADMIN: Listener.ADMIN, Access.PEER: Listener.PEERS}


def served(listener: Listener) -> list[str]:
    """The RPCs of a listener that gRPC's own clients call."""
    named = list[str]()
    for rpc, access in RPCS.items():
        if access is Access.NOWHERE or rpc.startswith(OPENAI):
            continue
        if BELONGS.get(access, Listener.PUBLIC) is listener:
            named.append(rpc)
    demand_rpc_rules(named, listener)
    return named


def outcome_of_rpc(channel: grpc.Channel, rpc: str, token: str | None) -> Outcome:
    """Call with bytes, as a stream: on the wire that is every kind of call."""
    call = channel.stream_stream(rpc)(iter([REQUESTS.get(rpc, b"")]), metadata=bearer(token), timeout=10)
    try:
        for _ in call:
            break
        call.cancel()
    except grpc.RpcError:
        code = call.code()
        assert code not in NOT_SERVED, (rpc, code, call.details())
        return OF_CODE.get(code, Outcome.PASSES)
    return Outcome.PASSES


@pytest.mark.parametrize("kind", Kind)
def test_r3_r4_every_rpc_gives_every_caller_what_the_table_says(stage: Stage, kind: Kind) -> None:
    rpcs = served(Listener.PUBLIC)

    with stage.pair.channel() as channel:
        found = {rpc: outcome_of_rpc(channel, rpc, stage.tokens[kind]) for rpc in rpcs}

    assert found == {rpc: EXPECTED[RPCS[rpc]][kind] for rpc in rpcs}


@pytest.mark.parametrize("kind", Kind)
def test_r3_every_rpc_of_administration_is_for_administrators(stage: Stage, kind: Kind) -> None:
    rpcs = served(Listener.ADMIN)

    with grpc.insecure_channel(stage.admin) as channel:
        found = {rpc: outcome_of_rpc(channel, rpc, stage.tokens[kind]) for rpc in rpcs}

    assert len(found) == 25
    assert found == {rpc: EXPECTED[Access.ADMIN][kind] for rpc in rpcs}


@pytest.mark.parametrize("kind", Kind)
async def test_r3_r4_every_http_route_gives_every_caller_what_the_table_says(stage: Stage, kind: Kind) -> None:
    found, expected = dict[str, Outcome](), dict[str, Outcome]()
    for (method, pattern), access in ROUTES.items():
        path = PATHS.get(pattern, pattern.replace("**", "ok"))
        for body in BODIES if method == "POST" else (b"",):
            answer = await ask(
                stage.pair.url, path, body, method=method, headers=(*JSON_TYPE, *bearer(stage.tokens[kind]))
            )
            assert answer.status not in {500, 502, 503} and b"unknown_url" not in answer.body, (method, path, answer)
            found[f"{method} {path} {body!r}"] = OF_STATUS.get(answer.status, Outcome.PASSES)
            expected[f"{method} {path} {body!r}"] = EXPECTED[access][kind]

    assert found == expected


@pytest.mark.parametrize("kind", [Kind.NONE, Kind.GARBAGE, Kind.ADMIN])
async def test_r4_whoever_is_refused_costs_no_provider_a_call(stage: Stage, kind: Kind) -> None:
    start = len(stage.pair.provider.requests)
    body = msgspec.json.encode({"model": "ok", "messages": [{"role": "user", "content": "hi"}]})

    statuses = [
        (await ask(stage.pair.url, path, body, headers=(*JSON_TYPE, *bearer(stage.tokens[kind])))).status
        for path in ("/v1/chat/completions", "/v1/files", "/api/openai/v1/files", "/v1/auto")
    ]

    assert {*statuses} <= {401, 403}
    assert len(stage.pair.provider.requests) == start


@pytest.mark.parametrize("kind", Kind)
async def test_r3_the_operators_http_is_open_to_who_reaches_it(stage: Stage, kind: Kind) -> None:
    statuses = {
        path: (await ask(f"http://{stage.admin}", path, b"", method=method, headers=bearer(stage.tokens[kind]))).status
        for method, path in ADMIN_ROUTES
    }

    assert set(statuses.values()) == {200}
