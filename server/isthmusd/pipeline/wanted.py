"""A call that the cache may serve, with all that this needs to know of it. Whether it may is `core/caching.py`'s."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from isthmusd.core.caching import Asked, CachePolicy, key_of, locked_by, policy_for, scope_of
from isthmusd.core.call import Call
from isthmusd.core.entry import Entry, Form, Head
from isthmusd.core.flight_parts import PeerAsking
from isthmusd.core.request import Arrival, Inbound
from isthmusd.core.routing import Plan
from isthmusd.core.vault import Lock, Vault
from isthmusd.dialects import registry
from isthmusd.dialects.base import Kept
from isthmusd.pipeline import headers as travelling
from isthmusd.pipeline.attempts import HEAVY_BYTES, Attempts
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.record import Draft

SKEW_S = 300.0
"""How much later than here it may be on another node. What is of a later time was stored while a clock went wrong: it
would be served for as long as that took, and never be too old."""
ONCE = frozenset({"idempotency-key"})
"""Headers that go to the provider and differ from call to call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A call that is understood, and where it may go."""

    arrival: Arrival
    call: Call
    inbound: Inbound
    plan: Plan
    draft: Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One call that the cache may serve."""

    asking: Asking
    policy: CachePolicy
    kept: Kept
    form: Form
    names: tuple[bytes, ...]
    """Under which its answer may be kept; the first is the one to write under."""
    lock: Lock

    @property
    def fresh(self) -> Wanted:
        """The same, but nothing that was kept serves it."""
        return replace(self, policy=replace(self.policy, reads=False))

    def takes(self, head: Head, now: float) -> bool:
        """Whether a kept answer may serve this call."""
        return self.policy.accepts(now - head.stored_at) and not self.refuses(head)

    def refuses(self, head: Head) -> bool:
        """Whether an answer lacks what this call insists on."""
        return self.asking.call.strict and bool(head.provenance.losses)

    def is_for(self, form: Form) -> bool:
        """Whether an answer of this form needs no change."""
        return form == self.form

    def alive(self, entry: Entry, now: float) -> bool:
        """Whether a kept answer may serve this call now."""
        return entry.head.stored_at - SKEW_S <= now < entry.expires_at and self.takes(entry.head, now)

    def for_peer(self, asking_id: bytes) -> PeerAsking:
        """Give what another worker must be told to answer it."""
        arrival = self.asking.arrival
        return PeerAsking(
            operation=arrival.operation,
            surface=arrival.surface,
            dialect=arrival.dialect,
            method=arrival.method,
            path=arrival.path,
            headers={name: list(values) for name, values in arrival.headers.items()},
            body=self.kept.freeze_request(arrival.body),
            stream=arrival.stream,
            authority=arrival.authority,
            started_at=arrival.started_at,
            deadline_s=arrival.deadline_s,
            name=self.names[0],
            id=asking_id,
            fresh=not self.policy.reads,
        )


def policy_of(asking: Asking) -> CachePolicy | None:
    """Decide what the cache may do for a call; None: nothing."""
    return policy_for(asking.inbound.operation, asking.inbound.peeked, asking.call.cache)


async def wanted(
    asking: Asking, policy: CachePolicy, vault: Vault, attempts: Attempts, options: PipelineOptions
) -> Wanted | None:
    """Find out under which name the answer to a call is kept; None: what the call means is not certain."""
    inbound, principal = asking.inbound, asking.call.principal
    half = registry.kept(inbound.dialect, inbound.operation)
    scope = scope_of(principal, per_tenant=options.cache_per_tenant)
    if inbound.peeked.size <= HEAVY_BYTES:
        names = _names(asking, half, scope, vault)
    else:
        loop = asyncio.get_running_loop()
        names = await loop.run_in_executor(attempts.heavy, _names, asking, half, scope, vault)
    if names is None:
        return None
    return Wanted(
        asking=asking,
        policy=policy,
        kept=half,
        form=Form(stream=inbound.peeked.stream, include_usage=inbound.peeked.stream and inbound.peeked.include_usage),
        names=names,
        lock=Lock(scope, locked_by(principal, asking.call.token, per_tenant=options.cache_per_tenant)),
    )


def _names(asking: Asking, half: Kept, scope: str, vault: Vault) -> tuple[bytes, ...] | None:
    """Name the answer to a call: of a long body this takes a while, however it is done."""
    inbound = asking.inbound
    canonical = half.canonical(inbound.body, inbound.peeked)
    if canonical is None:
        return None
    asked = Asked(
        operation=inbound.operation,
        dialect=inbound.dialect,
        canonical=canonical,
        endpoint=asking.call.endpoint,
        headers=_sent(asking),
        plan=asking.plan,
    )
    return vault.names(key_of(scope, asked))


def _sent(asking: Asking) -> travelling.Pairs:
    """Give what the provider hears of the caller's headers: another set may get another answer."""
    own = any(target.callers_own_key for target in asking.plan.targets)
    sent = travelling.sent_to_model(asking.arrival.headers, callers_own_key=own)
    return tuple((name, value) for name, value in sent if name not in ONCE)
