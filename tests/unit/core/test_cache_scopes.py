"""Who shares answers, and which need their caller's token."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import pytest
from isthmusd.core.caching import locked_by, scope_of
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.tenants import Grants, Role, Tenant

ANONYMOUS = Principal(tenant="house", key_id="anonymous", method=AuthMethod.ANONYMOUS)
OWNED = (AuthMethod.GATEWAY_KEY, AuthMethod.TEMPORARY_CREDENTIAL, AuthMethod.IDENTITY_TOKEN)
LASTING = {AuthMethod.GATEWAY_KEY, AuthMethod.PROVIDER_KEY, AuthMethod.TEMPORARY_CREDENTIAL}


def known(tenant: str, key_id: str, method: AuthMethod) -> Principal:
    """Make a caller whose tenant the store knows."""
    return Principal(tenant=tenant, key_id=key_id, method=method, owner=Tenant(id=tenant))


def stranger(tenant: str, key_id: str, method: AuthMethod) -> Principal:
    """Make a caller whom no tenant stands for."""
    return Principal(tenant=tenant, key_id=key_id, method=method)


KNOWN = [known(*parts) for parts in product(("acme", "other"), ("k1", "k2"), OWNED)]
STRANGERS = [
    stranger(*parts)
    for parts in product(
        ("house", "acme"),
        ("k1", "k2"),
        (AuthMethod.PROVIDER_KEY, AuthMethod.TEMPORARY_CREDENTIAL, AuthMethod.ANONYMOUS),
    )
]


@pytest.mark.parametrize("principals", [KNOWN, STRANGERS])
def test_no_two_credentials_share(principals: list[Principal]) -> None:
    for one, other in combinations(principals, 2):
        assert scope_of(one, per_tenant=False) != scope_of(other, per_tenant=False)


@pytest.mark.parametrize("per_tenant", [False, True])
def test_strangers_share_with_nobody(per_tenant: bool) -> None:
    for one, other in combinations(STRANGERS, 2):
        assert scope_of(one, per_tenant=per_tenant) != scope_of(other, per_tenant=per_tenant)
    for one, other in product(STRANGERS, KNOWN):
        # A credential has one scope, whether or not its tenant is known, but none with others of the tenant.
        same = (one.tenant, one.key_id, one.method) == (other.tenant, other.key_id, other.method)
        assert (scope_of(one, per_tenant=per_tenant) == scope_of(other, per_tenant=per_tenant)) == (
            same and not per_tenant
        )


def test_callers_of_one_tenant_share_where_that_is_wanted() -> None:
    for one, other in combinations(KNOWN, 2):
        shared = scope_of(one, per_tenant=True) == scope_of(other, per_tenant=True)

        assert shared == (one.tenant == other.tenant)


def test_what_a_caller_may_do_is_no_part_of_the_scope() -> None:
    one = known("acme", "k1", AuthMethod.GATEWAY_KEY)
    other = replace(one, grants=Grants(models=frozenset({"m"})), role=Role.ADMIN, project="p", expires_at=9.0)

    assert scope_of(one, per_tenant=False) == scope_of(other, per_tenant=False)


def test_anonymous_callers_are_one_caller() -> None:
    for per_tenant in (False, True):
        assert scope_of(ANONYMOUS, per_tenant=per_tenant) == scope_of(replace(ANONYMOUS), per_tenant=per_tenant)
        assert locked_by(ANONYMOUS, None, per_tenant=per_tenant) is None
        assert locked_by(ANONYMOUS, "shown all the same", per_tenant=per_tenant) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stranger("a", "bc", AuthMethod.PROVIDER_KEY), stranger("ab", "c", AuthMethod.PROVIDER_KEY)),
        (stranger('a","b', "c", AuthMethod.PROVIDER_KEY), stranger("a", 'b","c', AuthMethod.PROVIDER_KEY)),
        (stranger("tenant", "a", AuthMethod.PROVIDER_KEY), known("a", "b", AuthMethod.GATEWAY_KEY)),
        (stranger('a"]', "", AuthMethod.PROVIDER_KEY), known("a", "", AuthMethod.GATEWAY_KEY)),
    ],
)
def test_no_name_reaches_into_another_scope(one: Principal, other: Principal) -> None:
    for of_one, of_other in product((False, True), repeat=2):
        assert scope_of(one, per_tenant=of_one) != scope_of(other, per_tenant=of_other)


@pytest.mark.parametrize("method", AuthMethod)
def test_tokens_that_last_lock_what_their_callers_alone_may_read(method: AuthMethod) -> None:
    caller, lone = known("acme", "k1", method), stranger("acme", "k1", method)
    expected = "token" if method in LASTING else None

    assert locked_by(caller, "token", per_tenant=False) == expected
    assert locked_by(caller, "token", per_tenant=True) is None
    assert locked_by(lone, "token", per_tenant=False) == expected
    assert locked_by(lone, "token", per_tenant=True) == expected
    assert locked_by(lone, None, per_tenant=False) is None


def test_a_providers_key_is_named_by_itself_and_not_by_a_secret_that_may_change() -> None:
    one = replace(stranger("house", "by-one-secret", AuthMethod.PROVIDER_KEY), provider_key="sk-1")
    again = replace(one, key_id="by-another-secret")
    other = replace(one, provider_key="sk-2")

    assert scope_of(one, per_tenant=False) == scope_of(again, per_tenant=False)
    assert scope_of(one, per_tenant=False) != scope_of(other, per_tenant=False)
    assert "sk-1" not in scope_of(one, per_tenant=False)
