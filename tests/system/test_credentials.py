"""Temporary credentials through a whole gateway of two workers, over both protocols: who can verify one, how long it
lasts, whose key pays and who can see that key. What a bound one may do is `test_credential_bounds.py`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import grpc
import msgspec
import pytest
from isthmus.v1 import chat_pb2_grpc, credential_pb2, credential_pb2_grpc
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.fakes.answers import chat_events, stream
from tests.system.issuing import (
    CREDENTIALS,
    WORKERS,
    Scene,
    bearing,
    fresh_id,
    metadata,
    record_of,
    running_scene,
)
from tests.system.pair import OUR_KEY
from tests.system.typed import LIMIT_S, chat_request, failure_of
from tests.system.wire import Headers, ask, chat, connected, request

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
PROVIDER_KEY = "sk-somebodys-own-key-at-the-provider"
REVOKED_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_scene(tmp_path_factory.mktemp("credentials") / "data") as running:
        yield running


@pytest.fixture
def channel(scene: Scene) -> Iterator[grpc.Channel]:
    with scene.pair.channel() as opened:
        yield opened


async def refused_everywhere(scene: Scene, token: str, within_s: float = REVOKED_WITHIN_S) -> bool:
    """Whether a token is soon refused by every worker: many calls in a row, each on a connection of its own."""
    await asyncio.sleep(within_s)
    answers = [await ask(scene.url, CHAT, chat(), headers=bearing(token)) for _ in range(10 * WORKERS)]
    return {answer.status for answer in answers} == {401}


# RFC 9864 renames EdDSA to Ed25519, which fewer verifiers know.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("path", [CREDENTIALS, "/v1/proxy/credentials", "/v1/credentials/", f"{CREDENTIALS}?ttl=1"])
async def test_r24_whoever_has_the_published_keys_can_verify_a_credential(scene: Scene, path: str) -> None:
    wish = {"model": "ok", "ttl_seconds": 60.0, "logging": {"project_name": "p", "compress_audio": True}}
    answer = await ask(scene.url, path, msgspec.json.encode(wish), headers=bearing(scene.key))
    published = await ask(scene.url, "/.well-known/jwks.json", method="GET", headers=())

    token = jwt.decode(answer.json()["key"], KeySet.import_key_set(published.json()), algorithms=["EdDSA"])

    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert set(answer.json()) == {"key", "id", "expires_at"}
    assert set(token.header) == {"alg", "typ", "kid"}
    assert (token.header["alg"], token.header["typ"]) == ("EdDSA", "tmp+jwt")
    assert token.header["kid"] in [key["kid"] for key in published.json()["keys"]]
    assert token.claims["iss"] == token.claims["aud"] == scene.office.issuer
    assert (token.claims["jti"], token.claims["exp"]) == (answer.json()["id"], answer.json()["expires_at"])
    assert token.claims["exp"] - token.claims["iat"] == 60
    assert abs(token.claims["iat"] - time.time()) < 30
    assert (token.claims["tenant"], token.claims["model"], token.claims["project"]) == ("acme", "ok", "p")
    assert "secret" not in token.claims


async def test_published_keys_are_open_and_are_the_public_halves(scene: Scene) -> None:
    get, head = [await ask(scene.url, "/.well-known/jwks.json", method=m, headers=()) for m in ("GET", "HEAD")]
    from_a_page = await ask(
        scene.url, "/.well-known/jwks.json?x=1", method="GET", headers=(("origin", "https://evil.example"),)
    )

    assert (get.status, head.status, from_a_page.status) == (200, 200, 200)
    assert get.headers["content-type"] == "application/json"
    assert get.headers["cache-control"] == "public, max-age=300"
    assert head.body == b""
    assert "access-control-allow-origin" not in from_a_page.headers
    assert [set(key) for key in get.json()["keys"]] == [{"kty", "crv", "alg", "use", "kid", "x"}]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_published_keys_are_only_read(scene: Scene, method: str) -> None:
    answer = await ask(scene.url, "/.well-known/jwks.json", method=method, headers=())

    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/.well-known/", "/.well-known/openid-configuration", "/.well-known/jwks.json/x", "/.well-known/JWKS.json"]
)
async def test_nothing_else_is_well_known(scene: Scene, path: str) -> None:
    spoofed: Headers = (("x-envoy-original-path", "/v1/files"), ("x-isthmus-int-surface", "http"))

    answer = await ask(scene.url, path, method="GET", headers=spoofed)

    assert (answer.status, answer.error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_credentials_are_only_posted(scene: Scene, method: str) -> None:
    start = len(scene.pair.provider.requests)

    answer = await ask(scene.url, CREDENTIALS, method=method, headers=bearing(scene.key))

    assert answer.status == 405
    assert len(scene.pair.provider.requests) == start


async def test_every_surface_records_under_the_credentials_project(scene: Scene, channel: grpc.Channel) -> None:
    token = await scene.credential(logging={"project_name": "Night shift"})
    wishes = (("x-isthmus-project", "another"), ("x-bt-parent", "project_name:another"))
    asked = {name: (fresh_id(), *wishes) for name in ("whole", "stream", "forward", "models", "typed", "typed stream")}
    how = {name: (("x-request-id", request_id), *wishes) for name, (request_id, *_) in asked.items()}

    await ask(scene.url, CHAT, chat(), headers=bearing(token, *how["whole"]))
    await ask(scene.url, CHAT, chat(stream=True), headers=bearing(token, *how["stream"]))
    await ask(scene.url, "/v1/files", method="GET", headers=bearing(token, *how["forward"]))
    await ask(scene.url, "/v1/models", method="GET", headers=bearing(token, *how["models"]))
    stub = chat_pb2_grpc.ChatServiceStub(channel)
    await asyncio.to_thread(stub.CreateChatCompletion, chat_request(), metadata=metadata(token, *how["typed"]))
    typed = stub.StreamChatCompletion(chat_request(), metadata=metadata(token, *how["typed stream"]), timeout=LIMIT_S)
    await asyncio.to_thread(list, typed)

    records = {name: await asyncio.to_thread(record_of, scene, request_id) for name, (request_id, *_) in asked.items()}
    assert {name: record["project"] for name, record in records.items()} == dict.fromkeys(asked, "Night shift")
    assert {record["auth"] for record in records.values()} == {"temporary_credential"}
    assert {record["tenant"] for record in records.values()} == {"acme"}


async def test_a_running_stream_outlives_its_credential(scene: Scene) -> None:
    token = await scene.credential(ttl_seconds=2)
    events = chat_events("ok")
    scene.pair.provider.reply_with(stream(*events[:2], 3.0, *events[2:], b"data: [DONE]\n\n"))

    async with connected(scene.url) as exchange:
        await exchange.send(request(scene.url, CHAT, chat(stream=True), headers=bearing(token)))
        await exchange.head()
        begun = await exchange.until(b"Hel")
        await asyncio.sleep(2.1)
        late = await ask(scene.url, CHAT, chat(), headers=bearing(token))
        rest = await exchange.rest()

    assert (late.status, late.error["code"]) == (401, "credential_expired")
    assert (begun + rest).endswith(b"data: [DONE]\n\n")


async def test_r28_a_credential_that_was_taken_back_is_refused_by_every_worker(
    scene: Scene, channel: grpc.Channel
) -> None:
    wish = await scene.wish(scene.key)
    token, name = wish.json()["key"], wish.json()["id"]
    at_once = [await ask(scene.url, CHAT, chat(), headers=bearing(token)) for _ in range(10 * WORKERS)]
    scene.pair.provider.reply_with(stream(*chat_events("ok")[:2], 2.5, *chat_events("ok")[2:], b"data: [DONE]\n\n"))
    stub = credential_pb2_grpc.CredentialServiceStub(channel)

    async with connected(scene.url) as exchange:
        await exchange.send(request(scene.url, CHAT, chat(stream=True), headers=bearing(token)))
        await exchange.head()
        begun = await exchange.until(b"Hel")
        revoked = stub.RevokeCredential(
            credential_pb2.RevokeCredentialRequest(id=name), metadata=metadata(scene.key), timeout=LIMIT_S
        )
        refused = await refused_everywhere(scene, token)
        rest = await exchange.rest()

    assert {answer.status for answer in at_once} == {200}, "every worker knows it as soon as it is issued"
    assert revoked.credential.HasField("revoke_time")
    assert refused
    assert (begun + rest).endswith(b"data: [DONE]\n\n"), "a running stream finishes"


async def test_r28_a_credential_ends_with_the_key_that_issued_it(scene: Scene) -> None:
    issuer = await asyncio.to_thread(scene.office.key, "acme")
    token = await scene.credential(issuer.token)
    before = await ask(scene.url, CHAT, chat(), headers=bearing(token))

    await asyncio.to_thread(scene.office.desk.revoke_key, issuer.key.id)

    assert before.status == 200
    assert await refused_everywhere(scene, token)


async def test_a_credential_lives_no_longer_than_its_issuer(scene: Scene) -> None:
    issuer = await asyncio.to_thread(lambda: scene.office.key("acme", expires_at=time.time() + 100))
    until = issuer.key.expires_at

    answer = await scene.wish(issuer.token, ttl_seconds=86_400)

    assert until is not None
    assert answer.json()["expires_at"] == int(until)


async def test_an_issuer_gives_no_more_than_it_has(scene: Scene) -> None:
    issuer = (await asyncio.to_thread(lambda: scene.office.key("acme", models={"ok"}, projects={"p"}))).token

    model = await scene.wish(issuer, model="r429")
    project = await scene.wish(issuer, logging={"project_name": "q"})
    allowed = await scene.credential(issuer, logging={"project_name": "p"})
    beyond = await ask(scene.url, CHAT, chat("r429"), headers=bearing(allowed))

    assert (model.status, model.error["code"], model.error["param"]) == (403, "model_not_allowed", "model")
    assert (project.status, project.error["code"]) == (403, "project_not_allowed")
    assert (beyond.status, beyond.error["code"]) == (403, "model_not_allowed")


@pytest.mark.parametrize("issuer", ["tenant", "anonymous", "provider key"])
async def test_a_credential_issues_no_other(scene: Scene, channel: grpc.Channel, issuer: str) -> None:
    issuers = {"tenant": scene.key, "anonymous": None, "provider key": PROVIDER_KEY}
    token = (await scene.wish(issuers[issuer])).json()["key"]
    stub = credential_pb2_grpc.CredentialServiceStub(channel)

    over_http = await scene.wish(token)
    over_grpc = failure_of(
        lambda: stub.CreateCredential(
            credential_pb2.CreateCredentialRequest(), metadata=metadata(token), timeout=LIMIT_S
        )
    )

    assert (over_http.status, over_http.error["code"]) == (403, "issuer_not_allowed")
    assert (over_grpc.grpc, over_grpc.reason) == ("PERMISSION_DENIED", "ISSUER_NOT_ALLOWED")


async def test_anybody_issues_what_anybody_may(scene: Scene) -> None:
    request_id = fresh_id()
    token = (await scene.wish(None, model="ok")).json()["key"]

    answer = await ask(scene.url, CHAT, chat(), headers=bearing(token, ("x-request-id", request_id)))
    from_a_page = await ask(scene.url, CREDENTIALS, b"{}", headers=bearing(None, ("origin", "https://evil.example")))

    record = await asyncio.to_thread(record_of, scene, request_id)
    assert answer.status == 200
    assert (record["tenant"], record["auth"]) == ("default", "temporary_credential")
    assert from_a_page.status == 403, "a web page must not get a key to the user's keys"


async def test_where_anybody_may_call_the_gateways_own_credential_pays(scene: Scene) -> None:
    token = await scene.credential(PROVIDER_KEY)

    answer = await ask(scene.url, CHAT, chat(), headers=bearing(token))

    assert answer.status == 200
    assert scene.pair.provider.last.header("authorization") == f"Bearer {OUR_KEY}"


async def test_callers_see_their_own_credentials_only(scene: Scene) -> None:
    with scene.pair.channel() as channel:
        stub = credential_pb2_grpc.CredentialServiceStub(channel)
        await asyncio.to_thread(lambda: scene.office.tenant("rival"))
        rival = (await asyncio.to_thread(scene.office.key, "rival")).token
        colleague = (await asyncio.to_thread(scene.office.key, "acme")).token
        name = (await scene.wish(scene.key)).json()["id"]

        def doing(method: str, token: str, **asked: Any) -> Any:
            asking = getattr(credential_pb2, f"{method}CredentialRequest")(**asked)
            return getattr(stub, f"{method}Credential")(asking, metadata=metadata(token), timeout=LIMIT_S)

        def listed(token: str) -> list[str]:
            asking = credential_pb2.ListCredentialsRequest(page_size=1000)
            return [each.id for each in stub.ListCredentials(asking, metadata=metadata(token)).credentials]

        own = doing("Get", scene.key, id=name)
        for stranger in (rival, colleague, PROVIDER_KEY):
            for method in ("Get", "Revoke"):
                assert failure_of(lambda m=method, s=stranger: doing(m, s, id=name)).grpc == "NOT_FOUND"
            assert name not in listed(stranger)

        assert own.credential.id == name
        assert name in listed(scene.key)


async def test_pages_of_credentials_follow_each_other(scene: Scene) -> None:
    issuer = (await asyncio.to_thread(scene.office.key, "acme")).token
    names = [(await scene.wish(issuer)).json()["id"] for _ in range(5)]
    expired = (await scene.wish(issuer, ttl_seconds=1)).json()["id"]
    await asyncio.sleep(1.1)

    seen: list[str] = []
    with scene.pair.channel() as channel:
        stub, after = credential_pb2_grpc.CredentialServiceStub(channel), ""
        while True:
            asking = credential_pb2.ListCredentialsRequest(page_size=2, page_token=after)
            page = stub.ListCredentials(asking, metadata=metadata(issuer), timeout=LIMIT_S)
            seen += [each.id for each in page.credentials]
            after = page.next_page_token
            if not after:
                break

    assert seen == names[::-1], "the newest first"
    assert expired not in seen


@pytest.mark.parametrize("body", [b"", b"[]", b'{"ttl_seconds":NaN}', b'{"ttl":5}', b'{"model":"a","model":"b"}'])
async def test_a_refused_wish_leaves_one_record(scene: Scene, body: bytes) -> None:
    request_id = fresh_id()

    answer = await ask(scene.url, CREDENTIALS, body, headers=bearing(scene.key, ("x-request-id", request_id)))

    record = await asyncio.to_thread(record_of, scene, request_id)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert (record["operation"], record["status"], record["end"]) == ("credentials", 400, "refused")


async def test_issuing_at_once_gives_different_credentials(scene: Scene) -> None:
    answers = await asyncio.gather(*(scene.wish(scene.key) for _ in range(40)))

    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 40
    assert len({answer.json()["key"] for answer in answers}) == 40
