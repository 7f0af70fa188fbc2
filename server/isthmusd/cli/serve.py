"""`isthmus serve`: settings, secret and store, then the supervisor. Imports nothing that pulls in grpc, the database or
cryptography: the workers do that."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from isthmusd import settings
from isthmusd.cli.posture import posture
from isthmusd.cli.store import fail, provisioned
from isthmusd.edge.errors import EdgeError
from isthmusd.edge.supervisor import Supervisor
from isthmusd.observe.log import Level, Log, adopt_libraries
from isthmusd.stores.provision import ProvisionError

LOG = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(serve)


def serve(
    *,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML).")] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Public address; port 0 takes a free one.")
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT|unix:PATH", help="Operators' address: AdminService, /metrics, /healthz."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Directory for what outlives a run.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Server processes; default: one per core.")] = None,
    no_envoy: Annotated[bool, typer.Option("--no-envoy", help="Serve gRPC only, without the HTTP surface.")] = False,
    behind_envoy: Annotated[
        bool, typer.Option("--behind-envoy", help="As --no-envoy, where only an Envoy with our envoy.yaml reaches us.")
    ] = False,
    allow_public_anonymous: Annotated[
        bool, typer.Option("--allow-public-anonymous", help="Let anybody who reaches a public address use your keys.")
    ] = False,
) -> None:
    """Run the gateway until it is told to stop; a second signal stops it at once."""
    flags = {
        "listen": listen,
        "admin": admin,
        "data": data and str(data),
        "workers": workers,
        "envoy": False if no_envoy or behind_envoy else None,
        "allow_public_anonymous": allow_public_anonymous or None,
    }
    overrides = {name: value for name, value in flags.items() if value is not None}
    try:
        resolved = settings.load(config, os.environ, overrides)
        adopt_libraries(Log(level=resolved.log_level), Level.INFO)
        LOG.info("security posture: %s", posture(resolved))
        for warning in resolved.warnings:
            LOG.warning("%s", warning)
        # Once for all workers, and before any: they would race for the first secret and the schema.
        asyncio.run(_run(provisioned(resolved, told=LOG.info), behind_envoy))
    except (EdgeError, ProvisionError, settings.SettingsError) as error:
        fail(str(error))


async def _run(resolved: settings.Settings, behind_envoy: bool) -> None:
    edge = dataclasses.replace(resolved.edge, behind_envoy=behind_envoy)
    await Supervisor(edge, resolved.dump(), os.environ, announce=_announce).run()


def _announce(line: str) -> None:
    print(line, flush=True)
