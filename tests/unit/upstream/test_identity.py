"""Keys of identity providers: there before a call needs them, rotated, lost, and never fetched more than needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from isthmusd.core.errors import CredentialExpired, PermissionDenied, Unauthenticated, Unavailable
from isthmusd.core.identity import Identity
from isthmusd.core.tokens import read_unverified
from isthmusd.upstream.identity import IdentityIssuers, Pace
from isthmusd.upstream.options import IssuerOptions

from tests.fakes.identity_provider import DISCOVERY_PATH, KEYS_PATH, FakeIdentityProvider
from tests.fakes.jose import NOW, ec, okp, rsa

DAY_S = 86_400


@dataclass(slots=True)
class HeldClock:
    """Moves only when told."""

    passed_s: float = 0.0

    def now(self) -> float:
        return NOW + self.passed_s

    def monotonic(self) -> float:
        return 1000 + self.passed_s


@dataclass(slots=True)
class World:
    provider: FakeIdentityProvider
    issuers: IdentityIssuers
    clock: HeldClock

    async def verify(self, token: str) -> Identity:
        said = read_unverified(token)
        assert said is not None
        return await self.issuers.verify(token, said)

    async def is_good(self, token: str) -> bool:
        try:
            return (await self.verify(token)).subject == "alice"
        except Unavailable:
            return False

    @property
    def asked_count(self) -> int:
        return self.provider.asked[KEYS_PATH]


QUICK = Pace(first_rest_s=0.02, longest_rest_s=0.05)
ALWAYS_FRESH = Pace(early=1 - 1e-4, early_s=DAY_S)
"""Keys of a minute are fetched again every few milliseconds."""


@asynccontextmanager
async def world(
    provider: FakeIdentityProvider, pace: Pace | None = None, options: IssuerOptions | None = None, **rules: Any
) -> AsyncIterator[World]:
    clock = HeldClock()
    async with IdentityIssuers((options or provider.options(**rules),), clock, pace) as issuers:
        yield World(provider, issuers, clock)


@pytest.fixture
async def provider() -> AsyncIterator[FakeIdentityProvider]:
    async with FakeIdentityProvider() as running:
        yield running


async def test_without_identity_providers_nobody_is_known_and_nothing_is_opened() -> None:
    async with IdentityIssuers((), HeldClock()) as issuers:
        assert not issuers.knows("https://id.example")


async def test_a_good_token_names_somebody(provider: FakeIdentityProvider) -> None:
    provider.keys = [rsa(), ec(), okp()]
    async with world(provider, algorithms=("RS256", "ES256", "EdDSA")) as here:
        assert here.issuers.knows(provider.url)
        assert not here.issuers.knows(provider.url + "/")
        for key, algorithm in ((rsa(), "RS256"), (ec(), "ES256"), (okp(), "EdDSA")):
            identity = await here.verify(provider.token(key, algorithm, client_id="acme"))
            assert (identity.issuer, identity.subject, identity.tenant) == (provider.url, "alice", "acme")


async def test_the_address_of_the_keys_is_discovered(provider: FakeIdentityProvider) -> None:
    async with world(provider, options=provider.options(discovered=True)) as here:
        assert (await here.verify(provider.token())).subject == "alice"
        assert provider.asked == {DISCOVERY_PATH: 1, KEYS_PATH: 1}


@pytest.mark.parametrize(
    "discovery",
    [
        b"<html>",
        b"[" * 100_000,
        b"[]",
        {"issuer": "https://other.example"},
        {"issuer": 5},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"jwks_uri": "http://"},
    ],
)
async def test_a_discovery_document_that_is_not_this_issuers_is_not_followed(
    provider: FakeIdentityProvider, discovery: dict[str, Any] | bytes
) -> None:
    provider.discovery = discovery
    async with world(provider, options=provider.options(discovered=True)) as here:
        with pytest.raises(Unavailable):
            await here.verify(provider.token())
        assert here.asked_count == 0


async def test_r24_in_the_steady_state_no_call_waits_for_the_network(provider: FakeIdentityProvider) -> None:
    async with world(provider) as here:
        await here.verify(provider.token())
        provider.stalls.set()
        for number in range(50):
            async with asyncio.timeout(0.5):
                assert (await here.verify(provider.token(sub=f"user-{number}"))).subject == f"user-{number}"
        assert here.asked_count == 1


async def test_r24_keys_are_fetched_again_before_their_time_ends(provider: FakeIdentityProvider) -> None:
    provider.headers = {"cache-control": "max-age=60"}
    async with world(provider, ALWAYS_FRESH) as here:
        await provider.was_asked(5)
        assert (await here.verify(provider.token())).subject == "alice"


async def test_r24_a_key_that_was_taken_back_ends_tokens_that_were_verified_before(
    provider: FakeIdentityProvider,
) -> None:
    provider.headers = {"cache-control": "max-age=60"}
    provider.keys = [rsa(), rsa("rsa-2")]
    async with world(provider, ALWAYS_FRESH) as here:
        token = provider.token()
        assert (await here.verify(token)).subject == "alice"

        provider.keys = [rsa("rsa-2")]
        await provider.was_asked(here.asked_count + 3)

        with pytest.raises(Unauthenticated):
            await here.verify(token)
        assert (await here.verify(provider.token(rsa("rsa-2")))).subject == "alice"


async def test_r24_a_key_of_the_same_name_but_another_ends_tokens_too(provider: FakeIdentityProvider) -> None:
    provider.headers = {"cache-control": "max-age=60"}
    async with world(provider, ALWAYS_FRESH) as here:
        token = provider.token()
        await here.verify(token)

        provider.keys = [{**rsa("rsa-2").as_dict(private=False), "kid": "rsa-1"}]
        await provider.was_asked(here.asked_count + 3)

        with pytest.raises(Unauthenticated):
            await here.verify(token)


async def test_r24_a_new_key_is_found_by_its_first_token_with_one_fetch_for_all(provider: FakeIdentityProvider) -> None:
    async with world(provider) as here:
        await here.verify(provider.token())
        provider.keys = [rsa(), rsa("rsa-2")]
        here.clock.passed_s += 10

        found = await asyncio.gather(*(here.verify(provider.token(rsa("rsa-2"), sub=f"u{n}")) for n in range(20)))

        assert {identity.subject for identity in found} == {f"u{number}" for number in range(20)}
        assert here.asked_count == 2


async def test_r24_made_up_key_names_lead_to_one_fetch_in_ten_seconds(provider: FakeIdentityProvider) -> None:
    async with world(provider) as here:
        await here.verify(provider.token())
        for wait_s, asked_count in ((0, 1), (9.9, 1), (0.1, 2), (0, 2), (9.9, 2), (10, 3)):
            here.clock.passed_s += wait_s
            for number in range(5):
                with pytest.raises(Unauthenticated):
                    await here.verify(provider.token(header={"kid": f"made-up-{number}"}))
            assert here.asked_count == asked_count


async def test_a_caller_who_gives_up_does_not_end_the_fetch_for_others(provider: FakeIdentityProvider) -> None:
    async with world(provider) as here:
        calls = [asyncio.create_task(here.verify(provider.token(sub=f"u{number}"))) for number in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()

        answers = await asyncio.gather(*calls, return_exceptions=True)

        assert isinstance(answers[0], asyncio.CancelledError)
        assert [answer.subject for answer in answers if isinstance(answer, Identity)] == ["u1", "u2"]


async def test_r20_keys_that_were_published_count_for_a_day_while_the_provider_fails(
    provider: FakeIdentityProvider,
) -> None:
    provider.headers = {"cache-control": "max-age=3600"}
    async with world(provider) as here:
        await here.verify(provider.token())
        provider.status = 500

        here.clock.passed_s = 3600 + DAY_S - 1
        assert (await here.verify(provider.token(exp=NOW + 10 * DAY_S))).subject == "alice"
        here.clock.passed_s += 1
        with pytest.raises(Unavailable) as caught:
            await here.verify(provider.token(exp=NOW + 10 * DAY_S))

        assert (caught.value.http_status, caught.value.code) == (503, "identity_provider_unavailable")
        assert (caught.value.retry_after_s or 0) >= 1


async def test_r20_an_unknown_key_while_the_provider_fails_cannot_be_judged(provider: FakeIdentityProvider) -> None:
    async with world(provider) as here:
        await here.verify(provider.token())
        provider.status = 500
        here.clock.passed_s += 10

        with pytest.raises(Unavailable):
            await here.verify(provider.token(rsa("rsa-2")))
        assert (await here.verify(provider.token())).subject == "alice"


BROKEN: dict[str, dict[str, Any]] = {
    "an error": {"status": 500},
    "not modified": {"status": 304, "body": b""},
    "a redirect": {"status": 302, "headers": {"location": "/elsewhere"}},
    "a page": {"body": b"<html>log in</html>"},
    "no keys": {"body": b'{"keys": []}'},
    "too much": {"body": b'{"keys": [' + b" " * (2 << 20) + b"]}"},
    "compressed": {"headers": {"content-encoding": "gzip"}, "body": b"\x1f\x8b"},
}


@pytest.mark.parametrize("name", BROKEN)
async def test_r20_without_any_keys_callers_are_told_to_come_again(
    provider: FakeIdentityProvider, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for member, value in BROKEN[name].items():
        setattr(provider, member, value)
    async with world(provider, QUICK) as here:
        token = provider.token()
        with pytest.raises(Unavailable) as caught:
            await here.verify(token)
        assert caught.value.code == "identity_provider_unavailable"
        assert provider.asked["/elsewhere"] == 0
        assert "127.0.0.1" not in caught.value.message
        assert any(record.levelno == logging.WARNING for record in caplog.records)
        assert token not in caplog.text

        provider.status, provider.body, provider.headers = 200, None, {}
        async with asyncio.timeout(10):
            while not await here.is_good(token):  # noqa: ASYNC110 nobody tells when a fetch has ended
                await asyncio.sleep(0.01)
    assert "can be fetched again" in caplog.text


async def test_r20_a_provider_that_nobody_reaches_is_not_waited_for(provider: FakeIdentityProvider) -> None:
    nobody = IssuerOptions(rules=provider.options().rules, jwks_url="http://127.0.0.1:1/keys")
    async with world(provider, QUICK, nobody) as here, asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(Unavailable):
                await here.verify(provider.token())


async def test_r20_a_provider_that_stalls_holds_up_only_who_brings_an_unknown_key(
    provider: FakeIdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(provider, Pace(patience_s=0.2)) as here:
        await here.verify(provider.token())
        provider.stalls.set()
        here.clock.passed_s += 10
        unknown = asyncio.create_task(here.verify(provider.token(rsa("rsa-2"))))
        await provider.was_asked(2)

        assert (await here.verify(provider.token(sub="bob"))).subject == "bob"
        assert not unknown.done()
        with pytest.raises(Unavailable):
            await unknown
    assert "no answer within 0.2 s" in caplog.text


async def test_r20_the_first_keys_are_waited_for_and_closing_ends_the_wait(provider: FakeIdentityProvider) -> None:
    provider.stalls.set()
    async with world(provider) as here:
        waiting = asyncio.create_task(here.verify(provider.token()))
        await provider.was_asked(1)
        assert not waiting.done()

    with pytest.raises(Unavailable):
        await waiting


async def test_what_is_wrong_with_a_token_is_told_whatever_is_remembered(provider: FakeIdentityProvider) -> None:
    async with world(provider, tenants=frozenset({"acme"})) as here:
        token = provider.token(exp=NOW + 60)
        for _ in range(2):
            assert (await here.verify(token)).expires_at == NOW + 90
        with pytest.raises(PermissionDenied):
            await here.verify(provider.token(client_id="other"))
        with pytest.raises(Unauthenticated):
            await here.verify(token[:-8] + "AAAAAAAA")

        here.clock.passed_s = 90
        with pytest.raises(CredentialExpired):
            await here.verify(token)


async def test_r24_tokens_of_one_issuer_are_not_good_for_another(provider: FakeIdentityProvider) -> None:
    async with FakeIdentityProvider() as other:
        other.keys = [rsa("rsa-other")]
        async with IdentityIssuers((provider.options(), other.options()), HeldClock()) as issuers:
            for token in (provider.token(rsa("rsa-other")), other.token(rsa())):
                said = read_unverified(token)
                assert said is not None
                with pytest.raises(Unauthenticated):
                    await issuers.verify(token, said)
