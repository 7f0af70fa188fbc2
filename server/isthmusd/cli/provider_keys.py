"""`isthmus tenants provider-keys`: a tenant's own credentials at providers. A secret is never an argument: it would be
in the shell's history and in the list of processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from isthmusd.cli import views
from isthmusd.cli.printing import print_json, print_table, report
from isthmusd.cli.store import Config, Data, Json, opened
from isthmusd.core.tenants import ProviderKey
from isthmusd.providers.catalog import CATALOG, configured
from isthmusd.providers.errors import nearest

QUOTES = "'\"`"

provider_keys = typer.Typer(no_args_is_help=True, help="A tenant's own credentials at providers.")

TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant.")]
Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="As `isthmus providers` lists it.")]
Name = Annotated[str | None, typer.Option(help="To tell several apart, for `x-isthmus-endpoint`.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to its parent."""
    app.add_typer(provider_keys, name="provider-keys")


@provider_keys.command("set")
def set_(
    tenant_id: TenantId,
    provider: Provider,
    *,
    name: Name = None,
    from_env: Annotated[str | None, typer.Option(metavar="VARIABLE", help="Take the secret from it.")] = None,
    from_file: Annotated[Path | None, typer.Option(metavar="PATH", help="Take the secret from it.")] = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add or replace a credential; its secret comes from standard input, a variable or a file."""
    secret = _secret(from_env, from_file)
    with opened(config, data) as store:
        known = configured(CATALOG, store.settings.providers)
        if provider not in known:
            raise typer.BadParameter(f"{provider} is no provider; {nearest(provider, known)}", param_hint="PROVIDER")
        store.administration.set_provider_key(tenant_id, ProviderKey(provider=provider, name=name, secret=secret))
    done = {"tenant": tenant_id, "provider": provider, "name": name}
    report(done, f"tenant {tenant_id} has its own key at {_named(provider, name)} now", json=json)


@provider_keys.command("list")
def list_(tenant_id: TenantId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """List where a tenant has credentials, in order of preference."""
    with opened(config, data) as store:
        found = views.provider_keys(store.administration.tenant(tenant_id))
    if json:
        print_json(found)
        return
    print_table(("PROVIDER", "NAME"), [(each["provider"], each["name"]) for each in found])


@provider_keys.command()
def remove(
    tenant_id: TenantId,
    provider: Provider,
    *,
    name: Name = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Remove a credential."""
    with opened(config, data) as store:
        store.administration.remove_provider_key(tenant_id, provider, name)
    done = {"tenant": tenant_id, "provider": provider, "name": name}
    report(done, f"tenant {tenant_id} no longer has a key at {_named(provider, name)}", json=json)


def _secret(variable: str | None, file: Path | None) -> str:
    """Read a secret from where it is said to be."""
    match variable, file:
        case str(), Path():
            raise typer.BadParameter("--from-env and --from-file contradict each other; give one of them")
        case str(), None:
            secret, source = os.environ.get(variable, ""), f"variable {variable}"
        case None, Path():
            secret, source = _text_of(file), str(file)
        case _:
            secret, source = _typed(), "standard input"
    secret = secret.strip()
    if not secret:
        raise typer.BadParameter(f"{source} holds no secret; pipe it in, or say --from-env or --from-file")
    if secret[0] in QUOTES or secret[-1] in QUOTES:
        raise typer.BadParameter(f"{source} holds quotation marks; give the secret without them")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise typer.BadParameter(f"{source} holds more than a secret: a space, a line break or another character")
    return secret


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} cannot be read: it holds no text") from None


def _typed() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Secret", hide_input=True, err=True, default="", show_default=False)
    return sys.stdin.read()


def _named(provider: str, name: str | None) -> str:
    return provider if name is None else f"{provider} ({name})"
