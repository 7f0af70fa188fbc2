"""`isthmus tenants`: who the gateway's clients are and what they may use. What else a tenant has is in files of their
own: `provider_keys.py`, `projects.py`, `subjects.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from isthmusd.cli import projects, provider_keys, subjects, views
from isthmusd.cli.printing import print_facts, print_json, print_table
from isthmusd.cli.store import Config, Data, Json, Store, every, opened
from isthmusd.core.administration import MAX_LISTED, TenantWish
from isthmusd.core.tenants import ForwardGrant, Grants, Tenant

tenants = typer.Typer(no_args_is_help=True, help="The gateway's clients, and what they may use.")

TenantId = Annotated[str, typer.Argument(metavar="ID", help="The tenant.")]
Name = Annotated[str | None, typer.Option(help="What people call it.")]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="A model that it may use; repeatable. Default: all.")
]
Projects = Annotated[
    list[str] | None,
    typer.Option("--project", metavar="NAME", help="A project it may record calls under; repeatable. Default: all."),
]
Forward = Annotated[ForwardGrant | None, typer.Option(help="Whose provider keys Forward may use. Default: own.")]
Calls = Annotated[int | None, typer.Option(min=1, metavar="N", help="Calls at once per worker. Default: no limit.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to the application."""
    app.add_typer(tenants, name="tenants")


for group in (provider_keys, projects, subjects):
    group.register(tenants)


@tenants.command()
def create(
    tenant_id: TenantId,
    *,
    name: Name = None,
    models: Models = None,
    projects: Projects = None,
    forward: Forward = None,
    calls: Calls = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Create a tenant."""
    grants = Grants(models=_names(models), projects=_names(projects), forward=forward or ForwardGrant.OWN)
    with opened(config, data) as store:
        made = store.administration.create_tenant(TenantWish(id=tenant_id, name=name or "", grants=grants, calls=calls))
    _show(made, json)


@tenants.command("list")
def list_(*, config: Config = None, data: Data = None, json: Json = False) -> None:
    """List the tenants."""
    with opened(config, data) as store:
        known = every_tenant(store)
    if json:
        print_json([views.of_tenant(tenant) for tenant in known])
        return
    print_table(("TENANT", "NAME", "MODELS", "FORWARD", "CREATED", "REVOKED"), map(_row, known))


@tenants.command()
def show(tenant_id: TenantId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Show a tenant, without its secrets."""
    with opened(config, data) as store:
        found = store.administration.tenant(tenant_id)
    _show(found, json)


@tenants.command()
def update(
    tenant_id: TenantId,
    *,
    name: Name = None,
    models: Models = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Let it use every model.")] = False,
    projects: Projects = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Let it use every project.")] = False,
    forward: Annotated[ForwardGrant | None, typer.Option(help="Whose provider keys Forward may use.")] = None,
    calls: Annotated[int | None, typer.Option(min=0, metavar="N", help="Calls at once; 0: no limit.")] = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Change what is given; the rest stays."""
    _refuse_both("model", models, all_models)
    _refuse_both("project", projects, all_projects)
    with opened(config, data) as store:
        was = store.administration.tenant(tenant_id)
        grants = replace(
            was.grants,
            models=None if all_models else _names(models) or was.grants.models,
            projects=None if all_projects else _names(projects) or was.grants.projects,
            forward=forward or was.grants.forward,
        )
        wish = TenantWish(
            id=tenant_id,
            name=was.name if name is None else name,
            grants=grants,
            calls=was.calls if calls is None else calls or None,
        )
        now = store.administration.update_tenant(wish)
    _show(now, json)


@tenants.command()
def revoke(tenant_id: TenantId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Refuse all of a tenant's keys, credentials and identities, until it is restored."""
    with opened(config, data) as store:
        revoked = store.administration.revoke_tenant(tenant_id)
    _show(revoked, json)


@tenants.command()
def restore(tenant_id: TenantId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Take a revocation back."""
    with opened(config, data) as store:
        restored = store.administration.restore_tenant(tenant_id)
    _show(restored, json)


@tenants.command()
def rotate(
    tenant_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The tenant.", show_default=False)] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every tenant.")] = False,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Seal the provider keys by the newest secret (see `isthmus secret`)."""
    if (tenant_id is None) is not all_:
        raise typer.BadParameter("name a tenant, or say --all")
    with opened(config, data) as store:
        ids = [tenant.id for tenant in every_tenant(store)] if tenant_id is None else [tenant_id]
        counts = {each: store.administration.reseal_tenant(each) for each in ids}
    if json:
        print_json([{"tenant": each, "sealed": count} for each, count in counts.items()])
        return
    print_table(("TENANT", "PROVIDER KEYS SEALED"), counts.items())


def every_tenant(store: Store) -> list[Tenant]:
    """Give all tenants."""
    return every(lambda after: store.administration.tenants(after=after, limit=MAX_LISTED), lambda tenant: tenant.id)


def _row(tenant: Tenant) -> tuple[object, ...]:
    view = views.of_tenant(tenant)
    granted = view["grants"]
    models = views.in_words(granted["models"])
    return tenant.id, tenant.name, models, granted["forward"], view["created_at"], view["revoked_at"]


def _show(tenant: Tenant, json: bool) -> None:
    view = views.of_tenant(tenant)
    if json:
        print_json(view)
        return
    print_facts(views.facts(view))


def _names(given: list[str] | None) -> frozenset[str] | None:
    return frozenset(given) if given else None


def _refuse_both(kind: str, given: list[str] | None, everything: bool) -> None:
    if given and everything:
        raise typer.BadParameter(f"--{kind} and --all-{kind}s contradict each other; give one of them")
