"""Connections to a Valkey or Redis server, or to the cluster that it is of. What is asked of it is not known here.

The driver takes 15 MB and half a second to load: that happens when it is needed, in a thread. So does the reading of
certificates, once for all connections: the driver would read the system's for each of them, on the loop, for 30 ms.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmusd.stores.caching import CacheFault, Fault

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster
    from redis.asyncio.connection import SSLConnection

SCHEMES = {"valkey://": "redis://", "valkeys://": "rediss://"}
TLS = "rediss://"
CONNECT_S = 2.0
ANSWER_S = 5.0
"""Of one command; calls wait less, which is not decided here."""

KINDS: Mapping[str, Fault] = {
    "AuthenticationError": Fault.REFUSED,
    "AuthorizationError": Fault.REFUSED,
    "NoPermissionError": Fault.REFUSED,
    "ReadOnlyError": Fault.REFUSED,
    "OutOfMemoryError": Fault.FULL,
    "BusyLoadingError": Fault.UNREACHABLE,
    "ClusterError": Fault.UNREACHABLE,
    "RedisClusterException": Fault.UNREACHABLE,
    "ResponseError": Fault.REFUSED,
    "TimeoutError": Fault.TIMEOUT,
    "ConnectionError": Fault.UNREACHABLE,
    "OSError": Fault.UNREACHABLE,
    "RedisError": Fault.UNREACHABLE,
    "UnicodeError": Fault.UNREADABLE,
    "ValueError": Fault.REFUSED,
    "TypeError": Fault.REFUSED,  # what the URL says after the `?` is not of this kind of server
}
"""By the name of an error's class or of the next one that it is made of. What an error says may hold a value."""
OTHER_TYPE = "WRONGTYPE"
LOST = "RedisClusterException"
"""Of a cluster none of whose servers is where it was: it knows no other places, and forgot that of the URL."""


@dataclass(frozen=True, slots=True)
class _Trust:
    """By what a server is judged, and what we show it."""

    context: ssl.SSLContext
    files: Mapping[str, int]
    """When they were changed, in nanoseconds."""

    def is_out_of_date(self) -> bool:
        """Whether a file was changed or is gone since it was read."""
        return any(_changed_at(path) != at for path, at in self.files.items())


@dataclass(slots=True)
class _Held:
    """A client of the driver's, and how many use it."""

    client: Redis | RedisCluster
    users: int = 0
    is_left: bool = False
    """Whoever uses it last closes it: used after that it would connect again."""


