"""`isthmus tenants subjects`: the identities of a tenant, where their tokens do not say it. Issuers are settings."""

from __future__ import annotations

from typing import Annotated

import typer

from isthmusd.cli.printing import print_json, print_table, report, tell
from isthmusd.cli.store import Config, Data, Json, opened
from isthmusd.core.administration import Subject
from isthmusd.core.issuers import VERIFIER
from isthmusd.settings.errors import nearest

subjects = typer.Typer(no_args_is_help=True, help="Identities that are a tenant's.")

TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant.")]
Issuer = Annotated[str, typer.Option(metavar="ISS", help="`iss` of the identity's tokens.")]
Name = Annotated[str, typer.Option("--subject", metavar="SUB", help="`sub` of the identity's tokens.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to its parent."""
    app.add_typer(subjects, name="subjects")


@subjects.command("set")
def set_(
    tenant_id: TenantId,
    *,
    issuer: Issuer,
    subject: Name,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Put an identity to a tenant; it leaves the one that it was put to before."""
    with opened(config, data) as store:
        believed = [each.rules.issuer for each in store.settings.issuers]
        if store.settings.hook is not None:
            believed.append(VERIFIER)
        store.administration.set_subject(Subject(issuer=issuer, subject=subject, tenant=tenant_id))
    done = {"tenant": tenant_id, "issuer": issuer, "subject": subject}
    report(done, f"{subject} of {issuer} is of tenant {tenant_id} now", json=json)
    if issuer not in believed:
        tell(f"warning: these settings name no issuer {issuer}, {nearest(issuer, believed) if believed else 'nor any'}")


@subjects.command("list")
def list_(tenant_id: TenantId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """List the identities that were put to a tenant."""
    with opened(config, data) as store:
        found = store.administration.subjects(tenant_id)
    if json:
        print_json([{"issuer": each.issuer, "subject": each.subject} for each in found])
        return
    print_table(("ISSUER", "SUBJECT"), [(each.issuer, each.subject) for each in found])


@subjects.command()
def remove(
    tenant_id: TenantId,
    *,
    issuer: Issuer,
    subject: Name,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Take an identity from a tenant."""
    with opened(config, data) as store:
        known = store.administration.subjects(tenant_id)
        if Subject(issuer=issuer, subject=subject, tenant=tenant_id) not in known:
            raise typer.BadParameter(f"tenant {tenant_id} has no subject {subject} of {issuer}")
        store.administration.remove_subject(issuer, subject)
    report({"issuer": issuer, "subject": subject}, f"{subject} of {issuer} is of no tenant now", json=json)
