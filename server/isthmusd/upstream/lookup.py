"""Looks names up in threads of its own. The loop's threads serve the providers' names: a caller who names hosts with
slow name servers would keep them busy. Which addresses may be dialled is `media.py`'s.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import ResolveResult

THREAD_COUNT = 4


class OwnResolver:
    """One per session; its session closes it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREAD_COUNT, thread_name_prefix="media-lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give every address of a name. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host, host=str(peer[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, peer in found
        ]

    async def close(self) -> None:
        """Wait for no lookup that still runs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
