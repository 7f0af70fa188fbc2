"""Who may use what: the one table of every RPC and every HTTP route. What is not in it is not served.

What a caller may do beyond this (models, projects, Forward) are his grants. How he is identified is `pipeline/callers.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from isthmusd.core.call import AuthMethod, Principal
from isthmusd.core.errors import GatewayError, PermissionDenied, Unauthenticated
from isthmusd.core.request import Operation
from isthmusd.core.tenants import Role


class Access(StrEnum):
    """What a caller must be."""

    OPEN = "open"
    """Anybody: nobody is asked who he is."""
    CALLER = "caller"
    """Whoever has a caller's credential; without one, or with a provider's key, where the operator allows that."""
    ISSUER = "issuer"
    """The same, but no temporary credential."""
    TENANT = "tenant"
    """A tenant: neither anonymous nor somebody with a provider's key."""
    ADMIN = "admin"
    """An administrator, on the admin listener."""


OPERATIONS: Mapping[Operation, Access] = {
    Operation.CHAT: Access.CALLER,
    Operation.COMPLETION: Access.CALLER,
    Operation.AUTO: Access.CALLER,
    Operation.EMBEDDING: Access.CALLER,
    Operation.MODERATION: Access.CALLER,
    Operation.RESPONSES: Access.CALLER,
    Operation.MODELS: Access.CALLER,
    Operation.FORWARD: Access.CALLER,
    Operation.CREDENTIALS: Access.ISSUER,
    Operation.TENANT_FORWARD: Access.TENANT,
    Operation.ADMIN: Access.ADMIN,
}
"""What each operation demands: checked for every call as soon as its caller is known."""


def refusal(operation: Operation, principal: Principal) -> GatewayError | None:
    """Tell why a caller may not use an operation at all; None if he may."""
    match OPERATIONS[operation], principal:
        case Access.OPEN, _:
            return None
        case Access.ADMIN, Principal(role=Role.ADMIN):
            return None
        case Access.ADMIN, _:
            return PermissionDenied("this needs a key that administers the gateway", code="role_not_allowed")
        case _, Principal(role=Role.ADMIN):
            # It would be carried to too many places.
            return PermissionDenied("this key administers the gateway; use a caller's key here", code="role_not_allowed")
        case Access.TENANT, Principal(owner=None):
            return Unauthenticated("this needs a credential of one of the gateway's tenants")
        case Access.ISSUER, Principal(method=AuthMethod.TEMPORARY_CREDENTIAL):
            return PermissionDenied("a temporary credential can issue no other, nor manage any", code="issuer_not_allowed")
        case _:
            return None
