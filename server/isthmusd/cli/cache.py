"""`isthmus cache`: what the shared store of answers holds, and emptying it, whether or not the gateway runs. What is in
the memory of workers is not seen here; what is cleared here they drop within about a second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from isthmusd import settings
from isthmusd.cli.posture import place_of_cache
from isthmusd.cli.printing import print_facts, print_json, report
from isthmusd.cli.store import Config, Data, Json, fail, load
from isthmusd.core.entry import MODEL_LENGTH
from isthmusd.stores.caching import CacheFault, CacheOptions, CacheStats, CacheStore

cache = typer.Typer(no_args_is_help=True, help="Answers that are kept for the next one who asks the same.")

PATIENCE_S = 5.0
"""A person waits longer for other processes to leave the file alone than a call does."""

ALONE = (
    "answers are only in the memory of each worker (cache.url: memory): there is nothing shared to look at; a restart "
    "of the gateway forgets them"
)
UNMADE = (
    "there is no {0}: nothing was cleared, and running workers were not told to forget what is in their memory; a "
    "restart of the gateway forgets it"
)

Given = TypeVar("Given")
OfTenant = Annotated[str | None, typer.Option(metavar="TENANT", help="Only this tenant's.")]
OfModel = Annotated[str | None, typer.Option(metavar="MODEL", help="Only of this model, as callers name it.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to the application."""
    app.add_typer(cache, name="cache")


@cache.command()
def stats(
    *, tenant: OfTenant = None, model: OfModel = None, config: Config = None, data: Data = None, json: Json = False
) -> None:
    """Show how many answers are kept that have not expired, and what they take."""
    place, options = _shared(config, data)

    async def look(store: CacheStore) -> CacheStats:
        return await store.stats(tenant, _cut(model))

    found = _asked(options, look, absent=CacheStats(count=0, size=0))
    view = {"store": place, "tenant": tenant, "model": model, "answers": found.count, "bytes": found.size}
    if json:
        print_json(view)
        return
    print_facts(view.items())


@cache.command()
def clear(
    *,
    tenant: OfTenant = None,
    model: OfModel = None,
    all_: Annotated[bool, typer.Option("--all", help="Everybody's, of every model.")] = False,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Forget the answers of a tenant, of a model, of both, or all. Running workers do so within about a second."""
    if all_ == (tenant is not None or model is not None):
        raise typer.BadParameter("say what to clear: --tenant, --model or both; or --all, alone")
    place, options = _shared(config, data)

    async def forget(store: CacheStore) -> int:
        return await store.clear(tenant, _cut(model))

    is_made = _is_made(options)
    count = _asked(options, forget, absent=0)
    done = {"store": place, "tenant": tenant, "model": model, "cleared": count}
    answers = "1 answer" if count == 1 else f"{count} answers"
    said = f"cleared {answers} in {place}; running workers forget theirs within about a second"
    report(done, said if is_made else UNMADE.format(place), json=json)


def _shared(config: Path | None, data: Path | None) -> tuple[str, CacheOptions]:
    """Give the store that the settings name, and its place in words."""
    try:
        found = load(config, os.environ, data)
    except settings.SettingsError as error:
        fail(str(error))
    if found.cache is None:
        _nothing_there("the cache is off (cache.enabled): no answer is kept")
    return place_of_cache(found), replace(found.cache, memory_bytes=0, timeout_s=PATIENCE_S)


def _cut(model: str | None) -> str | None:
    """Give a model's name as it stands beside an answer."""
    return model and model[:MODEL_LENGTH]


def _nothing_there(message: str) -> NoReturn:
    typer.echo(f"isthmus: {message}", err=True)
    raise typer.Exit(2)


def _is_made(options: CacheOptions) -> bool:
    return options.path is None or options.path.exists()


def _asked(options: CacheOptions, ask: Callable[[CacheStore], Awaitable[Given]], *, absent: Given) -> Given:
    """Open the store, ask it for one thing and close it. A file that is not there stays so."""
    if not _is_made(options):
        return absent

    async def asking() -> Given:
        async with _opened(options) as store:
            return await ask(store)

    try:
        return asyncio.run(asking())
    except CacheFault as fault:
        fail(f"the cache's store cannot be used: {fault}")


@asynccontextmanager
async def _opened(options: CacheOptions) -> AsyncGenerator[CacheStore]:
    from isthmusd.clock import SystemClock  # noqa: PLC0415 as in store.py
    from isthmusd.stores.tiered_cache import open_store  # noqa: PLC0415 as in store.py

    store = open_store(options, SystemClock())
    if store is None:
        _nothing_there(ALONE)
    try:
        yield store
    finally:
        await store.aclose()
