"""Bounds the calls that one worker runs at once: all of them together, and each tenant's. Budgets are not here."""

from __future__ import annotations

from isthmusd.core.errors import LimitExceeded, Unavailable
from isthmusd.core.tenants import Tenant
from isthmusd.pipeline.ports import ActiveCalls

RETRY_AFTER_S = 1.0


class Admission:
    """Counters of running calls. Used from one event loop only."""

    def __init__(self, limit: int, active_calls: ActiveCalls) -> None:
        self._limit = limit
        self._shown = active_calls
        self._active = 0
        self._by_tenant: dict[str, int] = {}
        """Only of tenants that have calls running."""

    def admitted(self) -> Place:
        """Give a call its place: counted in when it is entered, and out when it is left. Raises Unavailable above the
        limit."""
        if self._active >= self._limit:
            raise Unavailable(
                "the gateway is at its limit of calls; try again in a moment", retry_after_s=RETRY_AFTER_S
            )
        return Place(self)

    def opened(self) -> None:
        """Count a call in."""
        self._active += 1
        self._shown.opened()

    def closed(self) -> None:
        """Count a call out."""
        self._active -= 1
        self._shown.closed()

    def opened_for(self, owner: Tenant) -> None:
        """Count a call in for its tenant. Raises LimitExceeded above the tenant's limit."""
        running = self._by_tenant.get(owner.id, 0)
        if owner.calls is not None and running >= owner.calls:
            raise LimitExceeded(
                f"your tenant's limit of {owner.calls} calls at once is reached; wait for one to end",
                retry_after_s=RETRY_AFTER_S,
            )
        self._by_tenant[owner.id] = running + 1

    def closed_for(self, tenant: str) -> None:
        """Count a call out for its tenant."""
        left = self._by_tenant[tenant] - 1
        if left:
            self._by_tenant[tenant] = left
        else:
            del self._by_tenant[tenant]


class Place:
    """One call's place among those that run. Entered once; `belong` at most once, within."""

    __slots__ = ("_admission", "_tenant")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._tenant: str | None = None

    def __enter__(self) -> Place:
        self._admission.opened()
        return self

    def belong(self, owner: Tenant | None) -> None:
        """Count the call among its tenant's too. Raises LimitExceeded."""
        if owner is not None:
            self._admission.opened_for(owner)
            self._tenant = owner.id

    def __exit__(self, *_: object) -> None:
        if self._tenant is not None:
            self._admission.closed_for(self._tenant)
        self._admission.closed()
