"""What administrators do to tenants and what is theirs, over every kind of store."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from isthmusd.core.administration import RecordQuery, Subject, TenantWish
from isthmusd.core.errors import AlreadyExists, InvalidRequest, NotFound
from isthmusd.core.keyring import Keyring
from isthmusd.core.tenants import ForwardGrant, Grants, Project, ProviderKey
from isthmusd.pipeline.ports import Administration
from isthmusd.stores.news import Change, ChangeKind, subject_name
from isthmusd.stores.rows import read_subject
from isthmusd.stores.tables import provider_keys
from sqlalchemy import update

from tests.fakes.callers import SECRET
from tests.unit.stores.administered import NOW, Administered, administered

NEWER = "a-newer-secret-of-tests-9876543210-zyxwvut"
PROVIDER_SECRET = "canary-provider-secret"
WISH = TenantWish(
    id="acme",
    name="Acme, Inc.",
    grants=Grants(models=frozenset({"openai/gpt", "b"}), projects=frozenset(), forward=ForwardGrant.SHARED),
    calls=7,
)
KEY = ProviderKey(provider="openai", secret=PROVIDER_SECRET)


@pytest.fixture
def world(store_url: str) -> Iterator[Administered]:
    with administered(store_url) as opened:
        yield opened


def test_it_is_what_the_servicers_ask_for(world: Administered) -> None:
    port: Administration = world.desk

    assert port.tenants(after=None, limit=10) == ()


def test_a_tenant_is_as_it_was_wished(world: Administered) -> None:
    made = world.desk.create_tenant(WISH)

    found = world.desk.tenant("acme")

    for tenant in (made, found):
        assert (tenant.id, tenant.name, tenant.grants, tenant.calls) == ("acme", WISH.name, WISH.grants, 7)
        assert (tenant.created_at, tenant.revoked_at) == (NOW, None)
        assert (tenant.provider_keys, tenant.projects) == ({}, {})


def test_no_grants_and_empty_grants_differ(world: Administered) -> None:
    world.desk.create_tenant(TenantWish(id="all"))
    world.desk.create_tenant(TenantWish(id="none", grants=Grants(models=frozenset(), projects=frozenset())))

    assert world.desk.tenant("all").grants == Grants()
    assert world.desk.tenant("none").grants == Grants(models=frozenset(), projects=frozenset())


def test_an_id_is_given_once(world: Administered) -> None:
    world.desk.create_tenant(WISH)

    with pytest.raises(AlreadyExists):
        world.desk.create_tenant(TenantWish(id="acme", name="another"))

    assert world.desk.tenant("acme").name == WISH.name


@pytest.mark.parametrize("tenant_id", ["default", "", "-a", "a b", "a/b", "a" * 129, "a\0b", "\ud800", "ä"])
def test_ids_that_cannot_be_used_are_refused(world: Administered, tenant_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        world.desk.create_tenant(TenantWish(id=tenant_id))

    assert caught.value.param == "tenant"


@pytest.mark.parametrize(
    "wish",
    [
        replace(WISH, name="a\0b"),
        replace(WISH, name="a" * 1025),
        replace(WISH, calls=0),
        replace(WISH, calls=2**31),
        replace(WISH, grants=Grants(models=frozenset({""}))),
        replace(WISH, grants=Grants(models=frozenset({"a\0"}))),
        replace(WISH, grants=Grants(projects=frozenset({"a b"}))),
        replace(WISH, grants=Grants(models=frozenset(str(number) for number in range(10_001)))),
    ],
    ids=itertools.count(),
)
def test_r17_wishes_that_no_row_should_hold_are_refused(world: Administered, wish: TenantWish) -> None:
    with pytest.raises(InvalidRequest):
        world.desk.create_tenant(wish)

    assert world.desk.tenants(after=None, limit=10) == ()


def test_a_tenant_is_changed_and_keeps_what_it_owns(world: Administered) -> None:
    world.tenant()
    world.desk.set_provider_key("acme", KEY)
    world.desk.set_project("acme", Project(name="p"))

    changed = world.desk.update_tenant(WISH)

    assert (changed.name, changed.grants, changed.calls) == (WISH.name, WISH.grants, 7)
    assert (list(changed.provider_keys), list(changed.projects)) == (["openai"], ["p"])


def test_a_tenant_is_revoked_and_restored(world: Administered) -> None:
    world.tenant()

    assert world.desk.revoke_tenant("acme").revoked_at == NOW
    world.clock.at += 1
    assert world.desk.revoke_tenant("acme").revoked_at == NOW
    assert world.desk.restore_tenant("acme").revoked_at is None


def test_tenants_are_listed_by_id_in_pages(world: Administered) -> None:
    for tenant_id in ("b", "a", "Z", "c.1"):
        world.tenant(tenant_id)

    first = world.desk.tenants(after=None, limit=3)
    second = world.desk.tenants(after=first[-1].id, limit=3)

    assert [tenant.id for tenant in (*first, *second)] == ["Z", "a", "b", "c.1"]
    assert len(world.desk.tenants(after=None, limit=0)) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda desk: desk.tenant("nobody"),
        lambda desk: desk.tenant("no\0body"),
        lambda desk: desk.update_tenant(TenantWish(id="nobody")),
        lambda desk: desk.revoke_tenant("nobody"),
        lambda desk: desk.restore_tenant("no\ud800body"),
        lambda desk: desk.reseal_tenant("nobody"),
        lambda desk: desk.set_provider_key("nobody", KEY),
        lambda desk: desk.remove_provider_key("nobody", "openai", None),
        lambda desk: desk.remove_provider_key("acme", "openai", None),
        lambda desk: desk.remove_provider_key("acme", "openai", "no\0name"),
        lambda desk: desk.set_project("nobody", Project(name="p")),
        lambda desk: desk.remove_project("acme", "p"),
        lambda desk: desk.set_subject(Subject(issuer="i", subject="s", tenant="nobody")),
        lambda desk: desk.remove_subject("i", "s"),
        lambda desk: desk.remove_subject("i", "\0"),
        lambda desk: desk.subjects("nobody"),
    ],
    ids=itertools.count(),
)
def test_what_is_not_there_is_told_and_nothing_is_announced(
    world: Administered, ask: Callable[[Administration], object]
) -> None:
    world.tenant()
    before = world.generation()

    with pytest.raises(NotFound):
        ask(world.desk)

    assert world.generation() == before


def test_provider_keys_are_kept_in_order_of_preference(world: Administered) -> None:
    world.tenant()
    for name, secret in (("b", "1"), (None, "2"), ("a", "3")):
        world.desk.set_provider_key("acme", ProviderKey(provider="openai", name=name, secret=secret))
    world.desk.set_provider_key("acme", ProviderKey(provider="anthropic", secret="4"))

    world.desk.set_provider_key("acme", ProviderKey(provider="openai", name="b", secret="replaced"))
    world.desk.remove_provider_key("acme", "openai", None)

    kept = world.desk.tenant("acme").provider_keys
    assert [(key.name, key.secret) for key in kept["openai"]] == [("b", "replaced"), ("a", "3")]
    assert [(key.name, key.secret) for key in kept["anthropic"]] == [(None, "4")]


@pytest.mark.parametrize(
    "key",
    [
        ProviderKey(provider="open ai", secret="s"),
        ProviderKey(provider="openai", name="", secret="s"),
        ProviderKey(provider="openai", name="a/b", secret="s"),
        ProviderKey(provider="openai", secret=""),
        ProviderKey(provider="openai", secret="s\0"),
        ProviderKey(provider="openai", secret="s\nX-Evil: 1"),
        ProviderKey(provider="openai", secret=" s"),
        ProviderKey(provider="openai", secret="é"),
        ProviderKey(provider="openai", secret="s" * (64 * 1024 + 1)),
    ],
    ids=itertools.count(),
)
def test_provider_keys_that_cannot_be_used_are_refused(world: Administered, key: ProviderKey) -> None:
    world.tenant()

    with pytest.raises(InvalidRequest) as caught:
        world.desk.set_provider_key("acme", key)

    assert not key.secret or key.secret not in caught.value.message.split()


def test_credentials_that_are_set_at_once_are_all_kept(world: Administered) -> None:
    world.tenant()

    with ThreadPoolExecutor(4) as threads:
        for number in range(8):
            key = ProviderKey(provider="openai", name=str(number), secret="s")
            threads.submit(world.desk.set_provider_key, "acme", key)

    assert len(world.desk.tenant("acme").provider_keys["openai"]) == 8


def test_tenants_do_not_have_each_others_credentials_and_projects(world: Administered) -> None:
    for tenant in ("acme", "other"):
        world.tenant(tenant)
        world.desk.set_provider_key(tenant, ProviderKey(provider="openai", secret=f"of {tenant}"))
        world.desk.set_project(tenant, Project(name=f"p-{tenant}"))

    for tenant in world.desk.tenants(after=None, limit=10):
        assert [key.secret for key in tenant.provider_keys["openai"]] == [f"of {tenant.id}"]
        assert list(tenant.projects) == [f"p-{tenant.id}"]


def test_projects_are_set_and_removed(world: Administered) -> None:
    world.tenant()
    world.desk.set_project("acme", Project(name="a"))
    world.desk.set_project("acme", Project(name="b"))
    world.desk.set_project("acme", Project(name="a", record_bodies=True))
    world.desk.remove_project("acme", "b")

    assert world.desk.tenant("acme").projects == {"a": Project(name="a", record_bodies=True)}


def test_identities_are_put_to_tenants_and_moved(world: Administered) -> None:
    for tenant in ("acme", "other"):
        world.tenant(tenant)
    subject = Subject(issuer="https://issuer", subject='it\'s "me" ü', tenant="acme")
    world.desk.set_subject(subject)
    assert world.desk.subjects("acme") == [subject]

    moved = replace(subject, tenant="other")
    world.desk.set_subject(moved)

    assert (world.desk.subjects("acme"), world.desk.subjects("other")) == ([], [moved])
    with world.database.reading() as connection:
        assert read_subject(connection, subject.issuer, subject.subject) == "other"
        assert read_subject(connection, subject.issuer, "somebody else") is None
        assert read_subject(connection, subject.issuer, "\0") is None
    world.desk.remove_subject(subject.issuer, subject.subject)
    assert world.desk.subjects("other") == []


@pytest.mark.parametrize(("issuer", "subject"), [("", "s"), ("i", ""), ("i", "s" * 1025), ("i\0", "s")])
def test_identities_that_no_index_holds_are_refused(world: Administered, issuer: str, subject: str) -> None:
    world.tenant()

    with pytest.raises(InvalidRequest):
        world.desk.set_subject(Subject(issuer=issuer, subject=subject, tenant="acme"))


def test_r28_each_change_is_announced(world: Administered) -> None:
    desk = world.desk
    subject = Subject(issuer="i", subject="s", tenant="acme")
    steps: list[tuple[Callable[[], object], Change]] = [
        (step, Change(ChangeKind.TENANT, "acme"))
        for step in (
            lambda: desk.create_tenant(WISH),
            lambda: desk.update_tenant(WISH),
            lambda: desk.revoke_tenant("acme"),
            lambda: desk.restore_tenant("acme"),
            lambda: desk.set_provider_key("acme", KEY),
            lambda: desk.remove_provider_key("acme", "openai", None),
            lambda: desk.set_project("acme", Project(name="p")),
            lambda: desk.remove_project("acme", "p"),
        )
    ]
    told = Change(ChangeKind.SUBJECT, subject_name("i", "s"))
    steps += [(lambda: desk.set_subject(subject), told), (lambda: desk.remove_subject("i", "s"), told)]

    for step, change in steps:
        before = world.generation()
        step()
        assert world.news(before) == [change]


def test_secrets_rotate_and_the_old_one_can_be_given_up(world: Administered) -> None:
    world.tenant()
    world.desk.set_provider_key("acme", KEY)
    world.desk.set_provider_key("acme", ProviderKey(provider="openai", name="second", secret="2"))

    world.keyring = Keyring.parse(f"{NEWER} {SECRET}")
    assert [key.secret for key in world.desk.tenant("acme").provider_keys["openai"]] == [PROVIDER_SECRET, "2"]
    assert (world.desk.reseal_tenant("acme"), world.desk.reseal_tenant("acme")) == (2, 0)

    world.keyring = Keyring.parse(NEWER)
    assert [key.secret for key in world.desk.tenant("acme").provider_keys["openai"]] == [PROVIDER_SECRET, "2"]


def test_a_credential_whose_secret_is_gone_is_left_out_and_told_of(
    world: Administered, caplog: pytest.LogCaptureFixture
) -> None:
    world.tenant()
    world.desk.set_provider_key("acme", replace(KEY, name="lost"))
    world.keyring = Keyring.parse(f"{NEWER} {SECRET}")
    world.desk.set_provider_key("acme", replace(KEY, name="new", secret="2"))

    world.keyring = Keyring.parse(NEWER)
    with caplog.at_level(logging.WARNING):
        kept = world.desk.tenant("acme").provider_keys["openai"]

    assert [key.name for key in kept] == ["new"]
    assert all(word in caplog.text for word in ("openai", "lost", "acme"))
    assert PROVIDER_SECRET not in caplog.text
    assert world.desk.reseal_tenant("acme") == 0


def test_a_sealed_credential_opens_for_its_owner_only(world: Administered) -> None:
    for tenant in ("acme", "other"):
        world.tenant(tenant)
    world.desk.set_provider_key("acme", KEY)
    with world.database.writing() as connection:
        connection.execute(update(provider_keys).values(tenant="other"))

    assert world.desk.tenant("other").provider_keys == {}


def test_records_are_asked_for(world: Administered) -> None:
    assert list(world.desk.records(RecordQuery(tenant="acme"))) == []
