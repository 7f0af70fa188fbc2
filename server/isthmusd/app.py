"""The composition root: settings to a running server. The only place that knows everyone; it decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from isthmusd.clock import SystemClock
from isthmusd.observe.journal import DeferredJournal, Journals, LogJournal
from isthmusd.observe.metrics import Metrics
from isthmusd.observe.sink import LineSink
from isthmusd.pipeline.admission import Admission
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.flights import Flights
from isthmusd.pipeline.identify import Identifier
from isthmusd.pipeline.ports import ActiveCalls, Clock, Journal, MediaFetcher, Upstream
from isthmusd.pipeline.resolve import Resolver
from isthmusd.pipeline.run import Gateway
from isthmusd.providers.catalog import CATALOG, KEY_PREFIXES, TRIAL_MODEL, configured
from isthmusd.rpc.server import Server, ServerOptions
from isthmusd.settings import Settings
from isthmusd.upstream.media import MediaClient
from isthmusd.upstream.registry import Upstreams

SHOW_S = 0.5
"""How old the gauge of running calls may be."""


@asynccontextmanager
async def running(
    settings: Settings,
    options: ServerOptions,
    *,
    clock: Clock | None = None,
    upstream: Upstream | None = None,
    media: MediaFetcher | None = None,
    journal: Journal | None = None,
) -> AsyncGenerator[Server]:
    """Serve until the context is left, then let calls finish and close. Tests pass fakes for what they watch."""
    async with AsyncExitStack() as resources:
        lines = LineSink()
        metrics = Metrics()
        records = DeferredJournal(Journals((LogJournal(lines.write, settings.log_level), metrics)))
        for thread in (lines, records):
            thread.start()
            resources.callback(thread.close)
        await resources.enter_async_context(_shown(metrics))
        if upstream is None:
            upstream = await resources.enter_async_context(Upstreams())
        if media is None and settings.media is not None:
            media = await resources.enter_async_context(MediaClient(settings.media))
        server = Server(
            compose(
                settings,
                clock=clock or SystemClock(),
                upstream=upstream,
                media=media,
                journal=journal or records,
                active_calls=metrics,
            ),
            options,
        )
        await server.start()
        resources.push_async_callback(server.stop, settings.edge.drain_s)
        yield server


@asynccontextmanager
async def _shown(metrics: Metrics) -> AsyncGenerator[None]:
    async def show() -> None:
        while True:
            metrics.show()
            await asyncio.sleep(SHOW_S)

    showing = asyncio.create_task(show())
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        metrics.show()


def compose(
    settings: Settings,
    *,
    clock: Clock,
    upstream: Upstream,
    media: MediaFetcher | None,
    journal: Journal,
    active_calls: ActiveCalls,
) -> Gateway:
    """Put a gateway together. No side effects."""
    options = settings.pipeline
    return Gateway(
        options=options,
        clock=clock,
        journal=journal,
        admission=Admission(options.calls, active_calls),
        identifier=Identifier(options, clock),
        resolver=Resolver(
            configured(CATALOG, settings.providers),
            settings.models,
            options.default_provider,
            anonymous=options.anonymous,
            foreign_prefixes=KEY_PREFIXES,
            trial_model=TRIAL_MODEL,
        ),
        upstream=upstream,
        flights=Flights(Attempts(upstream, clock, options, media)),
    )
