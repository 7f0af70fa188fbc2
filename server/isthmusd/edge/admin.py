"""The operators' listener: /metrics, merged over the workers, and /healthz. Not AdminService: workers serve that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from isthmusd.edge.errors import AddressInUse
from isthmusd.edge.options import Address


class Starts(Collector):
    """How often each process of the run was started: more than once means that it died."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        """Yield the counts of this moment."""
        family = CounterMetricFamily("isthmus_process_starts", "Starts of a process of this run.", labels=["process"])
        for name, count in self._counts().items():
            family.add_metric([name], count)
        yield family


def merged(metrics: Path, starts: Callable[[], Mapping[str, int]]) -> bytes:
    """Return the metrics of all workers, the dead ones' counters included, in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(metrics))
    registry.register(Starts(starts))
    return generate_latest(registry)


@asynccontextmanager
async def serving(address: Address, metrics: Path, starts: Callable[[], Mapping[str, int]]) -> AsyncGenerator[None]:
    """Serve the admin listener while the block runs."""

    async def show_metrics(_: web.Request) -> web.Response:
        # Reading the workers' files takes milliseconds each: not on the loop that supervises.
        text = await asyncio.to_thread(merged, metrics, starts)
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    application = web.Application()
    application.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", show_health)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port)
        try:
            await site.start()
        except OSError as error:
            raise AddressInUse(f"--admin {address} cannot be served: {error.strerror}") from error
        yield
    finally:
        await runner.cleanup()
