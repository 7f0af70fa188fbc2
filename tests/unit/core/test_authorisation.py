"""What the table says to each kind of caller, whatever he may do beyond it."""

from __future__ import annotations

import pytest
from isthmusd.core.authorisation import (
    ADMIN_ROUTES,
    OPERATIONS,
    RPCS,
    Access,
    Listener,
    Undeclared,
    demand_route_rules,
    demand_rpc_rules,
    refusal,
)
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import PermissionDenied, Unauthenticated
from isthmusd.core.request import Operation
from isthmusd.core.tenants import Role, Tenant

ACME = Tenant(id="acme")
CALLERS = {
    "anonymous": Principal(tenant="default", key_id="anonymous", method=AuthMethod.ANONYMOUS),
    "provider key": Principal(tenant="default", key_id="p", method=AuthMethod.PROVIDER_KEY, provider_key="sk"),
    "gateway key": Principal(tenant="acme", key_id="k", method=AuthMethod.GATEWAY_KEY, owner=ACME),
    "temporary credential": Principal(tenant="acme", key_id="c", method=AuthMethod.TEMPORARY_CREDENTIAL, owner=ACME),
    "identity token": Principal(tenant="acme", key_id="i", method=AuthMethod.IDENTITY_TOKEN, owner=ACME),
    "admin key": Principal(tenant="acme", key_id="a", method=AuthMethod.GATEWAY_KEY, owner=ACME, role=Role.ADMIN),
}
DENIED, UNKNOWN = PermissionDenied, Unauthenticated
EXPECTED = {
    Access.OPEN: dict.fromkeys(CALLERS),
    Access.CALLER: {**dict.fromkeys(CALLERS), "admin key": DENIED},
    Access.ISSUER: {**dict.fromkeys(CALLERS), "temporary credential": DENIED, "admin key": DENIED},
    Access.TENANT: {
        **dict.fromkeys(CALLERS),
        "anonymous": UNKNOWN,
        "provider key": UNKNOWN,
        "admin key": DENIED,
    },
    Access.ADMIN: {**dict.fromkeys(CALLERS, DENIED), "anonymous": UNKNOWN, "admin key": None},
}
"""None: he passes."""


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", Operation)
def test_r3_every_kind_of_caller_gets_what_the_table_says(operation: Operation, caller: str) -> None:
    refused = refusal(operation, CALLERS[caller])

    expected = EXPECTED[OPERATIONS[operation]][caller]
    assert (None if refused is None else type(refused)) is expected


def test_r3_a_role_that_no_gateway_key_gives_administers_nothing() -> None:
    forged = Principal(tenant="acme", key_id="i", method=AuthMethod.IDENTITY_TOKEN, owner=ACME, role=Role.ADMIN)

    assert isinstance(refusal(Operation.ADMIN, forged), PermissionDenied)


def test_r3_what_has_no_rule_is_not_served() -> None:
    demand_route_rules(ADMIN_ROUTES)

    with pytest.raises(Undeclared, match="GET /debug"):
        demand_route_rules([*ADMIN_ROUTES, ("GET", "/debug")])
    for listener in Listener:
        with pytest.raises(Undeclared, match="Backdoor"):
            demand_rpc_rules(["/isthmus.v1.Backdoor/Open"], listener)


def test_r3_what_administrators_may_is_not_served_to_the_public_nor_the_reverse() -> None:
    admin = {name for name, access in RPCS.items() if access is Access.ADMIN}
    callers = {name for name, access in RPCS.items() if access in {Access.CALLER, Access.ISSUER, Access.TENANT}}

    assert admin
    assert callers
    demand_rpc_rules(callers, Listener.PUBLIC)
    demand_rpc_rules(admin, Listener.ADMIN)
    for name in admin:
        with pytest.raises(Undeclared):
            demand_rpc_rules([name], Listener.PUBLIC)
    for name in callers:
        with pytest.raises(Undeclared):
            demand_rpc_rules([name], Listener.ADMIN)
