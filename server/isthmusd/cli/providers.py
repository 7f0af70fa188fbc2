"""`isthmus providers`: which hosts the settings make usable, and what the others still need. It connects to nothing and
shows no secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import typer

from isthmusd import settings
from isthmusd.core.profile import Profile, Provider
from isthmusd.providers.catalog import CATALOG, configured, setups


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(providers)


def providers(
    *,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the providers: usable or what is missing, wire format, address."""
    known = usable_with(config, os.environ)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode([described(each) for each in known.values()])).decode())
        return
    width = max(map(len, known))
    for name, provider in known.items():
        state = "usable" if provider.usable else f"needs {', '.join(needs(provider))}"
        typer.echo(f"{name:{width}}  {provider.dialect:9}  {provider.base_url}  {state}")


def usable_with(config: Path | None, environ: Mapping[str, str]) -> Mapping[str, Provider]:
    """Give every provider as the settings make it; prints what is wrong with them, and exits."""
    return configured(CATALOG, loaded(config, environ).providers)


def loaded(config: Path | None, environ: Mapping[str, str]) -> settings.Settings:
    """Read the settings that a run would have."""
    try:
        return settings.load(config, environ, {})
    except settings.SettingsError as error:
        typer.echo(f"isthmus: {error}", err=True)
        raise typer.Exit(1) from None


def needs(provider: Provider) -> tuple[str, ...]:
    """Tell what must be set before the gateway itself can call a provider."""
    if provider.usable:
        return ()
    has_credential = provider.api_key is not None or provider.signing is not None or not provider.needs_key
    setup = setups().get(provider.name)
    variable = f"{setup.env if setup else provider.name.upper()}_API_KEY"
    key = () if has_credential else (f"providers.{provider.name}.api_key (or {variable})",)
    return (*key, *provider.missing)


def described(provider: Provider) -> dict[str, Any]:
    """Give what is to be known of a provider, as plain data without its secrets."""
    return {
        "name": provider.name,
        "usable": provider.usable,
        "missing": needs(provider),
        "dialect": provider.dialect,
        "base_url": provider.base_url,
        "auth": provider.auth,
        "endpoints": [each.endpoint for each in (provider, *provider.alternates) if each.endpoint is not None],
        "models": provider.models,
        "capabilities": _differences(provider.profile),
        "variants": {
            models: {"dialect": variant.dialect, "capabilities": _differences(variant.profile)}
            for models, variant in provider.variants.items()
        },
    }


def _differences(profile: Profile) -> dict[str, Any]:
    """Give the capabilities that differ from those of a host that can do everything."""
    usual = asdict(Profile())
    ours = {each.name: getattr(profile, each.name) for each in fields(Profile)}
    return {name: _sorted(value) for name, value in ours.items() if value != usual[name]}


def _sorted(value: object) -> object:
    match value:
        case frozenset():
            return sorted(cast("frozenset[str]", value))
        case _:
            return value
