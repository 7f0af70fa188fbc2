"""AdminService on a unix socket of this process, with keys that its callers are known by, over the store of a test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from isthmus.v1.admin_pb2_grpc import AdminServiceStub
from isthmusd.app import compose
from isthmusd.clock import SystemClock
from isthmusd.core.tenants import GatewayKey, Role
from isthmusd.rpc.admin_server import AdminServer
from isthmusd.rpc.server import ServerOptions
from isthmusd.settings import load
from isthmusd.upstream.registry import Upstreams

from tests.fakes.callers import SECRET, KnownCallers, identification
from tests.unit.pipeline.world import ShownCalls
from tests.unit.rpc.serving import KeptJournal

ADMIN, CALLER = "key-admin", "key-caller"


@dataclass(frozen=True, slots=True)
class Administered:
    """A running AdminService, and what a test watches of it."""

    channel: grpc.aio.Channel
    stub: AdminServiceStub
    journal: KeptJournal
    tokens: dict[str, str]
    """Key id to token."""
    server: AdminServer

    def as_(self, key: str) -> Any:
        """Metadata of a call with a key."""
        return (("authorization", f"Bearer {self.tokens[key]}"),)

    def call(self, method: str, request: Any, key: str = ADMIN) -> Any:
        """Call a method as an administrator."""
        return getattr(self.stub, method)(request, metadata=self.as_(key), timeout=20)

    def raw(self, path: str, data: bytes, key: str = ADMIN) -> Any:
        """Call a method with bytes."""
        call = self.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        return call(data, metadata=self.as_(key), timeout=20)


@asynccontextmanager
async def administering(folder: Path, store: Any, *, anonymous: bool = False) -> AsyncIterator[Administered]:
    """Serve this store's administration; of `pipeline.ports.Administration` it has what the test asks for."""
    known, now = KnownCallers(), time.time()
    tokens = {
        ADMIN: known.add_key(GatewayKey(id=ADMIN, tenant="ops", role=Role.ADMIN), now),
        CALLER: known.add_key(GatewayKey(id=CALLER, tenant="acme"), now),
    }
    settings = load(None, {}, {"auth.anonymous": anonymous, "secret": SECRET})
    journal = KeptJournal()
    async with Upstreams() as upstream:
        gateway = compose(
            settings,
            caching=None,
            clock=SystemClock(),
            upstream=upstream,
            media=None,
            journal=journal,
            active_calls=ShownCalls(),
            identification=identification(known),
            credentials=known,
        )
        bind = f"unix:{folder}/a.sock"
        server = AdminServer(gateway, store, ServerOptions(bind="", edge=False, admin_bind=bind))
        await server.start()
        try:
            async with grpc.aio.insecure_channel(bind) as channel:
                yield Administered(channel, AdminServiceStub(channel), journal, tokens, server)
        finally:
            await server.stop()
