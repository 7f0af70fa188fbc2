"""The operator's own verifier: asked once for a token, believed within bounds, and never told of in a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from isthmus.v1.verifier_pb2 import VerifyTokenResponse
from isthmusd.core.errors import PermissionDenied, Unauthenticated, Unavailable
from isthmusd.core.identity import Identity
from isthmusd.core.tokens import Unverified
from isthmusd.upstream.hook import MAX_QUESTIONS, VerifierHook
from isthmusd.upstream.options import HookOptions

from tests.fakes.token_verifier import FakeTokenVerifier

TOKEN = "acme_canary-token"
ALICE = VerifyTokenResponse(tenant="acme", subject="alice")


@pytest.fixture
async def verifier() -> AsyncIterator[FakeTokenVerifier]:
    async with FakeTokenVerifier() as running:
        yield running


def options(verifier: FakeTokenVerifier, timeout_s: float = 5.0, tenants: frozenset[str] | None = None) -> HookOptions:
    return HookOptions(address=verifier.address, prefixes=("acme_",), timeout_s=timeout_s, tenants=tenants)


def test_jwts_and_tokens_with_its_prefix_are_its_business() -> None:
    hook = VerifierHook(HookOptions(address="127.0.0.1:1", prefixes=("acme_", "x-")))

    assert hook.wants("a.b.c", Unverified({}, {}))
    assert hook.wants("acme_1", None)
    assert hook.wants("x-1", None)
    assert not hook.wants("sk-acme_1", None)
    assert not VerifierHook(HookOptions(address="127.0.0.1:1")).wants("sk-1", None)


async def test_a_good_token_names_somebody(verifier: FakeTokenVerifier) -> None:
    verifier.answers[TOKEN] = VerifyTokenResponse(
        tenant="acme", subject="alice", expire_time=Timestamp(seconds=1_800_000_000, nanos=500_000_000)
    )
    verifier.answers["acme_2"] = VerifyTokenResponse(subject="bob")

    async with VerifierHook(options(verifier)) as hook:
        first, second = await hook.verify(TOKEN), await hook.verify("acme_2")

    assert first == Identity(issuer="verifier", subject="alice", tenant="acme", expires_at=1_800_000_000.5)
    assert second == Identity(issuer="verifier", subject="bob", tenant=None, expires_at=None)


async def test_a_unix_socket_may_be_the_address(tmp_path: Path) -> None:
    verifier = FakeTokenVerifier()
    verifier.address = f"unix:{tmp_path}/verifier.sock"
    verifier.answers[TOKEN] = ALICE
    async with verifier, VerifierHook(options(verifier)) as hook:
        assert (await hook.verify(TOKEN)).subject == "alice"


async def test_a_token_that_is_not_good_is_refused(verifier: FakeTokenVerifier) -> None:
    async with VerifierHook(options(verifier)) as hook:
        with pytest.raises(Unauthenticated) as caught:
            await hook.verify(TOKEN)

    assert TOKEN not in caught.value.message


@pytest.mark.parametrize("status", [code for code in grpc.StatusCode if code.name not in {"OK", "UNAUTHENTICATED"}])
async def test_r20_any_other_status_means_that_it_cannot_tell_now(
    verifier: FakeTokenVerifier, status: grpc.StatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    verifier.answers[TOKEN] = status
    async with VerifierHook(options(verifier)) as hook:
        with pytest.raises(Unavailable) as caught:
            await hook.verify(TOKEN)

    assert (caught.value.http_status, caught.value.code) == (503, "identity_provider_unavailable")
    assert status.name in caplog.text
    assert TOKEN not in caplog.text + caught.value.message


@pytest.mark.parametrize("subject", ["", "x" * 256, "alice\x00", "a\nb"])
async def test_an_answer_without_a_usable_subject_is_none(
    verifier: FakeTokenVerifier, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    verifier.answers[TOKEN] = VerifyTokenResponse(tenant="acme", subject=subject)
    async with VerifierHook(options(verifier)) as hook:
        with pytest.raises(Unavailable):
            await hook.verify(TOKEN)

    assert "no usable subject" in caplog.text


@pytest.mark.parametrize("tenant", ["other", "acme\x00", "ACME"])
async def test_a_tenant_that_it_may_not_name_is_refused(verifier: FakeTokenVerifier, tenant: str) -> None:
    verifier.answers[TOKEN] = VerifyTokenResponse(tenant=tenant, subject="alice")
    async with VerifierHook(options(verifier, tenants=frozenset({"acme"}))) as hook:
        with pytest.raises(PermissionDenied) as caught:
            await hook.verify(TOKEN)

    assert caught.value.code == "tenant_not_found"


async def test_r20_a_verifier_that_is_too_slow_or_not_there_is_not_waited_for(verifier: FakeTokenVerifier) -> None:
    verifier.answers[TOKEN] = ALICE
    verifier.delay_s = 30
    async with VerifierHook(options(verifier, timeout_s=0.2)) as hook, asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await hook.verify(TOKEN)
    async with VerifierHook(HookOptions(address="127.0.0.1:1")) as hook, asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await hook.verify(TOKEN)


async def test_r20_after_a_restart_of_the_verifier_it_is_asked_again() -> None:
    first = FakeTokenVerifier()
    async with first:
        hook = await VerifierHook(options(first)).__aenter__()
    async with hook, asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await hook.verify(TOKEN)
        second = FakeTokenVerifier()
        second.address, second.answers[TOKEN] = first.address, ALICE
        async with second:
            while True:
                try:
                    identity = await hook.verify(TOKEN)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)

    assert identity.subject == "alice"


async def test_calls_with_the_same_token_share_one_question(verifier: FakeTokenVerifier) -> None:
    verifier.answers[TOKEN] = ALICE
    verifier.delay_s = 0.1
    async with VerifierHook(options(verifier)) as hook:
        together = [asyncio.create_task(hook.verify(TOKEN)) for _ in range(10)]
        await verifier.was_asked(1)
        together[0].cancel()

        answers = await asyncio.gather(*together, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert [answer.subject for answer in answers if isinstance(answer, Identity)] == ["alice"] * 9
        assert verifier.asked == [TOKEN]

        await hook.verify(TOKEN)
        assert verifier.asked == [TOKEN] * 2


async def test_each_waiting_call_gets_an_error_of_its_own(verifier: FakeTokenVerifier) -> None:
    async with VerifierHook(options(verifier)) as hook:
        errors = await asyncio.gather(*(hook.verify(TOKEN) for _ in range(3)), return_exceptions=True)

    assert [type(error) for error in errors] == [Unauthenticated] * 3
    assert len({id(error) for error in errors}) == 3


async def test_r17_only_so_many_questions_are_asked_at_once_and_closing_ends_them(verifier: FakeTokenVerifier) -> None:
    verifier.delay_s = 30
    async with VerifierHook(options(verifier, timeout_s=30)) as hook:
        waiting = [asyncio.create_task(hook.verify(f"acme_{number}")) for number in range(MAX_QUESTIONS)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await hook.verify("acme_one-more")

    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * MAX_QUESTIONS
    with pytest.raises(Unavailable):
        await hook.verify(TOKEN)
