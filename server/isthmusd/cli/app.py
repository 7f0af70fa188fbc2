"""The `isthmus` command: one file per subcommand, listed here. Not the composition root: that is `isthmusd.app`."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from isthmusd.cli import cache, check, credentials, keys, models, providers, records, secret, serve, tenants

DISTRIBUTION = "isthmus-gateway"

COMMANDS = (
    serve.register,
    check.register,
    tenants.register,
    keys.register,
    credentials.register,
    secret.register,
    providers.register,
    models.register,
    records.register,
    cache.register,
)
"""A subcommand's file has `register(app)`; adding one is adding a line."""

app = typer.Typer(name="isthmus", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(metadata.version(DISTRIBUTION))
        raise typer.Exit


@app.callback()
def isthmus(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A gateway for LLM APIs: one protobuf contract, two protocols."""


for register in COMMANDS:
    register(app)


def main() -> None:
    """Run the command line."""
    app()
