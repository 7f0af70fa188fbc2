"""Tokens that nobody gave, over the whole gateway and on every surface: told alike, and nobody pays for them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import grpc
import pytest

from tests.fakes import jose
from tests.fakes.token_attacks import ATTACKS
from tests.system.attacks.site import (
    ACMES,
    HTTP,
    NATIVE,
    REFUSED_BELOW_TENANT,
    RIVALS,
    Metadata,
    Site,
    bearer,
    over_grpc,
    over_http,
)
from tests.system.pair import eventually
from tests.system.wire import ask

pytestmark = pytest.mark.edge

MESSAGES = {
    "this key is not known here; check it, or create one on this gateway",
    "this key is damaged; copy it whole, or create another",
    "this key is longer than any key is; check it",
    "the Authorization header must be one 'Bearer <key>'",
}
"""All that is said of a token that is not believed. Which one it is follows from what the token looks like, which its
sender knows."""
EXPIRED = {"this token has expired; get another from your identity provider"}
"""Said of tokens with a good signature only: their holder knew that they would end."""
ENDED = {"expired", "expired long ago"}
UNSENDABLE = {"white space in a part"}
"""A line break in a header: no client library sends it, and Envoy refuses it before anything is read."""


@pytest.fixture(scope="session")
def forged(attacked: Site) -> Mapping[str, str]:
    return {name: token for name, token in attacked.forger().attacks().items() if name not in UNSENDABLE}


def test_every_attack_of_the_table_is_made(forged: Mapping[str, str]) -> None:
    assert len(forged) > 100
    assert len(forged) + len(UNSENDABLE) == len(ATTACKS)


@pytest.mark.parametrize("surface", HTTP)
async def test_r2_r24_no_forged_token_opens_http(site: Site, forged: Mapping[str, str], surface: str) -> None:
    start, wrong = site.count, dict[str, object]()
    for name, token in forged.items():
        answer = await over_http(site.url, surface, bearer(token))
        if answer.status != 401:
            wrong[name] = answer
        elif surface == "tenant":
            if answer.body != REFUSED_BELOW_TENANT:
                wrong[name] = answer
        elif not told_alike(name, answer.error["message"]) or answer.error["type"] != "authentication_error":
            wrong[name] = answer

    assert wrong == {}
    assert site.count == start


@pytest.mark.parametrize("surface", NATIVE)
def test_r2_r24_no_forged_token_opens_grpc(
    site: Site, attacked_channel: grpc.Channel, forged: Mapping[str, str], surface: str
) -> None:
    start, wrong = site.count, dict[str, object]()
    for name, token in forged.items():
        answer = over_grpc(attacked_channel, surface, bearer(token))
        if answer.code is not grpc.StatusCode.UNAUTHENTICATED or not told_alike(name, answer.message):
            wrong[name] = answer

    assert wrong == {}
    assert site.count == start


def told_alike(name: str, message: str) -> bool:
    """Whether the message tells no more of a forged token than of any other."""
    return message in (EXPIRED if name in ENDED else MESSAGES)


@pytest.mark.parametrize("place", ["x-api-key", "api-key", "sec-websocket-protocol"])
async def test_other_places_for_keys_open_no_more(
    site: Site, attacked_channel: grpc.Channel, forged: Mapping[str, str], place: str
) -> None:
    start, prefix = site.count, "openai-insecure-api-key." if place == "sec-websocket-protocol" else ""

    statuses = {
        (await over_http(site.url, surface, ((place, prefix + token),))).status
        for token in itertools.islice(forged.values(), 0, None, 9)
        for surface in ("chat", "tenant")
    }
    codes = {
        over_grpc(attacked_channel, "chat", ((place, prefix + token),)).code
        for token in itertools.islice(forged.values(), 0, None, 9)
    }

    assert (statuses, codes) == ({401}, {grpc.StatusCode.UNAUTHENTICATED})
    assert site.count == start


async def everywhere(site: Site, channel: grpc.Channel, headers: Metadata) -> set[str]:
    """Who pays, or how it is refused, on every surface that reaches a provider, over both protocols."""
    outcomes = set[str]()
    for surface in ("chat", "stream", "forward", "tenant"):
        start = len(site.provider.requests)
        answer = await over_http(site.url, surface, headers)
        outcomes |= site.payers(start) or {str(answer.status)}
    for surface in ("chat", "stream", "forward"):
        start = len(site.provider.requests)
        answer = over_grpc(channel, surface, headers)
        outcomes |= site.payers(start) or {answer.code.name}
    return outcomes


REFUSED = {"401", "UNAUTHENTICATED"}


@pytest.mark.parametrize("length", [20, 64, 128, 1024])
async def test_r2_tokens_that_begin_alike_share_no_identity(
    site: Site, attacked_channel: grpc.Channel, length: int
) -> None:
    # The claim that says whose they are stands last, behind a note that makes the beginnings equal.
    note = "x" * 900
    mine, theirs = (site.identity(note=note, client_id=None, firebase={"tenant": name}) for name in ("acme", "rival"))
    cut, other_end = mine[:length], mine[:-8] + "A" * 8

    assert mine[:length] == theirs[:length]
    assert await everywhere(site, attacked_channel, bearer(mine)) == {ACMES}
    assert await everywhere(site, attacked_channel, bearer(theirs)) == {RIVALS}
    assert await everywhere(site, attacked_channel, bearer(mine)) == {ACMES}
    assert await everywhere(site, attacked_channel, bearer(other_end)) == REFUSED
    # Some first characters of a token are no JWT any more, and may be anybody's key at a provider: it is nobody's here.
    assert {ACMES, RIVALS}.isdisjoint(await everywhere(site, attacked_channel, bearer(cut)))


async def test_r2_a_key_with_another_signature_is_no_key_even_when_the_right_one_is_remembered(
    site: Site, attacked_channel: grpc.Channel
) -> None:
    head, _, signature = site.acme.rpartition(".")
    rivals = site.rival.rpartition(".")[2]
    others = rivals, signature[40:] + signature[:40], signature[::-1], signature + "A", signature[:-1], ""
    swapped = [f"{head}.{other}" for other in others]

    assert await everywhere(site, attacked_channel, bearer(site.acme)) == {ACMES}
    for token in swapped:
        assert await everywhere(site, attacked_channel, bearer(token)) == REFUSED


PLACES = ("authorization", "x-api-key", "api-key", "sec-websocket-protocol")
"""In the order in which they are looked at."""


def at(place: str, token: str) -> tuple[str, str]:
    written = {"authorization": f"Bearer {token}", "sec-websocket-protocol": f"openai-insecure-api-key.{token}"}
    return place, written.get(place, token)


@pytest.mark.parametrize(("first", "last"), [*itertools.combinations(PLACES, 2)])
async def test_of_two_good_tokens_the_first_place_counts_everywhere(
    site: Site, attacked_channel: grpc.Channel, first: str, last: str
) -> None:
    for mine, theirs, paid in ((site.acme, site.rival, ACMES), (site.rival, site.identity(), RIVALS)):
        pairs = at(first, mine), at(last, theirs)
        assert await everywhere(site, attacked_channel, pairs) == {paid}
        assert await everywhere(site, attacked_channel, pairs[::-1]) == {paid}


@pytest.mark.parametrize(
    ("place", "bad"), [*itertools.product(PLACES[:3], ["isk_x", "", "a,b", "a b"]), ("authorization", "Bearer")]
)
async def test_a_bad_token_in_the_first_place_is_no_fall_through(
    site: Site, attacked_channel: grpc.Channel, place: str, bad: str
) -> None:
    pairs = ((place, bad), ("sec-websocket-protocol", f"openai-insecure-api-key.{site.acme}"))

    assert await everywhere(site, attacked_channel, pairs) == REFUSED


@pytest.mark.parametrize("place", PLACES)
async def test_one_place_twice_opens_nothing(site: Site, attacked_channel: grpc.Channel, place: str) -> None:
    for mine, theirs in ((site.acme, site.rival), (site.acme, site.acme), (site.acme, "x")):
        for pair in ((mine, theirs), (theirs, mine)):
            assert await everywhere(site, attacked_channel, [at(place, token) for token in pair]) == REFUSED


async def test_r20_r24_keys_that_come_and_go_at_the_identity_provider(
    site: Site, attacked_channel: grpc.Channel
) -> None:
    old, new = jose.rsa(), jose.rsa("rsa-2")
    remembered = site.identity(of=site.moving)

    def outcome(token: str) -> str:
        return over_grpc(attacked_channel, "models", bearer(token)).code.name

    assert await everywhere(site, attacked_channel, bearer(remembered)) == {ACMES}

    site.moving.status = 500
    judged = eventually(lambda: outcome(site.identity(new, of=site.moving)) == "UNAVAILABLE", within_s=15)
    during = [
        await everywhere(site, attacked_channel, bearer(token))
        for token in (remembered, site.identity(old, of=site.moving, note="made during the outage"))
    ]
    unknown = await over_http(site.url, "chat", bearer(site.identity(new, of=site.moving)))

    assert judged, "a key that nobody knows cannot be judged while its provider is away"
    assert during == [{ACMES}, {ACMES}]
    assert (unknown.status, "retry-after" in unknown.headers) == (503, True)

    site.moving.keys, site.moving.status = [new], 200
    rotated = eventually(lambda: outcome(site.identity(new, of=site.moving)) == "OK", within_s=15)

    assert rotated
    assert await everywhere(site, attacked_channel, bearer(site.identity(new, of=site.moving))) == {ACMES}
    for token in (remembered, site.identity(old, of=site.moving)):
        assert await everywhere(site, attacked_channel, bearer(token)) == REFUSED


async def test_r2_a_refused_token_is_shown_nowhere(site: Site, forged: Mapping[str, str]) -> None:
    token = forged["the attacker's key under a published name"]
    answers = [await over_http(site.url, surface, bearer(token)) for surface in HTTP]
    answers.append(await ask(site.url, f"/v1/models/{token}", method="GET", headers=bearer(token)))

    assert not [answer for answer in answers[:-1] if token[-40:] in answer.body.decode() + repr(answer.headers)]
    assert token[-40:] not in site.pair.gateway.log.read_text()