class ValkeyClient:
    """Opened at the first use, and again where its connections lead nowhere. One event loop uses it."""

    def __init__(self, url: str) -> None:
        scheme, mark, rest = url.partition("://")
        self._url = SCHEMES.get(scheme + mark, scheme + mark) + rest
        self._held: _Held | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._errors: tuple[type[Exception], ...] = ()
        self._trust: _Trust | None = None

    async def load(self) -> None:
        """Load the driver, and the certificates if they can be read, in a thread."""
        if not self._errors:
            self._errors = await asyncio.to_thread(_load)
        with suppress(*self._errors):
            await self._trusted()

    @asynccontextmanager
    async def used(self) -> AsyncGenerator[Any]:
        """Give the driver's client. Its types promise less than it gives. Raises CacheFault."""
        held = self._held or await self._opened()
        held.users += 1
        try:
            yield held.client
        except self._errors as error:
            fault = _fault(error)
            if LOST in _names(error) or (fault.kind is Fault.UNREACHABLE and self._is_out_of_date()):
                self._leave(held)
            raise fault from None
        finally:
            held.users -= 1
            self._close_unused(held)

    async def aclose(self) -> None:
        """Close the connections."""
        held, self._held = self._held, None
        if held is not None:
            await _close(held.client)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _opened(self) -> _Held:
        async with self._connecting:
            if self._held is None:
                await self.load()
                try:
                    trust = await self._trusted()
                    self._held = _Held(await _open(self._url, self._errors, trust and _sharing(trust.context)))
                except self._errors as error:
                    raise _fault(error) from None
            return self._held

    async def _trusted(self) -> _Trust | None:
        """Give by what servers are judged. Raises OSError where a file is none; None: no server has to prove itself."""
        if self._trust is None and self._url.startswith(TLS):
            self._trust = await asyncio.to_thread(_read_trust, self._url)
        return self._trust

    def _is_out_of_date(self) -> bool:
        return self._trust is not None and self._trust.is_out_of_date()

    def _leave(self, held: _Held) -> None:
        """Have the next one who asks open a new client."""
        held.is_left = True
        if self._held is held:
            self._held = None
            if self._is_out_of_date():
                self._trust = None

    def _close_unused(self, held: _Held) -> None:
        if held.is_left and not held.users:
            task = asyncio.create_task(_close(held.client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _load() -> tuple[type[Exception], ...]:
    import_module("redis.asyncio")
    from redis.exceptions import RedisClusterException, RedisError  # noqa: PLC0415 takes half a second and 15 MB

    return (RedisError, RedisClusterException, OSError, ValueError, TypeError)


def _read_trust(url: str) -> _Trust:
    """Read certificates: the URL's in place of the system's. Raises OSError, and ValueError for what is no URL."""
    from redis.asyncio.connection import parse_url  # noqa: PLC0415 loaded before

    options: Mapping[str, Any] = parse_url(url)
    authorities, own, key = (options.get(f"ssl_{name}") for name in ("ca_certs", "certfile", "keyfile"))
    # Before they are read: what is changed meanwhile is read again.
    files = {path: _changed_at(path) for path in (authorities, own, key) if path}
    context = ssl.create_default_context(cafile=authorities)
    if own or key:
        context.load_cert_chain(own or "", key)
    return _Trust(context, files)


def _changed_at(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _sharing(context: ssl.SSLContext) -> type[SSLConnection]:
    """Give a kind of connection that makes no context of its own."""
    from redis.asyncio.connection import SSLConnection  # noqa: PLC0415 loaded before, in a thread

    class SharingConnection(SSLConnection):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context.context = context

    return SharingConnection


async def _open(
    url: str, errors: tuple[type[Exception], ...], connection: type[SSLConnection] | None
) -> Redis | RedisCluster:
    """Connect to a server, or to the cluster that it is of."""
    from redis.asyncio import Redis  # noqa: PLC0415 loaded before, in a thread
    from redis.asyncio.cluster import RedisCluster  # noqa: PLC0415 as above
    from redis.asyncio.retry import Retry  # noqa: PLC0415 as above
    from redis.backoff import NoBackoff  # noqa: PLC0415 as above
    from redis.exceptions import ReadOnlyError  # noqa: PLC0415 as above

    # Once more, at once: a connection that waited may have been closed meanwhile. Whoever else failed rests elsewhere.
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 1),
        # Of a server that was the first one and is a replica now: another connection may find the one that took over.
        "retry_on_error": [ReadOnlyError],
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S,
    }
    with suppress(ImportError):
        from redis.driver_info import DriverInfo  # noqa: PLC0415 as above; younger ones have it

        # What it is called and its version. They would read that from a file for each connection.
        options["driver_info"] = DriverInfo()
    client = Redis.from_url(url, **options)
    if connection is not None:
        client.connection_pool.connection_class = connection
    try:
        about = await client.info("cluster")
    except errors as error:
        if _fault(error).kind is not Fault.REFUSED or "NoPermission" not in type(error).__name__:
            await client.aclose()
            raise
        return client  # who may not ask is told by the operator's own rules to use this server
    except BaseException:
        await client.aclose()
        raise
    if not about.get("cluster_enabled"):
        return client
    await client.aclose()
    cluster = RedisCluster.from_url(url, **options)
    if connection is not None:
        # It takes no kind of connection, and hands on that of its own to all servers of the cluster.
        cluster.nodes_manager.connection_kwargs["connection_class"] = connection
        for node in cluster.nodes_manager.startup_nodes.values():
            node.connection_class = connection
    try:
        return await cluster.initialize()
    except BaseException:
        await _close(cluster)
        raise


async def _close(client: Redis | RedisCluster) -> None:
    from redis.asyncio.cluster import RedisCluster  # noqa: PLC0415 loaded before, in a thread

    await client.aclose()
    if isinstance(client, RedisCluster):
        # It leaves its connections open if one of them failed last.
        await client.nodes_manager.aclose()
        await client.nodes_manager.aclose("startup_nodes")


def _fault(error: Exception) -> CacheFault:
    """Say what went wrong without what was said: it may hold a value."""
    if str(error).startswith(OTHER_TYPE):
        return CacheFault(Fault.CORRUPT, "something else is kept under this name")
    names = _names(error)
    return CacheFault(next((KINDS[name] for name in names if name in KINDS), Fault.BROKEN), names[0])


def _names(error: Exception) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]
