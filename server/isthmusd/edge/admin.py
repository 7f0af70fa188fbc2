"""The operators' listener: /metrics, merged over the workers, and /healthz. AdminService is served by workers:
`admin_splice.py` tells the two apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from isthmusd.core.authorisation import demand_route_rules
from isthmusd.edge.admin_splice import Splice
from isthmusd.edge.options import Address, AdminAddress
from isthmusd.edge.ports import reserved
from isthmusd.edge.recorder import journal_bytes
from isthmusd.edge.workers import Folder

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


class Waiting(Collector):
    """How much disk records take that are on their way into the store."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def collect(self) -> Iterable[Metric]:
        """Yield the size of this moment."""
        yield GaugeMetricFamily(
            "isthmus_records_journal_bytes",
            "Journals of records: what waits for the store, and a file per worker whose records may be there already.",
            value=journal_bytes(self._journal),
        )


def merged(metrics: Path, starts: Callable[[], Mapping[str, int]], journal: Path | None = None) -> bytes:
    """Return the metrics of all workers, the dead ones' counters included, in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(metrics))
    registry.register(Starts(starts))
    if journal is not None:
        registry.register(Waiting(journal))
    return generate_latest(registry)


@contextmanager
def reserved_address(address: AdminAddress) -> Generator[AdminAddress]:
    """Hold the address, with its real port. A socket in the file system is made only by who listens on it."""
    match address:
        case Address():
            with reserved(address, "--admin") as held:
                yield held
        case _:
            yield address


def url(address: AdminAddress) -> str:
    """Write where the listener is, for the log."""
    return f"http://{address}" if isinstance(address, Address) else str(address)


@asynccontextmanager
async def serving(
    address: AdminAddress,
    folder: Folder,
    workers: Sequence[Path],
    starts: Callable[[], Mapping[str, int]],
    journal: Path | None = None,
) -> AsyncGenerator[None]:
    """Serve the admin listener while the block runs. Raises AddressInUse, Undeclared."""

    async def show_metrics(_: web.Request) -> web.Response:
        # Reading the workers' files takes milliseconds each: not on the loop that supervises.
        text = await asyncio.to_thread(merged, folder.metrics, starts, journal)
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE_LATEST})

    runner = web.AppRunner(application(show_metrics), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(folder.admin_http)).start()
        async with Splice(folder.admin_http, workers).serving(address):
            yield
    finally:
        await runner.cleanup()


def application(show_metrics: Handler) -> web.Application:
    """Give what is served over HTTP. Raises Undeclared for a route that the table of access does not know."""
    made = web.Application()
    made.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", _show_health)])
    routes = [(route.method, route.resource.canonical) for route in made.router.routes() if route.resource is not None]
    demand_route_rules(route for route in routes if route[0] != "HEAD")
    return made


async def _show_health(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")
