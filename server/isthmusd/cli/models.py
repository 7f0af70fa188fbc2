"""`isthmus models`: the models that `GET /v1/models` lists with these settings. It asks no provider."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from isthmusd.cli.providers import loaded
from isthmusd.core.call import AuthMethod, Principal
from isthmusd.pipeline.resolve import Resolver
from isthmusd.providers.catalog import CATALOG, configured

NOBODY = Principal(tenant="", key_id="", method=AuthMethod.ANONYMOUS)
"""Everything that needs no key of the caller's own, whether or not anonymous calls are served."""


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(models)


def models(
    *,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models that callers may name, and whose they are."""
    found = loaded(config, os.environ)
    resolver = Resolver(
        configured(CATALOG, found.providers), found.models, found.pipeline.default_provider, anonymous=True
    )
    listed = list(resolver.models(NOBODY))
    if json:
        plain = [{"id": each.id, "provider": each.provider} for each in listed]
        typer.echo(msgspec.json.format(msgspec.json.encode(plain)).decode())
        return
    for each in listed:
        typer.echo(f"{each.id}\t{each.provider}")
