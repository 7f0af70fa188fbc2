"""Calls that AWS would accept: signatures recomputed from what arrived on a socket, and where keys come from."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from isthmusd.core.errors import InvalidRequest, Misconfigured, Unreachable, UnsupportedFeature
from isthmusd.core.request import Outbound
from isthmusd.core.signing import AwsSigning
from isthmusd.upstream.aws import AwsSigner
from isthmusd.upstream.registry import Upstreams

from tests.fakes.answers import whole
from tests.fakes.aws import assumed_role, denied, signed_by
from tests.fakes.environment import environment
from tests.fakes.provider import FakeProvider

SECRETS = {"AKIDOWN": "own-secret/+", "ASIAROLE": "role-secret", "AKIDFILE": "file-secret", "AKIDNEW": "new-secret"}
OWN = AwsSigning(region="eu-west-1", access_key_id="AKIDOWN", secret_access_key=SECRETS["AKIDOWN"])
ROLE = AwsSigning(
    region="eu-west-1",
    access_key_id="AKIDOWN",
    secret_access_key=SECRETS["AKIDOWN"],
    role_arn="arn:aws:iam::123456789012:role/gateway",
)
ARN = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.fixture(autouse=True)
def environ(tmp_path: Path) -> Iterator[MutableMapping[str, str]]:
    """What botocore reads by itself: nothing of this machine, and what a test says."""
    names = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with environment(names, without="AWS_") as changed:
        yield changed


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        fake.reply_always(whole({}))
        yield fake


@pytest.fixture
async def sts(environ: MutableMapping[str, str]) -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        environ["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{fake.port}"
        yield fake


@pytest.fixture
async def upstream() -> AsyncIterator[Upstreams]:
    async with Upstreams() as made:
        yield made


def call(provider: FakeProvider, path: str = "/model/m/converse", signing: AwsSigning = OWN, **rest: Any) -> Outbound:
    usual: dict[str, Any] = {
        "method": "POST",
        "headers": (("content-type", "application/json"), ("accept-encoding", "identity")),
        "body": b'{"messages": []}',
    }
    return Outbound(url=f"http://127.0.0.1:{provider.port}{path}", signing=signing, **(usual | rest))


async def send(upstream: Upstreams, outbound: Outbound) -> int:
    async with upstream.send(outbound) as reply:
        await reply.read(2**20)
        return reply.status


@pytest.mark.parametrize(
    "path",
    [
        "/model/plain/converse",
        f"/model/{quote('anthropic.claude-v2:1', safe='')}/converse-stream",
        "/model/anthropic.claude-v2:1/converse",
        f"/model/{quote(ARN, safe='')}/converse",
        f"/model/{quote('ünï code~', safe='')}/invoke",
        "/model/m/invoke?b=2&a=%2F&a=1",
        "/",
    ],
)
async def test_signature_is_of_what_is_sent(provider: FakeProvider, upstream: Upstreams, path: str) -> None:
    await send(upstream, call(provider, path))

    assert provider.last.path == path
    assert signed_by(provider.last, SECRETS) == "AKIDOWN"
    assert "/eu-west-1/bedrock/aws4_request" in (provider.last.header("authorization") or "")


@pytest.mark.parametrize("body", [None, b"", b"\x00\xff" * 2**20])
async def test_signature_is_of_the_body_too(provider: FakeProvider, upstream: Upstreams, body: bytes | None) -> None:
    await send(upstream, call(provider, method="GET" if body is None else "POST", body=body))

    assert provider.last.body == (body or b"")
    assert signed_by(provider.last, SECRETS) == "AKIDOWN"
    provider.last.body += b" "
    assert signed_by(provider.last, SECRETS) is None


def test_the_judge_knows_the_example_of_aws() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html: the derived key of the example."""
    secret = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    for part in ("20120215", "us-east-1", "iam", "aws4_request"):
        secret = hmac.digest(secret, part.encode(), hashlib.sha256)

    assert secret.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


async def test_callers_headers_neither_replace_nor_spoil_the_signature(
    provider: FakeProvider, upstream: Upstreams
) -> None:
    headers = (
        ("Authorization", "Bearer callers"),
        ("X-Amz-Date", "20000101T000000Z"),
        ("x-amz-security-token", "callers"),
        ("x-amz-target", "Some.Thing"),
        ("user-agent", "me"),
    )

    await send(upstream, call(provider, headers=headers))

    names = [name.lower() for name, _ in provider.last.headers]
    assert len(names) == len(set(names))
    assert "callers" not in str(provider.last.headers)
    assert provider.last.header("x-amz-target") == "Some.Thing"
    assert signed_by(provider.last, SECRETS) == "AKIDOWN"


async def test_session_token_is_sent_and_signed(provider: FakeProvider, upstream: Upstreams) -> None:
    signing = AwsSigning(
        region="r", access_key_id="AKIDOWN", secret_access_key=SECRETS["AKIDOWN"], session_token="session"
    )

    await send(upstream, call(provider, signing=signing))

    assert provider.last.header("x-amz-security-token") == "session"
    assert signed_by(provider.last, SECRETS) == "AKIDOWN"


