"""The composition root: settings to a running server. The only place that knows everyone; it decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing

from isthmusd.clock import SystemClock
from isthmusd.core.keyring import Keyring
from isthmusd.core.vault import Vault
from isthmusd.observe.cache_metrics import CacheMetrics
from isthmusd.observe.journal import DeferredJournal, Journals, LogJournal
from isthmusd.observe.metrics import Metrics
from isthmusd.observe.sink import LineSink
from isthmusd.pipeline.admission import Admission
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.callers import Callers, Identification
from isthmusd.pipeline.flights import Flights
from isthmusd.pipeline.identify import Identifier
from isthmusd.pipeline.ports import ActiveCalls, Clock, Credentials, Journal, MediaFetcher, Upstream
from isthmusd.pipeline.producing import Caching
from isthmusd.pipeline.resolve import Resolver
from isthmusd.pipeline.run import Gateway
from isthmusd.providers.catalog import CATALOG, KEY_PREFIXES, TRIAL_MODEL, configured
from isthmusd.rpc.admin_server import AdminServer
from isthmusd.rpc.flights import PeerServer
from isthmusd.rpc.server import Server, ServerOptions
from isthmusd.settings import Settings
from isthmusd.stores.administration import StoreAdministration
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.database import Database
from isthmusd.stores.directory import CachedDirectory
from isthmusd.stores.journal import RecordJournal
from isthmusd.stores.tiered_cache import open_cache
from isthmusd.upstream.hook import VerifierHook
from isthmusd.upstream.identity import IdentityIssuers
from isthmusd.upstream.media import MediaClient
from isthmusd.upstream.peers import WorkerPeers
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
        clock = clock or SystemClock()
        keyring = Keyring.parse(settings.secret)
        metrics = Metrics()
        kept = _journals(resources, settings, keyring, metrics)
        await resources.enter_async_context(_shown(metrics))
        if upstream is None:
            upstream = await resources.enter_async_context(Upstreams())
        if media is None and settings.media is not None:
            media = await resources.enter_async_context(MediaClient(settings.media))
        database = resources.enter_context(closing(Database(settings.store)))
        directory = await resources.enter_async_context(CachedDirectory(database, keyring, clock, settings.store))
        if not settings.pipeline.anonymous:
            await directory.warm()
        identification = await _identification(resources, settings, keyring, directory, clock)
        gateway = compose(
            settings,
            caching=await _caching(resources, settings, options, keyring, clock, metrics.cache),
            clock=clock,
            upstream=upstream,
            media=media,
            journal=journal or kept,
            active_calls=metrics,
            identification=identification,
            credentials=await resources.enter_async_context(StoredCredentials(database, settings.store)),
        )
        resources.push_async_callback(gateway.flights.aclose)
        server = Server(gateway, options)
        if options.peers:
            peers = PeerServer(gateway, options.peers[options.index])
            await peers.start()
            resources.push_async_callback(peers.stop)
        if options.admin_bind is not None:
            administration = StoreAdministration(database, keyring, settings.token_issuer, clock)
            admin = AdminServer(gateway, administration, options)
            await admin.start()
            resources.push_async_callback(admin.stop)
        await server.start()
        resources.push_async_callback(server.stop, settings.edge.drain_s)
        yield server


def _journals(resources: AsyncExitStack, settings: Settings, keyring: Keyring, metrics: Metrics) -> Journals:
    """Begin to tell of calls: in the log, in metrics, and in the journal of records."""
    lines = LineSink()
    told = DeferredJournal(Journals((LogJournal(lines.write, settings.log_level), metrics)))
    for thread in (lines, told):
        thread.start()
        resources.callback(thread.close)
    if settings.records is None:
        return Journals((told,))
    # First: what must outlive a crash is written before anything else is told.
    return Journals((resources.enter_context(RecordJournal(settings.records, keyring, metrics.dropped)), told))


async def _identification(
    resources: AsyncExitStack, settings: Settings, keyring: Keyring, directory: CachedDirectory, clock: Clock
) -> Identification:
    return Identification(
        keyring=keyring,
        issuer=settings.token_issuer,
        directory=directory,
        identities=await resources.enter_async_context(IdentityIssuers(settings.issuers, clock)),
        hook=None if settings.hook is None else await resources.enter_async_context(VerifierHook(settings.hook)),
    )


async def _caching(
    resources: AsyncExitStack,
    settings: Settings,
    options: ServerOptions,
    keyring: Keyring,
    clock: Clock,
    watch: CacheMetrics,
) -> Caching | None:
    if settings.cache is None:
        return None
    return Caching(
        vault=Vault(keyring),
        cache=await resources.enter_async_context(open_cache(settings.cache, clock, watch)),
        peers=await resources.enter_async_context(WorkerPeers(options.peers, options.index, clock)),
        watch=watch,
    )


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
    caching: Caching | None,
    clock: Clock,
    upstream: Upstream,
    media: MediaFetcher | None,
    journal: Journal,
    active_calls: ActiveCalls,
    identification: Identification,
    credentials: Credentials,
) -> Gateway:
    """Put a gateway together. No side effects."""
    options = settings.pipeline
    return Gateway(
        options=options,
        clock=clock,
        journal=journal,
        admission=Admission(options.calls, active_calls),
        identifier=Identifier(options, clock, Callers(options, clock, identification)),
        identification=identification,
        credentials=credentials,
        resolver=Resolver(
            configured(CATALOG, settings.providers),
            settings.models,
            options.default_provider,
            anonymous=options.anonymous,
            foreign_prefixes=KEY_PREFIXES,
            trial_model=TRIAL_MODEL,
        ),
        upstream=upstream,
        flights=Flights(Attempts(upstream, clock, options, media), options, clock, caching),
    )
