"""An identity provider on a real socket: it publishes keys, rotates them, breaks, stalls and answers garbage. Its
tokens are `jose.py`'s; `token` puts its address in.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from isthmusd.core.issuers import IssuerRules
from isthmusd.upstream.options import IssuerOptions

from tests.fakes import jose

KEYS_PATH = "/keys"
DISCOVERY_PATH = "/.well-known/openid-configuration"


class FakeIdentityProvider:
    """Set its members to change what it answers next. `asked` counts requests by path."""

    def __init__(self) -> None:
        self.keys: list[jose.Key | Mapping[str, Any]] = [jose.rsa()]
        self.status = 200
        self.body: bytes | None = None
        """Instead of the keys."""
        self.headers: dict[str, str] = {}
        """Of the keys."""
        self.discovery: dict[str, Any] | bytes | None = None
        """Instead of a good document, or what is another in it."""
        self.stalls = asyncio.Event()
        self.asked: Counter[str] = Counter()
        self.port = 0
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys_url(self) -> str:
        return self.url + KEYS_PATH

    def options(self, *, discovered: bool = False, **rules: Any) -> IssuerOptions:
        """Give what makes the gateway believe it."""
        believed = IssuerRules(**{"issuer": self.url, "audiences": frozenset({jose.AUDIENCE}), **rules})
        return IssuerOptions(rules=believed, jwks_url=None if discovered else self.keys_url)

    def token(self, key: jose.Key | None = None, algorithm: str = "RS256", **said: Any) -> str:
        """Mint a good token, but for what is said."""
        return jose.token(key or jose.rsa(), algorithm, **{"iss": self.url, **said})

    async def was_asked(self, count: int, path: str = KEYS_PATH) -> None:
        """Wait until so many requests for a path have come."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: self.asked[path] >= count)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(KEYS_PATH, self._keys)
        app.router.add_get(DISCOVERY_PATH, self._discovery)
        app.router.add_get("/elsewhere", self._redirected)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _keys(self, request: web.Request) -> web.Response:
        await self._count(request)
        body = jose.key_set(*self.keys) if self.body is None else self.body
        return web.Response(status=self.status, body=body, headers={"content-type": "application/json", **self.headers})

    async def _discovery(self, request: web.Request) -> web.Response:
        await self._count(request)
        if isinstance(self.discovery, bytes):
            return web.Response(body=self.discovery)
        document = {"issuer": self.url, "jwks_uri": self.keys_url, **(self.discovery or {})}
        return web.Response(body=json.dumps(document).encode())

    async def _redirected(self, request: web.Request) -> web.Response:
        await self._count(request)
        return web.Response(body=jose.key_set(*self.keys))

    async def _count(self, request: web.Request) -> None:
        async with self._arrived:
            self.asked[request.path] += 1
            self._arrived.notify_all()
        if self.stalls.is_set():
            await asyncio.sleep(3600)
