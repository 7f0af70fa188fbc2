"""Tokens of Google and Entra, from token services on a socket: kept, renewed, refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from isthmusd.core.errors import GatewayError, Misconfigured, Unreachable
from isthmusd.core.request import Outbound
from isthmusd.core.signing import EntraSigning, GoogleSigning, Signing
from isthmusd.upstream.registry import Upstreams

from tests.fakes.answers import Answer, whole
from tests.fakes.environment import environment
from tests.fakes.provider import FakeProvider

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(autouse=True)
def environ() -> Iterator[MutableMapping[str, str]]:
    """What google-auth reads by itself."""
    with environment({"NO_GCE_CHECK": "true"}, without="GOOGLE_") as changed:
        yield changed


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        fake.reply_always(whole({}))
        yield fake


@pytest.fixture
async def service() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        fake.reply_always(token("t-1"))
        yield fake


@pytest.fixture
async def upstream() -> AsyncIterator[Upstreams]:
    async with Upstreams() as made:
        yield made


def token(text: str, **rest: Any) -> Answer:
    return whole({"access_token": text, "expires_in": 3599, "token_type": "Bearer"} | rest)


def google(service: FakeProvider) -> GoogleSigning:
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k",
        "private_key": PRIVATE,
        "client_email": "gateway@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://127.0.0.1:{service.port}/token",
    }
    return GoogleSigning(service_account=msgspec.json.encode(account).decode())


def entra(service: FakeProvider) -> EntraSigning:
    return EntraSigning(
        tenant_id="ten/ant", client_id="client", client_secret="s&cret", authority=f"http://127.0.0.1:{service.port}"
    )


Kind = Callable[[FakeProvider], Signing]
both = pytest.mark.parametrize("kind", [google, entra])


async def send(upstream: Upstreams, provider: FakeProvider, signing: Signing, **rest: Any) -> int:
    usual: dict[str, Any] = {"method": "POST", "headers": (), "body": b"{}"}
    outbound = Outbound(url=f"{provider.url}/x:generateContent", signing=signing, **(usual | rest))
    async with upstream.send(outbound) as reply:
        await reply.read(2**20)
        return reply.status


def sent_tokens(provider: FakeProvider) -> list[str | None]:
    return [request.header("authorization") for request in provider.requests]


async def test_google_is_asked_with_the_accounts_own_signature(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams
) -> None:
    await send(upstream, provider, google(service))

    asked = parse_qs(service.last.body.decode())
    claims = jwt.decode(asked["assertion"][0], certs=PUBLIC, audience="https://oauth2.googleapis.com/token")
    assert claims["iss"] == "gateway@p.iam.gserviceaccount.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert sent_tokens(provider) == ["Bearer t-1"]


async def test_entra_is_asked_with_the_clients_secret(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams
) -> None:
    await send(upstream, provider, entra(service))

    assert service.last.path == "/ten%2Fant/oauth2/v2.0/token"
    assert parse_qs(service.last.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client"],
        "client_secret": ["s&cret"],
        "scope": ["https://cognitiveservices.azure.com/.default"],
    }
    assert sent_tokens(provider) == ["Bearer t-1"]


@both
async def test_many_calls_need_one_token(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    await asyncio.gather(*(send(upstream, provider, kind(service)) for _ in range(20)))

    assert sent_tokens(provider) == ["Bearer t-1"] * 20
    assert len(service.requests) == 1


@both
async def test_credentials_do_not_share_tokens(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    async with FakeProvider() as other:
        other.reply_always(token("t-other"))

        await send(upstream, provider, kind(service))
        await send(upstream, provider, kind(other))

    assert sent_tokens(provider) == ["Bearer t-1", "Bearer t-other"]


@both
async def test_token_that_the_target_refuses_is_replaced_once(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    service.reply_with(token("t-1"), token("t-2"), token("t-3"))
    provider.reply_always(whole({}, status=401))

    statuses = [await send(upstream, provider, kind(service)) for _ in range(4)]

    assert statuses == [401] * 4
    assert sent_tokens(provider) == ["Bearer t-1", "Bearer t-2", "Bearer t-2", "Bearer t-2"]


@both
async def test_token_about_to_end_is_used_and_renewed(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    service.reply_with(token("t-1", expires_in=1), token("t-2"))

    await send(upstream, provider, kind(service))
    await asyncio.sleep(0.6)
    await send(upstream, provider, kind(service))
    await service.received(2)
    await asyncio.sleep(0.5)
    await send(upstream, provider, kind(service))

    assert sent_tokens(provider)[0] == "Bearer t-1"
    assert sent_tokens(provider)[-1] == "Bearer t-2"
    assert len(service.requests) == 2


REFUSALS = {
    google: whole({"error": "invalid_grant", "error_description": "account not found"}, status=400),
    entra: whole({"error": "invalid_client", "error_description": "AADSTS7000215: account not found"}, status=401),
}


@both
async def test_refused_credential_is_the_operators_fault_and_asked_once(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    service.reply_always(REFUSALS[kind])

    for _ in range(5):
        with pytest.raises(Misconfigured, match="operator must correct") as caught:
            await send(upstream, provider, kind(service))

    assert "account not found" in (caught.value.told.detail or "")
    assert "cret" not in f"{caught.value} {caught.value.told}"
    assert len(service.requests) == 1
    assert provider.requests == []


@pytest.mark.parametrize("answer", [whole({}, status=503), whole(b"<html>"), whole({"access_token": 3}), whole([])])
async def test_entra_out_of_order_is_no_misconfiguration(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, answer: Answer
) -> None:
    service.reply_always(answer)

    with pytest.raises(Unreachable):
        await send(upstream, provider, entra(service))


async def test_refusal_that_is_no_json_is_one_too(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams
) -> None:
    service.reply_always(whole(b"<html>", status=400))

    with pytest.raises(Misconfigured) as caught:
        await send(upstream, provider, entra(service))
    assert caught.value.told.status == 400


@both
async def test_token_service_that_is_down_is_no_misconfiguration(
    provider: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    gone = FakeProvider(port=1)

    with pytest.raises(Unreachable):
        await send(upstream, provider, kind(gone))


async def test_key_file_that_is_none_is_the_operators_fault(provider: FakeProvider, upstream: Upstreams) -> None:
    for text in ('{"type": "service_account"}', '{"type": "zzz"}', "{}"):
        with pytest.raises(Misconfigured):
            await send(upstream, provider, GoogleSigning(service_account=text))


async def test_application_default_credentials_are_found(
    provider: FakeProvider,
    service: FakeProvider,
    upstream: Upstreams,
    environ: MutableMapping[str, str],
    tmp_path: Path,
) -> None:
    (tmp_path / "adc.json").write_text(google(service).service_account or "")
    environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "adc.json")
    environ["GOOGLE_CLOUD_QUOTA_PROJECT"] = "payer"
    headers = (("x-goog-user-project", "callers"), ("X-Other", "kept"))

    await send(upstream, provider, GoogleSigning(), headers=headers)

    assert sent_tokens(provider) == ["Bearer t-1"]
    assert [value for name, value in provider.last.headers if name == "x-goog-user-project"] == ["payer"]
    assert provider.last.header("x-other") == "kept"


async def test_no_application_default_credentials_is_the_operators_fault(
    provider: FakeProvider, upstream: Upstreams, environ: MutableMapping[str, str], tmp_path: Path
) -> None:
    environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "none.json")

    with pytest.raises(Misconfigured) as caught:
        await send(upstream, provider, GoogleSigning())
    assert "none.json" in (caught.value.told.detail or "")


@both
async def test_streamed_body_goes_with_a_token(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    outbound = Outbound(method="PUT", url=f"{provider.url}/files", headers=(), signing=kind(service))
    async with upstream.send(outbound, pieces(), decode=False) as reply:
        assert reply.status == 200

    assert provider.last.body == b"one two"
    assert sent_tokens(provider) == ["Bearer t-1"]


@both
async def test_caller_who_leaves_does_not_end_the_fetch_of_others(
    provider: FakeProvider, service: FakeProvider, upstream: Upstreams, kind: Kind
) -> None:
    service.reply_with(whole({"access_token": "t-1", "expires_in": 3599}, delay_s=0.2))
    leaving = asyncio.ensure_future(send(upstream, provider, kind(service)))
    staying = asyncio.ensure_future(send(upstream, provider, kind(service)))
    await service.received()

    leaving.cancel()

    assert await staying == 200
    assert (leaving.cancelled(), len(service.requests)) == (True, 1)


@both
async def test_gateway_can_stop_while_a_token_is_fetched(service: FakeProvider, kind: Kind) -> None:
    service.reply_always(whole({}, delay_s=30.0))
    async with FakeProvider() as provider, Upstreams() as upstream:
        waiting = asyncio.ensure_future(send(upstream, provider, kind(service)))
        await service.received()
    outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]

    assert isinstance(outcome, GatewayError | asyncio.CancelledError)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_worker_starts_without_the_libraries_of_clouds() -> None:
    loaded = run("import sys, isthmusd.worker; print(*sys.modules)").split()

    assert "isthmusd.upstream.signed" in loaded
    assert not {"botocore", "google.auth"} & set(loaded)


@pytest.mark.parametrize(
    ("library", "signing", "extra"),
    [("botocore", "AwsSigning(region='r')", "aws"), ("google.auth", "GoogleSigning()", "google")],
)
def test_missing_library_is_named(library: str, signing: str, extra: str) -> None:
    code = f"""
import asyncio, sys
sys.modules[{library!r}] = None
from isthmusd.core.errors import Misconfigured
from isthmusd.core.request import Outbound
from isthmusd.core.signing import AwsSigning, GoogleSigning
from isthmusd.upstream.registry import Upstreams
async def main():
    outbound = Outbound(method="GET", url="http://127.0.0.1:1/", headers=(), signing={signing})
    async with Upstreams() as upstream:
        try:
            async with upstream.send(outbound): pass
        except Misconfigured as error: print(error)
asyncio.run(main())
"""
    assert run(code).endswith(f"pip install 'isthmus-gateway[{extra}]'")
