"""Whom identity providers and the operator's verifier name, and how long their word counts."""

from __future__ import annotations

import pytest
from isthmusd.core.call import AuthMethod
from isthmusd.core.errors import PermissionDenied, Unauthenticated, Unavailable
from isthmusd.core.identity import Identity
from isthmusd.core.tenants import Tenant

from tests.unit.pipeline.calling import ACME, IDP, Scene, jwt
from tests.unit.pipeline.world import START


def test_an_identity_belongs_to_the_tenant_that_it_claims_else_to_the_stored_one() -> None:
    scene = Scene()
    scene.known.tenants["stored"] = Tenant(id="stored")
    scene.known.subjects.update({(IDP, "alice"): "stored", (IDP, "bob"): "stored"})
    scene.identities.identities.update(
        alice=Identity(issuer=IDP, subject="alice", tenant="acme", expires_at=START + 60),
        bob=Identity(issuer=IDP, subject="bob"),
    )

    alice, bob = scene.principal(jwt(iss=IDP, sub="alice")), scene.principal(jwt(iss=IDP, sub="bob"))

    assert (alice.tenant, alice.key_id, alice.method) == ("acme", f"{IDP}|alice", AuthMethod.IDENTITY_TOKEN)
    assert (alice.grants, alice.owner, alice.expires_at) == (ACME.grants, ACME, START + 60)
    assert (bob.tenant, bob.key_id) == ("stored", f"{IDP}|bob")
    assert (alice.stored, bob.stored) == (False, True)


def test_the_tenant_of_an_identity_is_looked_up_for_every_call() -> None:
    scene = Scene()
    scene.known.tenants["other"] = Tenant(id="other")
    scene.identities.identities["bob"] = Identity(issuer=IDP, subject="bob")
    token = jwt(iss=IDP, sub="bob")
    refused = scene.refused(token)
    assert (type(refused), refused.code) == (PermissionDenied, "tenant_not_found")

    scene.known.subjects[IDP, "bob"] = "acme"
    assert scene.principal(token).tenant == "acme"
    scene.known.subjects[IDP, "bob"] = "other"
    assert scene.principal(token).tenant == "other"
    scene.known.subjects.clear()
    assert scene.refused(token).code == "tenant_not_found"


def test_what_is_wrong_with_an_identity_is_told_as_it_is() -> None:
    scene = Scene(with_hook=True)
    scene.identities.identities.update(alice=Unauthenticated("no"), bob=Unavailable("later"))

    assert type(scene.refused(jwt(iss=IDP, sub="alice"))) is Unauthenticated
    assert type(scene.refused(jwt(iss=IDP, sub="bob"))) is Unavailable
    assert scene.hook is not None
    assert not scene.hook.asked


@pytest.mark.parametrize("token", [jwt(iss="https://elsewhere.example", sub="alice"), jwt(sub="alice"), "acme_1"])
def test_the_hook_is_asked_about_tokens_that_nobody_here_knows(token: str) -> None:
    scene = Scene(with_hook=True)
    assert scene.hook is not None
    scene.hook.hook_answers[token] = Identity(issuer="verifier", subject="alice", tenant="acme")

    principal = scene.principal(token)

    assert (principal.tenant, principal.key_id) == ("acme", "verifier|alice")


def test_the_hooks_word_is_remembered_for_five_minutes() -> None:
    scene = Scene(with_hook=True)
    assert scene.hook is not None
    scene.hook.hook_answers["acme_1"] = Identity(issuer="verifier", subject="alice", tenant="acme")

    for at, asked_count in ((0, 1), (0, 1), (299.9, 1), (300, 2), (599.9, 2), (600, 3)):
        scene.clock.still_at = at
        assert scene.principal("acme_1").tenant == "acme"
        assert scene.hook.asked["acme_1"] == asked_count

    scene.clock.still_at = 900
    scene.hook.hook_answers["acme_1"] = Unauthenticated("no")
    assert scene.refused("acme_1").http_status == 401


def test_the_hooks_word_is_remembered_no_longer_than_it_says() -> None:
    scene = Scene(with_hook=True)
    assert scene.hook is not None
    scene.hook.hook_answers["acme_1"] = Identity(
        issuer="verifier", subject="alice", tenant="acme", expires_at=START + 60
    )
    scene.principal("acme_1")

    scene.clock.still_at = 59.9
    assert scene.principal("acme_1").expires_at == START + 60
    assert scene.hook.asked["acme_1"] == 1

    scene.clock.still_at = 60
    assert scene.refused("acme_1").code == "credential_expired"


def test_what_the_hook_refuses_is_not_remembered() -> None:
    scene = Scene(with_hook=True)
    assert scene.hook is not None
    scene.hook.hook_answers["acme_1"] = Unavailable("later")
    assert scene.refused("acme_1").http_status == 503

    scene.hook.hook_answers["acme_1"] = Identity(issuer="verifier", subject="alice", tenant="acme")

    assert scene.principal("acme_1").tenant == "acme"


def test_the_hook_never_sees_what_is_ours() -> None:
    scene = Scene(with_hook=True)
    assert scene.hook is not None
    good = (scene.key, scene.credential())

    for token in good:
        assert scene.principal(token).tenant == "acme"
    for token in (*(each[:-4] + "AAAA" for each in good), "isk_x"):
        assert scene.refused(token).http_status == 401

    assert not scene.hook.asked
