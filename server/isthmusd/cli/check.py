"""`isthmus check`: what a run would be told, or why it would not start. It connects to nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
import yaml

from isthmusd import settings


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(check)


def check(
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML).")] = None,
    allow_public_anonymous: Annotated[
        bool, typer.Option("--allow-public-anonymous", help="As for `isthmus serve`.")
    ] = False,
) -> None:
    """Validate the settings and print them, secrets masked; warnings go to stderr."""
    try:
        resolved = settings.load(config, os.environ, {"allow_public_anonymous": allow_public_anonymous or None})
    except settings.SettingsError as error:
        typer.echo(f"isthmus: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(yaml.safe_dump(resolved.masked(), sort_keys=False, allow_unicode=True), nl=False)
    for warning in resolved.warnings:
        typer.echo(f"warning: {warning}", err=True)
