"""Gateway keys and temporary credentials as administrators make and take them back, over every kind of store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from isthmusd.core.administration import KeyWish
from isthmusd.core.errors import CredentialExpired, InvalidRequest, NotFound
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import ForwardGrant, Grants, Issuer, Role
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, from_base64url, refuse_expired, verify
from isthmusd.pipeline.ports import Administration
from isthmusd.stores.news import Change, ChangeKind

from tests.fakes.callers import ISSUER, KEYRING, SECRET
from tests.unit.stores.administered import NOW, Administered, administered

NEWER = "a-newer-secret-of-tests-9876543210-zyxwvut"
WISH = KeyWish(
    tenant="acme",
    name="ci",
    grants=Grants(models=frozenset({"m"}), projects=frozenset({"p"}), forward=ForwardGrant.NONE),
    expires_at=NOW + 100.2,
)


@pytest.fixture
def world(store_url: str) -> Iterator[Administered]:
    with administered(store_url) as opened:
        opened.tenant()
        yield opened


def claims(token: str, now: float = NOW) -> dict[str, object]:
    assert token.startswith(KEY_PREFIX)
    return dict(verify(token.removeprefix(KEY_PREFIX), KEYRING.public, kind=KEY_TYPE, issuer=ISSUER, now=now))


def test_a_key_is_as_it_was_wished(world: Administered) -> None:
    issued = world.desk.create_key(WISH)

    key = world.desk.key(issued.key.id)

    assert key == issued.key
    assert (key.tenant, key.name, key.role, key.grants) == ("acme", "ci", Role.CALLER, WISH.grants)
    assert (key.created_at, key.expires_at, key.revoked_at) == (NOW, float(int(NOW) + 101), None)
    assert key.kid == KEYRING.signer.kid


def test_its_token_says_what_the_store_knows_and_something_that_nobody_else_does(world: Administered) -> None:
    issued = world.desk.create_key(WISH)
    other = world.desk.create_key(WISH)

    said = dict(claims(issued.token))
    salt = said.pop("salt")
    assert len(from_base64url(salt)) == 16
    assert claims(other.token)["salt"] != salt
    assert said == {
        "iss": ISSUER,
        "aud": ISSUER,
        "jti": issued.key.id,
        "tenant": "acme",
        "iat": int(NOW),
        "exp": issued.key.expires_at,
    }
    with pytest.raises(CredentialExpired):
        refuse_expired(claims(issued.token, now=NOW + 101), NOW + 101)


def test_a_key_without_an_end_has_no_exp(world: Administered) -> None:
    issued = world.desk.create_key(KeyWish(tenant="acme", role=Role.ADMIN))

    assert "exp" not in claims(issued.token)
    assert world.desk.key(issued.key.id).role is Role.ADMIN


def test_ids_are_long_and_unlike(world: Administered) -> None:
    ids = {world.key().id for _ in range(10)}

    assert len(ids) == 10
    assert all(len(key_id) >= 20 and key_id.isalnum() for key_id in ids)


@pytest.mark.parametrize(
    "wish",
    [
        replace(WISH, name="a\0"),
        replace(WISH, expires_at=NOW),
        replace(WISH, expires_at=float("nan")),
        replace(WISH, expires_at=float("inf")),
        replace(WISH, grants=Grants(models=frozenset({""}))),
    ],
    ids=itertools.count(),
)
def test_wishes_that_cannot_be_met_are_refused(world: Administered, wish: KeyWish) -> None:
    with pytest.raises(InvalidRequest):
        world.desk.create_key(wish)

    assert world.desk.keys(tenant=None, after=None, limit=10) == []


def test_keys_are_listed_by_id_in_pages_and_by_tenant(world: Administered) -> None:
    world.tenant("other")
    ids = sorted(world.key(tenant).id for tenant in ("acme", "other", "acme"))

    first = world.desk.keys(tenant=None, after=None, limit=2)
    second = world.desk.keys(tenant=None, after=first[-1].id, limit=2)

    assert [key.id for key in (*first, *second)] == ids
    assert [key.tenant for key in world.desk.keys(tenant="other", after=None, limit=10)] == ["other"]
    assert list(world.desk.keys(tenant="\0", after=None, limit=10)) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda desk: desk.tenants(after="\0", limit=1),
        lambda desk: desk.keys(tenant=None, after="\ud800", limit=1),
        lambda desk: desk.credentials(tenant=None, after="\0", limit=1),
    ],
    ids=itertools.count(),
)
def test_pages_that_begin_nowhere_are_refused(world: Administered, ask: Callable[[Administration], object]) -> None:
    with pytest.raises(InvalidRequest):
        ask(world.desk)


def test_rotation_makes_a_key_of_the_same_rights_and_ends_the_old_one(world: Administered) -> None:
    old = world.desk.create_key(replace(WISH, expires_at=None)).key
    world.clock.at += 10

    issued = world.desk.rotate_key(old.id, 60.0)

    assert replace(issued.key, id=old.id, created_at=NOW) == old
    assert claims(issued.token, now=world.clock.at)["jti"] == issued.key.id != old.id
    assert world.desk.key(old.id) == replace(old, expires_at=NOW + 70)


def test_rotation_never_lengthens_a_life(world: Administered) -> None:
    old = world.desk.create_key(WISH).key

    issued = world.desk.rotate_key(old.id, 1000.0)

    assert world.desk.key(old.id).expires_at == issued.key.expires_at == old.expires_at


def test_rotation_signs_with_the_newest_secret(world: Administered) -> None:
    old = world.key()
    world.keyring = Keyring.parse(f"{NEWER} {SECRET}")

    assert world.desk.rotate_key(old.id, 0.0).key.kid == Keyring.parse(NEWER).signer.kid


@pytest.mark.parametrize("grace_s", [-1.0, float("nan"), float("inf")])
def test_a_grace_that_is_none_is_refused(world: Administered, grace_s: float) -> None:
    key = world.key()

    with pytest.raises(InvalidRequest):
        world.desk.rotate_key(key.id, grace_s)


def test_what_opens_nothing_any_more_is_not_rotated(world: Administered) -> None:
    revoked, expired = world.key(), world.desk.create_key(WISH).key
    world.desk.revoke_key(revoked.id)
    world.clock.at += 101

    for key in (revoked, expired):
        with pytest.raises(InvalidRequest):
            world.desk.rotate_key(key.id, 0.0)
    assert len(world.desk.keys(tenant=None, after=None, limit=10)) == 2


def test_a_key_is_revoked_once(world: Administered) -> None:
    key = world.key()

    assert world.desk.revoke_key(key.id) == replace(key, revoked_at=NOW)
    world.clock.at += 1
    assert world.desk.revoke_key(key.id).revoked_at == NOW
    assert world.desk.key(key.id).revoked_at == NOW


def test_r28_keys_are_announced(world: Administered) -> None:
    before = world.generation()

    key = world.key()
    issued = world.desk.rotate_key(key.id, 60.0)
    world.desk.revoke_key(key.id)
    world.desk.revoke_key(key.id)

    told = [key.id, issued.key.id, key.id, key.id]
    assert world.news(before) == [Change(ChangeKind.KEY, key_id) for key_id in told]


def test_changes_at_once_wait_for_each_other(world: Administered) -> None:
    key = world.key()

    with ThreadPoolExecutor(4) as threads:
        rotated = [threads.submit(world.desk.rotate_key, key.id, 60.0) for _ in range(4)]
        made = [threads.submit(world.key) for _ in range(4)]
        revoked = [threads.submit(world.desk.revoke_tenant, "acme") for _ in range(4)]
        ids = {each.result().key.id for each in rotated} | {each.result().id for each in made}
        assert {each.result().revoked_at for each in revoked} == {NOW}

    assert {each.id for each in world.desk.keys(tenant="acme", after=None, limit=100)} == ids | {key.id}


@pytest.mark.parametrize(
    "ask",
    [
        lambda desk: desk.create_key(KeyWish(tenant="nobody")),
        lambda desk: desk.create_key(KeyWish(tenant="\0")),
        lambda desk: desk.key("nothing"),
        lambda desk: desk.rotate_key("nothing", 1.0),
        lambda desk: desk.revoke_key("nothing"),
        lambda desk: desk.revoke_key("\0"),
        lambda desk: desk.credential("nothing"),
        lambda desk: desk.credential("\0"),
        lambda desk: desk.revoke_credential("nothing"),
        lambda desk: desk.revoke_credential("\ud800"),
    ],
    ids=itertools.count(),
)
def test_what_is_not_there_is_told(world: Administered, ask: Callable[[Administration], object]) -> None:
    with pytest.raises(NotFound):
        ask(world.desk)


def test_credentials_of_all_are_shown_the_newest_first(world: Administered) -> None:
    full = world.credential(
        id="full",
        issuer=Issuer(method="identity_token", id="i s"),
        model="m",
        project="p",
        compress_audio=True,
        expires_at=NOW + 1,
        custody=b"\0sealed",
    )
    later = world.credential("other", id="later", created_at=NOW + 1)
    same = world.credential(id="same")

    first = world.desk.credentials(tenant=None, after=None, limit=2)
    second = world.desk.credentials(tenant=None, after=first[-1].id, limit=2)

    assert [*first, *second] == [later, same, full]
    assert world.desk.credential("full") == full
    assert world.desk.credentials(tenant="other", after=None, limit=10) == [later]
    assert list(world.desk.credentials(tenant="\0", after=None, limit=10)) == []
    assert list(world.desk.credentials(tenant=None, after="gone", limit=10)) == []


def test_a_credential_is_revoked_once_and_announced(world: Administered) -> None:
    made = world.credential()
    before = world.generation()

    assert world.desk.revoke_credential(made.id) == replace(made, revoked_at=NOW)
    world.clock.at += 1
    assert world.desk.revoke_credential(made.id).revoked_at == NOW

    assert world.news(before)[0] == Change(ChangeKind.CREDENTIAL, made.id)
