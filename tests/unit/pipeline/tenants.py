"""Tenants that call a built gateway: their keys, and what they send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from isthmusd.core.errors import GatewayError
from isthmusd.core.request import Arrival, Operation
from isthmusd.core.tenants import ForwardGrant, GatewayKey, Grants, ProviderKey, Tenant
from isthmusd.pipeline.carrying import Forwarded
from isthmusd.pipeline.forward import forward
from isthmusd.pipeline.tenant_forward import tenant_forward

from tests.unit.pipeline.gateway import Built
from tests.unit.pipeline.world import START, arrival_of, play

CARRIERS = {Operation.FORWARD: forward, Operation.TENANT_FORWARD: tenant_forward}
SHARED = Grants(forward=ForwardGrant.SHARED)


def key_of(
    built: Built, *, own: tuple[str, ...] = (), grants: Grants = SHARED, name: str = "acme", calls: int | None = None
) -> str:
    """Make a tenant with a key; `own` are secrets at openai, `sk-a` is named `a`."""
    keys = tuple(ProviderKey(provider="openai", name=each.removeprefix("sk-"), secret=each) for each in own)
    given = {"openai": keys} if keys else {}
    built.known.tenants[name] = Tenant(id=name, provider_keys=given, calls=calls, grants=SHARED)
    return built.known.add_key(GatewayKey(id=f"key-of-{name}", tenant=name, grants=grants), START)


def arriving(operation: Operation, path: str, token: str | None, method: str = "POST", **headers: str) -> Arrival:
    """A call with a token."""
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    named |= {} if token is None else {"authorization": [f"Bearer {token}"]}
    return arrival_of(named, operation=operation, method=method, path=path)


async def carried(built: Built, arrival: Arrival, *pieces: bytes) -> tuple[Forwarded, bytes]:
    """Carry a call to its end."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with CARRIERS[arrival.operation](built.gateway, arrival, body()) as forwarded:
        return forwarded, b"".join([chunk async for chunk in forwarded.chunks])


def refused(built: Built, arrival: Arrival, *pieces: bytes) -> Any:
    """Carry a call that is refused."""
    with pytest.raises(GatewayError) as refusal:
        play(carried(built, arrival, *pieces))
    return refusal.value
