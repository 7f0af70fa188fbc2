"""Grants within grants: nobody gives more than he has."""

from __future__ import annotations

import pytest
from isthmusd.core.tenants import ForwardGrant, Grants, ProviderKey, TemporaryCredential, Tenant
from isthmusd.core.tenants import Issuer as IssuedBy

A, B, AB, NOBODY = frozenset("a"), frozenset("b"), frozenset("ab"), frozenset[str]()


@pytest.mark.parametrize(
    ("inner", "outer", "both"), [(None, None, None), (A, None, A), (None, A, A), (AB, A, A), (A, B, NOBODY)]
)
def test_grants_within_others_are_what_both_allow(
    inner: frozenset[str] | None, outer: frozenset[str] | None, both: frozenset[str] | None
) -> None:
    models = Grants(models=inner).within(Grants(models=outer))
    projects = Grants(projects=inner).within(Grants(projects=outer))

    assert (models.models, models.projects) == (both, None)
    assert (projects.models, projects.projects) == (None, both)


@pytest.mark.parametrize("one", ForwardGrant)
@pytest.mark.parametrize("other", ForwardGrant)
def test_the_narrower_right_to_forward_counts(one: ForwardGrant, other: ForwardGrant) -> None:
    order = [ForwardGrant.NONE, ForwardGrant.OWN, ForwardGrant.SHARED]

    within = Grants(forward=one).within(Grants(forward=other))

    assert within.forward is order[min(order.index(one), order.index(other))]


def test_secrets_are_in_no_repr() -> None:
    key = ProviderKey(provider="openai", secret="sk-canary")
    credential = TemporaryCredential(
        id="c", tenant="acme", issuer=IssuedBy(method="gateway_key", id="k"), custody=b"canary"
    )

    assert "canary" not in repr(key) + repr(credential) + repr(Tenant(id="acme"))


def test_tenants_are_told_apart_by_what_they_are_not_by_what_they_say() -> None:
    assert Tenant(id="acme") != Tenant(id="acme")
