"""`isthmus credentials`: temporary credentials that callers issued. Issuing them is for callers, by the API."""

from __future__ import annotations

from typing import Annotated

import typer

from isthmusd.cli import views
from isthmusd.cli.printing import print_facts, print_json, print_table
from isthmusd.cli.store import Config, Data, Json, every, opened
from isthmusd.core.administration import MAX_LISTED
from isthmusd.core.tenants import TemporaryCredential

credentials = typer.Typer(no_args_is_help=True, help="Temporary credentials that callers issued.")

CredentialId = Annotated[str, typer.Argument(metavar="ID", help="The credential, as `list` shows it.")]
OfTenant = Annotated[str | None, typer.Option(metavar="TENANT", help="Only this tenant's.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to the application."""
    app.add_typer(credentials, name="credentials")


@credentials.command("list")
def list_(*, tenant: OfTenant = None, config: Config = None, data: Data = None, json: Json = False) -> None:
    """List the temporary credentials, the newest first."""
    with opened(config, data) as store:
        administration = store.administration
        known = every(
            lambda after: administration.credentials(tenant=tenant, after=after, limit=MAX_LISTED),
            lambda credential: credential.id,
        )
    if json:
        print_json([views.of_credential(each) for each in known])
        return
    print_table(("CREDENTIAL", "TENANT", "MODEL", "PROJECT", "CREATED", "EXPIRES", "REVOKED"), map(_row, known))


@credentials.command()
def show(credential_id: CredentialId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Show a temporary credential, without its token."""
    with opened(config, data) as store:
        found = store.administration.credential(credential_id)
    _show(found, json)


@credentials.command()
def revoke(credential_id: CredentialId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Refuse a temporary credential from now on."""
    with opened(config, data) as store:
        revoked = store.administration.revoke_credential(credential_id)
    _show(revoked, json)


def _show(credential: TemporaryCredential, json: bool) -> None:
    view = views.of_credential(credential)
    if json:
        print_json(view)
        return
    print_facts(views.facts(view))


def _row(credential: TemporaryCredential) -> tuple[object, ...]:
    view = views.of_credential(credential)
    return tuple(view[name] for name in ("id", "tenant", "model", "project", "created_at", "expires_at", "revoked_at"))
