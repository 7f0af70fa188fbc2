"""Temporary credentials as messages and as HTTP: the same wishes, the same refusals. What they may do is
`tests/unit/pipeline/test_credentials.py`'s."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from isthmus.v1 import credential_pb2 as messages
from isthmus.v1 import credential_pb2_grpc
from isthmusd.core.tenants import GatewayKey, Grants
from isthmusd.rpc.server import Server, ServerOptions

from tests.fakes.callers import KEYRING
from tests.unit.pipeline.gateway import Built
from tests.unit.pipeline.world import START
from tests.unit.rpc.serving import SERVICE, Answered, refusal_of

GRANTS = Grants(models=frozenset({"gpt"}), projects=frozenset({"p"}))
WIDE = Grants()
JWKS = (("x-envoy-original-path", "/.well-known/jwks.json"),)


@dataclass(frozen=True, slots=True)
class Office:
    """A gateway that knows one key, and its stubs."""

    built: Built
    channel: grpc.aio.Channel
    key: str

    @property
    def stub(self) -> Any:
        return credential_pb2_grpc.CredentialServiceStub(self.channel)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),)

    async def create(self, **wish: Any) -> messages.CreateCredentialResponse:
        return await self.stub.CreateCredential(messages.CreateCredentialRequest(**wish), metadata=self.metadata)

    async def refusal(self, call: str, request: Any) -> Any:
        return await refusal_of(getattr(self.stub, call)(request, metadata=self.metadata))

    async def post(self, method: str, body: bytes, *metadata: tuple[str, str]) -> Answered:
        """Call the OpenAI surface as Envoy does."""
        call = self.channel.unary_stream(
            SERVICE + method, request_serializer=HttpBody.SerializeToString, response_deserializer=None
        )
        posted = HttpBody(content_type="application/json" if body else "", data=body)
        return await Answered.of(call(posted, metadata=metadata, timeout=20))


@asynccontextmanager
async def open_office(grants: Grants = WIDE) -> AsyncIterator[Office]:
    built = Built.saying(anonymous=False)
    key = built.known.add_key(GatewayKey(id="key_1", tenant="acme", grants=grants), START)
    server = Server(built.gateway, ServerOptions(bind="127.0.0.1:0", edge=True))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Office(built, channel, key)
    finally:
        await server.stop(0)


async def test_a_new_credential_is_described() -> None:
    logging = messages.CredentialLogging(project_name="p", compress_audio=False)

    async with open_office() as office:
        created = await office.create(model="gpt", ttl=Duration(seconds=60), logging=logging)

    made = created.credential
    assert created.key.count(".") == 2
    assert (made.id[:4], made.model, made.logging) == ("tmp_", "gpt", logging)
    assert made.expire_time.seconds - made.create_time.seconds == 60
    assert made.expire_time.nanos == 0
    assert not made.HasField("revoke_time")


async def test_what_was_not_wished_for_is_unset() -> None:
    async with open_office() as office:
        made = (await office.create()).credential
        named = (await office.create(logging=messages.CredentialLogging(project_name="p"))).credential

    assert not made.HasField("model")
    assert not made.HasField("logging")
    assert made.expire_time.seconds - made.create_time.seconds == 600
    assert not named.logging.HasField("compress_audio")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"ttl": Duration(seconds=0)}, "ttl"),
        ({"ttl": Duration(seconds=-5)}, "ttl"),
        ({"ttl": Duration(seconds=86_401)}, "ttl"),
        ({"ttl": Duration(seconds=1, nanos=500_000_000)}, "ttl"),
        ({"ttl": Duration(seconds=2, nanos=-1)}, "ttl"),
        ({"model": ""}, "model"),
        ({"model": "a\0b"}, "model"),
        ({"logging": messages.CredentialLogging()}, "logging.project_name"),
        ({"logging": messages.CredentialLogging(project_name=" ")}, "logging.project_name"),
    ],
)
async def test_a_bad_field_is_a_violation(wish: dict[str, Any], field: str) -> None:
    async with open_office() as office:
        refused = await office.refusal("CreateCredential", messages.CreateCredentialRequest(**wish))
        kept = office.built.known.credentials

    (violation,) = refused.details["BadRequest"].field_violations
    assert (refused.code, violation.field) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert violation.description
    assert kept == {}


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"model": "gpt-5"}, "model_not_allowed"),
        ({"logging": messages.CredentialLogging(project_name="q")}, "project_not_allowed"),
    ],
)
async def test_more_than_the_issuer_has_is_denied(wish: dict[str, Any], code: str) -> None:
    async with open_office(GRANTS) as office:
        refused = await office.refusal("CreateCredential", messages.CreateCredentialRequest(**wish))

    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.info.metadata["code"] == code


async def test_a_credential_is_shown_listed_and_taken_back() -> None:
    async with open_office() as office:
        names = [(await office.create(model="gpt")).credential.id for _ in range(3)]
        shown = await office.stub.GetCredential(messages.GetCredentialRequest(id=names[0]), metadata=office.metadata)
        first = await office.stub.ListCredentials(
            messages.ListCredentialsRequest(page_size=2), metadata=office.metadata
        )
        rest = await office.stub.ListCredentials(
            messages.ListCredentialsRequest(page_size=2, page_token=first.next_page_token), metadata=office.metadata
        )
        revoked = await office.stub.RevokeCredential(
            messages.RevokeCredentialRequest(id=names[0]), metadata=office.metadata
        )
        records = office.built.journal.records

    assert (shown.credential.id, shown.credential.model) == (names[0], "gpt")
    assert sorted(each.id for each in (*first.credentials, *rest.credentials)) == sorted(names)
    assert (len(first.credentials), len(rest.credentials), rest.next_page_token) == (2, 1, "")
    assert revoked.credential.revoke_time.seconds >= revoked.credential.create_time.seconds
    assert [record.operation for record in records] == ["credentials"] * 7


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("GetCredential", messages.GetCredentialRequest(id="tmp_nobody")),
        ("RevokeCredential", messages.RevokeCredentialRequest(id="tmp_nobody")),
    ],
)
async def test_an_unknown_credential_is_not_found(call: str, request_: Any) -> None:
    async with open_office() as office:
        refused = await office.refusal(call, request_)

    assert refused.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("call", "request_", "field"),
    [
        ("GetCredential", messages.GetCredentialRequest(), "id"),
        ("RevokeCredential", messages.RevokeCredentialRequest(), "id"),
        ("ListCredentials", messages.ListCredentialsRequest(page_size=-1), "page_size"),
        ("ListCredentials", messages.ListCredentialsRequest(page_token="tmp_nobody"), "page_token"),
    ],
)
async def test_a_bad_question_is_a_violation(call: str, request_: Any, field: str) -> None:
    async with open_office() as office:
        refused = await office.refusal(call, request_)

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.details["BadRequest"].field_violations[0].field == field


@pytest.mark.parametrize("name", ["CreateCredential", "GetCredential", "ListCredentials", "RevokeCredential"])
async def test_nobody_does_anything_with_a_credential(name: str) -> None:
    async with open_office() as office:
        held = await office.create()
        request = getattr(messages, f"{name}Request")()
        metadata = (("authorization", f"Bearer {held.key}"),)
        refused = await refusal_of(getattr(office.stub, name)(request, metadata=metadata))

    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.info.metadata["code"] == "issuer_not_allowed"


async def test_over_http_the_answer_is_kept_nowhere() -> None:
    async with open_office() as office:
        answered = await office.post("Credentials", b'{"ttl_seconds":60,"model":"gpt"}', *office.metadata)
        (kept,) = office.built.known.credentials.values()

    assert (answered.status, answered.content_type) == (200, "application/json")
    assert answered.metadata["cache-control"] == "no-store"
    assert set(answered.json()) == {"key", "id", "expires_at"}
    assert answered.json()["id"] == kept.id
    assert answered.json()["expires_at"] == kept.expires_at
    assert type(answered.json()["expires_at"]) is int


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [(b"", 400, None), (b'{"ttl_seconds":true}', 400, "ttl_seconds"), (b'{"model":"gpt-5"}', 403, "model")],
)
async def test_over_http_refusals_have_openais_shape(body: bytes, status: int, param: str | None) -> None:
    async with open_office(GRANTS) as office:
        answered = await office.post("Credentials", body, *office.metadata)

    assert answered.status == status
    assert answered.json()["error"]["param"] == param


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_keys_that_verify_are_open_to_anybody(method: str) -> None:
    async with open_office() as office:
        answered = await office.post("Keys", b"", *JWKS, ("x-envoy-original-method", method))
        records = office.built.journal.records

    assert (answered.status, answered.content_type) == (200, "application/json")
    assert answered.metadata["cache-control"] == "public, max-age=300"
    assert answered.json() == KEYRING.jwks()
    assert all("d" not in key for key in answered.json()["keys"]), "the private half"
    assert records == []


async def test_the_keys_are_only_read() -> None:
    async with open_office() as office:
        answered = await office.post("Keys", b"", *JWKS, ("x-envoy-original-method", "OPTIONS"))

    assert (answered.status, answered.json()["error"]["code"]) == (405, "method_not_allowed")