async def test_streamed_body_is_refused_before_anything_is_sent(provider: FakeProvider, upstream: Upstreams) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"never"

    with pytest.raises(UnsupportedFeature, match="signs whole bodies"):
        async with upstream.send(call(provider, body=None), pieces()):
            pass
    assert provider.requests == []


@pytest.mark.parametrize("value", ["text/\udcff", "é", "\u2028"])
async def test_header_that_cannot_be_signed_is_the_callers_fault(
    provider: FakeProvider, upstream: Upstreams, value: str
) -> None:
    with pytest.raises(InvalidRequest):
        await send(upstream, call(provider, headers=(("content-type", value),)))

    assert provider.requests == []


async def test_keys_of_the_environment_are_found(
    provider: FakeProvider, upstream: Upstreams, environ: MutableMapping[str, str]
) -> None:
    environ["AWS_ACCESS_KEY_ID"] = "AKIDFILE"
    environ["AWS_SECRET_ACCESS_KEY"] = SECRETS["AKIDFILE"]

    await send(upstream, call(provider, signing=AwsSigning(region="r")))

    assert signed_by(provider.last, SECRETS) == "AKIDFILE"


async def test_profile_is_read_again_when_its_keys_are_refused(
    provider: FakeProvider, upstream: Upstreams, tmp_path: Path
) -> None:
    def write(key: str) -> None:
        text = f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {SECRETS[key]}\n"
        (tmp_path / "credentials").write_text(text)

    signing = AwsSigning(region="r", profile="work")
    write("AKIDFILE")
    provider.reply_with(whole({}), whole({}, status=403))
    assert [await send(upstream, call(provider, signing=signing)) for _ in range(2)] == [200, 403]
    write("AKIDNEW")

    await send(upstream, call(provider, signing=signing))

    assert [signed_by(one, SECRETS) for one in provider.requests] == ["AKIDFILE", "AKIDFILE", "AKIDNEW"]


@pytest.mark.parametrize(
    ("signing", "detail"),
    [(AwsSigning(region="r"), None), (AwsSigning(region="r", profile="nobody"), "ProfileNotFound")],
)
async def test_missing_credentials_are_the_operators_fault(
    provider: FakeProvider, upstream: Upstreams, signing: AwsSigning, detail: str | None
) -> None:
    with pytest.raises(Misconfigured, match="operator must") as caught:
        await send(upstream, call(provider, signing=signing))

    assert detail is None or detail in (caught.value.told.detail or "")
    assert provider.requests == []


async def test_role_is_assumed_once_for_many_calls(
    provider: FakeProvider, upstream: Upstreams, sts: FakeProvider
) -> None:
    sts.reply_always(assumed_role("ASIAROLE", SECRETS["ASIAROLE"]))

    await asyncio.gather(*(send(upstream, call(provider, signing=ROLE)) for _ in range(10)))

    assert len(sts.requests) == 1
    assert signed_by(sts.last, SECRETS) == "AKIDOWN"
    assert b"RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fgateway" in sts.last.body
    assert {signed_by(one, SECRETS) for one in provider.requests} == {"ASIAROLE"}
    assert {one.header("x-amz-security-token") for one in provider.requests} == {"token-of-ASIAROLE"}


async def test_role_is_assumed_again_before_it_ends(provider: FakeProvider, sts: FakeProvider) -> None:
    now = 0.0
    signer = AwsSigner(ROLE, lambda: now)
    sts.reply_with(assumed_role("ASIAROLE", SECRETS["ASIAROLE"], good_for_s=300))
    sts.reply_always(assumed_role("AKIDNEW", SECRETS["AKIDNEW"]))
    first = await signer.sign(call(provider, signing=ROLE), streams=False)
    now = 61.0

    second = await signer.sign(call(provider, signing=ROLE), streams=False)
    await signer.aclose()

    assert "ASIAROLE" in dict(first.outbound.headers)["authorization"]
    assert "AKIDNEW" in dict(second.outbound.headers)["authorization"]


async def test_role_that_may_not_be_assumed_is_not_tried_per_call(
    provider: FakeProvider, upstream: Upstreams, sts: FakeProvider
) -> None:
    sts.reply_always(denied())

    for _ in range(5):
        with pytest.raises(Misconfigured) as caught:
            await send(upstream, call(provider, signing=ROLE))

    assert "AccessDenied" in (caught.value.told.detail or "")
    assert "AccessDenied" not in caught.value.message
    assert len(sts.requests) == 1
    assert provider.requests == []


async def test_token_service_that_is_down_is_no_misconfiguration(
    provider: FakeProvider, upstream: Upstreams, environ: MutableMapping[str, str]
) -> None:
    environ["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:1"
    environ["AWS_MAX_ATTEMPTS"] = "1"

    with pytest.raises(Unreachable):
        await send(upstream, call(provider, signing=ROLE))
