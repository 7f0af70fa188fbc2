"""The store of cached answers on a Valkey or Redis server, for tests. It asserts nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmusd.stores.cache_valkey import ValkeyCache

from tests.unit.stores.cached import StillClock


@asynccontextmanager
async def opened(url: str, clock: StillClock | None = None) -> AsyncGenerator[ValkeyCache]:
    store = ValkeyCache(url, (clock or StillClock()).now)
    try:
        yield store
    finally:
        await store.aclose()
