"""`isthmus keys`: keys of this gateway. A key's token is printed once, alone on stdout, and kept by nobody."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from isthmusd.cli import views
from isthmusd.cli.durations import parse_duration
from isthmusd.cli.printing import print_facts, print_json, print_table, tell
from isthmusd.cli.store import Config, Data, Json, every, opened
from isthmusd.core.administration import MAX_LISTED, IssuedKey, KeyWish
from isthmusd.core.tenants import ForwardGrant, GatewayKey, Grants, Role

keys = typer.Typer(no_args_is_help=True, help="Keys of this gateway.")


def _named(key_id: str) -> str:
    """Take a key's id. Raises BadParameter for a token: by now it is in the shell's history."""
    from isthmusd.core.tokens import KEY_PREFIX  # noqa: PLC0415 it loads cryptography, which `isthmus serve` need not

    if key_id.startswith(KEY_PREFIX):
        raise typer.BadParameter("this is a key's token; name the key by its id, as `isthmus keys list` shows it")
    return key_id


KeyId = Annotated[
    str, typer.Argument(parser=_named, metavar="ID", help="The key, as `list` shows it; never its token.")
]
OfTenant = Annotated[str | None, typer.Option(metavar="TENANT", help="Only this tenant's.")]


def register(app: typer.Typer) -> None:
    """Add this group of commands to the application."""
    app.add_typer(keys, name="keys")


@keys.command()
def create(
    *,
    tenant: Annotated[str, typer.Option(metavar="TENANT", help="Whose key it is.")],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    role: Annotated[Role, typer.Option(help="A caller calls models, an admin administers the gateway.")] = Role.CALLER,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model that it may use; repeatable. Default: the tenant's."),
    ] = None,
    projects: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="NAME", help="A project that it may use; repeatable. Default: the tenant's."),
    ] = None,
    forward: Annotated[
        ForwardGrant, typer.Option(help="Whose provider keys Forward may use, if the tenant may.")
    ] = ForwardGrant.SHARED,
    expires: Annotated[
        float | None, typer.Option(parser=parse_duration, metavar="90d", help="How long it opens. Default: always.")
    ] = None,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Create a key and print its token, once."""
    if expires == 0:
        raise typer.BadParameter("a key that never opens is of no use; give --expires like 90d", param_hint="--expires")
    wish = KeyWish(
        tenant=tenant,
        name=name,
        role=role,
        grants=Grants(
            models=frozenset(models) if models else None,
            projects=frozenset(projects) if projects else None,
            forward=forward,
        ),
        expires_at=None if expires is None else float(int(time.time() + expires)),
    )
    with opened(config, data) as store:
        issued = store.administration.create_key(wish)
        may = store.administration.tenant(tenant).grants.models
    _hand_out(issued, json)
    beyond = () if may is None else sorted((issued.key.grants.models or frozenset()) - may)
    if beyond:
        tell(f"warning: tenant {tenant} may not use {', '.join(beyond)}, so neither may this key")


@keys.command("list")
def list_(*, tenant: OfTenant = None, config: Config = None, data: Data = None, json: Json = False) -> None:
    """List the keys."""
    with opened(config, data) as store:
        administration = store.administration
        known = every(
            lambda after: administration.keys(tenant=tenant, after=after, limit=MAX_LISTED), lambda key: key.id
        )
    if json:
        print_json([views.of_key(key) for key in known])
        return
    print_table(("KEY", "TENANT", "NAME", "ROLE", "KID", "CREATED", "EXPIRES", "REVOKED"), map(_row, known))


@keys.command()
def show(key_id: KeyId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Show a key, without its token."""
    with opened(config, data) as store:
        found = store.administration.key(key_id)
    _show(found, json)


@keys.command()
def rotate(
    key_id: KeyId,
    *,
    grace: Annotated[
        float, typer.Option(parser=parse_duration, metavar="24h", help="How long the old one still opens.")
    ] = "24h",  # pyright: ignore[reportArgumentType] - the parser reads it
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Create a key with the same rights and print its token; the old one ends after the grace."""
    with opened(config, data) as store:
        issued = store.administration.rotate_key(key_id, grace)
    _hand_out(issued, json)


@keys.command()
def revoke(key_id: KeyId, *, config: Config = None, data: Data = None, json: Json = False) -> None:
    """Refuse a key from now on."""
    with opened(config, data) as store:
        revoked = store.administration.revoke_key(key_id)
    _show(revoked, json)


def _hand_out(issued: IssuedKey, json: bool) -> None:
    view = views.of_key(issued.key)
    if json:
        print_json({"token": issued.token, "key": view})
        return
    print_facts(views.facts(view), err=True)
    tell("Keep the token: it is not shown again.")
    typer.echo(issued.token)


def _show(key: GatewayKey, json: bool) -> None:
    view = views.of_key(key)
    if json:
        print_json(view)
        return
    print_facts(views.facts(view))


def _row(key: GatewayKey) -> tuple[object, ...]:
    view = views.of_key(key)
    return tuple(
        view[name] for name in ("id", "tenant", "name", "role", "kid", "created_at", "expires_at", "revoked_at")
    )
