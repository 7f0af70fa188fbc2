"""What attacks are made on: a gateway of two tenants with keys of their own, identity providers, an administrator, and
every way to speak to it. It asserts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from isthmus.v1 import credential_pb2, forward_pb2, model_pb2
from isthmusd.core.tenants import ForwardGrant, Role

from tests.fakes import jose
from tests.fakes.identity_provider import FakeIdentityProvider
from tests.fakes.provider import FakeProvider
from tests.fakes.received import Received
from tests.fakes.token_attacks import Forger
from tests.system.background import in_background
from tests.system.callers import Office
from tests.system.pair import Pair, running_pair
from tests.system.typed import chat_request
from tests.system.wire import JSON_TYPE, Response, ask, chat

ACMES, RIVALS = "sk-acmes-own", "sk-rivals-own"
PROVIDERS = ("openai", "google", "azure", "bedrock", "box")
"""Where both tenants have a key."""
SETTINGS = {
    "azure": {"params": {"resource": "x"}},
    "google": {},
    "bedrock": {"params": {"region": "us-east-1"}},
    "box": {"dialect": "openai", "models": ["tiny"]},
}
LIMIT_S = 20.0
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The gateway, who may call it, and what it must never do."""

    pair: Pair
    office: Office
    identities: FakeIdentityProvider
    moving: FakeIdentityProvider
    """Another one, whose keys come and go."""
    elsewhere: FakeProvider
    """A host that no configuration names."""
    acme: str
    rival: str
    admin: str
    dismissed: str
    """An administrator's key that was revoked."""
    key_id: str
    """Of acme's key."""

    @property
    def url(self) -> str:
        return self.pair.url

    @property
    def provider(self) -> FakeProvider:
        return self.pair.provider

    @property
    def count(self) -> int:
        """How many requests have reached anybody."""
        return len(self.provider.requests) + len(self.elsewhere.requests)

    @property
    def admin_target(self) -> str:
        return self.pair.gateway.admin_url.removeprefix("http://")

    def identity(self, key: jose.Key | None = None, *, of: FakeIdentityProvider | None = None, **said: Any) -> str:
        """Mint a good identity token of acme, but for what is said."""
        now = int(time.time())
        usual = {"iat": now - 5, "exp": now + 3600, "client_id": "acme"}
        return (of or self.identities).token(key, **{**usual, **said})

    def forger(self) -> Forger:
        """Give who knows everything of this gateway but its secrets."""
        return Forger(
            issuer=self.identities.url,
            gateway=self.office.issuer,
            keyring=self.office.keyring,
            jti=self.key_id,
            now=int(time.time()),
            beyond_s=3600,
        )

    def payers(self, start: int) -> set[str]:
        """Whose keys paid for what reached the provider since it had received so many requests."""
        return {paid_with(received) for received in self.provider.requests[start:]}


def paid_with(received: Received) -> str:
    """The secret that came along, in whichever header."""
    named = ("authorization", "x-goog-api-key", "api-key", "x-api-key")
    return next((value for name in named if (value := received.header(name))), "").removeprefix("Bearer ")


@contextmanager
def running_site(data: Path) -> Iterator[Site]:
    """Run all of it on a folder of its own."""
    with (
        Office(data) as office,
        in_background(FakeIdentityProvider()) as identities,
        in_background(FakeIdentityProvider()) as moving,
        in_background(FakeProvider()) as elsewhere,
    ):
        for tenant, secret in (("acme", ACMES), ("rival", RIVALS)):
            office.tenant(tenant, forward=ForwardGrant.SHARED)
            for provider in PROVIDERS:
                office.provider_key(tenant, provider, secret)
        office.tenant("ops")
        dismissed = office.key("ops", role=Role.ADMIN)
        office.desk.revoke_key(dismissed.key.id)
        acme = office.key("acme")
        issuers = {
            name: {"issuer": each.url, "audience": jose.AUDIENCE, "jwks_url": each.keys_url}
            for name, each in (("steady", identities), ("moving", moving))
        }
        auth = {"anonymous": False, "provider_keys": True, "issuers": issuers}
        with running_pair(data=str(data), auth=auth, providers=SETTINGS) as pair:
            yield Site(
                pair=pair,
                office=office,
                identities=identities,
                moving=moving,
                elsewhere=elsewhere,
                acme=acme.token,
                rival=office.key("rival").token,
                admin=office.key("ops", role=Role.ADMIN).token,
                dismissed=dismissed.token,
                key_id=acme.key.id,
            )


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


HTTP: Mapping[str, tuple[str, str, bytes]] = {
    "chat": ("POST", "/v1/chat/completions", chat()),
    "stream": ("POST", "/v1/chat/completions", chat(stream=True)),
    "models": ("GET", "/v1/models", b""),
    "forward": ("POST", "/v1/files", b"{}"),
    "credentials": ("POST", "/v1/credentials", b"{}"),
    "tenant": ("POST", "/api/openai/v1/chat/completions", chat()),
}
"""Every kind of HTTP route, by a call that is otherwise good."""
REFUSED_BELOW_TENANT = b'{"error":"Authentication failed"}'


async def over_http(url: str, surface: str, headers: Metadata) -> Response:
    """Make the usual call of an HTTP route."""
    method, path, body = HTTP[surface]
    return await ask(url, path, body, method=method, headers=(*JSON_TYPE, *headers))


def _head(path: str = "/v1/files") -> bytes:
    head = forward_pb2.ForwardRequestHead(method="GET", path=path)
    return forward_pb2.ForwardRequest(head=head).SerializeToString()


NATIVE: Mapping[str, tuple[str, bytes]] = {
    "chat": ("/isthmus.v1.ChatService/CreateChatCompletion", chat_request().SerializeToString()),
    "stream": ("/isthmus.v1.ChatService/StreamChatCompletion", chat_request().SerializeToString()),
    "models": ("/isthmus.v1.ModelService/ListModels", model_pb2.ListModelsRequest().SerializeToString()),
    "forward": ("/isthmus.v1.ForwardService/Forward", _head()),
    "credentials": (
        "/isthmus.v1.CredentialService/CreateCredential",
        credential_pb2.CreateCredentialRequest().SerializeToString(),
    ),
}
"""Every typed service, by a call that is otherwise good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a typed call ended."""

    code: grpc.StatusCode
    message: str
    first: bytes = b""


def over_grpc(channel: grpc.Channel, surface: str, metadata: Metadata) -> Told:
    """Make the usual call of a typed service."""
    method, request = NATIVE[surface]
    return told(channel, method, request, metadata)


def told(channel: grpc.Channel, method: str, request: bytes, metadata: Metadata) -> Told:
    """Call with bytes, as a stream: on the wire that is every kind of call."""
    call = channel.stream_stream(method)(iter([request]), metadata=tuple(metadata), timeout=LIMIT_S)
    try:
        messages: list[bytes] = list(call)
    except grpc.RpcError:
        return Told(code=call.code(), message=call.details() or "")
    return Told(code=grpc.StatusCode.OK, message="", first=messages[0] if messages else b"")
