"""Chooses the means of sending by the scheme of the URL. Which URL a call goes to is decided above."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from isthmusd.core.errors import Misconfigured
from isthmusd.core.request import Outbound
from isthmusd.upstream.demo import DemoReply, DemoUpstream
from isthmusd.upstream.http import HttpReply, HttpUpstream
from isthmusd.upstream.options import UpstreamOptions
from isthmusd.upstream.signed import SignedUpstream


class Upstreams:
    """Every means of sending; one instance per worker, entered in the composition root."""

    def __init__(self, options: UpstreamOptions | None = None) -> None:
        options = options or UpstreamOptions()
        self._http = HttpUpstream(options)
        self._signed = SignedUpstream(self._http)
        self._by_scheme: dict[str, HttpUpstream | DemoUpstream] = {
            "http": self._http,
            "https": self._http,
            "demo": DemoUpstream(delay_s=options.demo_delay_s),
        }

    async def start(self) -> None:
        """Open the pools; they belong to the running loop."""
        await self._http.start()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._signed.aclose()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def send(
        self, outbound: Outbound, upload: AsyncIterator[bytes] | None = None, decode: bool = True
    ) -> AbstractAsyncContextManager[HttpReply | DemoReply]:
        """Send by the URL's scheme; see `pipeline.ports.Upstream`."""
        upstream = self._by_scheme.get(outbound.url.partition(":")[0].lower())
        if upstream is None:
            raise Misconfigured("the provider's address is not valid; the gateway's operator must correct it")
        if outbound.signing is not None:
            return self._signed.send(outbound, outbound.signing, upload, decode)
        return upstream.send(outbound, upload, decode)
