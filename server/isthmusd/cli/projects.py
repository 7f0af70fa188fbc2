"""`isthmus tenants projects`: names that a tenant's calls are recorded under. The records are `isthmus records`."""

from __future__ import annotations

from typing import Annotated

import typer

from isthmusd.cli import views
from isthmusd.cli.printing import print_json, print_table, report
from isthmusd.cli.store import Config, Data, Json, opened
from isthmusd.core.tenants import Project

projects = typer.Typer(no_args_is_help=True, help="Names that a tenant's calls are recorded under.")

TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The project.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to its parent."""
    app.add_typer(projects, name="projects")


@projects.command("set")
def set_(
    tenant_id: TenantId,
    name: Name,
    *,
    record_bodies: Annotated[
        bool, typer.Option("--record-bodies/--no-record-bodies", help="Keep what is asked and answered.")
    ] = False,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add or change a project."""
    with opened(config, data) as store:
        store.administration.set_project(tenant_id, Project(name=name, record_bodies=record_bodies))
    done = {"tenant": tenant_id, "name": name, "record_bodies": record_bodies}
    kept = "with what is asked and answered" if record_bodies else "without what is asked and answered"
    report(done, f"calls of project {name} of tenant {tenant_id} are recorded {kept}", json=json)


@projects.command("list")
def list_(tenant_id: TenantId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """List a tenant's projects."""
    with opened(config, data) as store:
        found = views.projects(store.administration.tenant(tenant_id))
    if json:
        print_json(found)
        return
    print_table(("PROJECT", "BODIES"), [(each["name"], each["record_bodies"]) for each in found])


@projects.command()
def remove(tenant_id: TenantId, name: Name, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Remove a project; its records stay."""
    with opened(config, data) as store:
        store.administration.remove_project(tenant_id, name)
    report({"tenant": tenant_id, "name": name}, f"tenant {tenant_id} no longer has a project {name}", json=json)
