"""What is shown of tenants, keys and temporary credentials, as plain data. No secret is in any of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from isthmusd.cli.printing import moment
from isthmusd.core.tenants import GatewayKey, Grants, Project, TemporaryCredential, Tenant

View = dict[str, Any]

ALL = "all"


def of_tenant(tenant: Tenant) -> View:
    """Show a tenant."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "grants": _of_grants(tenant.grants),
        "calls": tenant.calls,
        "provider_keys": provider_keys(tenant),
        "projects": projects(tenant),
        "created_at": moment(tenant.created_at),
        "revoked_at": moment(tenant.revoked_at),
    }


def provider_keys(tenant: Tenant) -> list[View]:
    """Show which credentials a tenant has at providers."""
    return [{"provider": key.provider, "name": key.name} for keys in tenant.provider_keys.values() for key in keys]


def projects(tenant: Tenant) -> list[View]:
    """Show a tenant's projects."""
    return [_of_project(project) for project in tenant.projects.values()]


def of_key(key: GatewayKey) -> View:
    """Show a key."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "role": key.role,
        "grants": _of_grants(key.grants),
        "kid": key.kid,
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
    }


def of_credential(credential: TemporaryCredential) -> View:
    """Show a temporary credential."""
    return {
        "id": credential.id,
        "tenant": credential.tenant,
        "issuer": {"method": credential.issuer.method, "id": credential.issuer.id},
        "model": credential.model,
        "project": credential.project,
        "created_at": moment(credential.created_at),
        "expires_at": moment(credential.expires_at),
        "revoked_at": moment(credential.revoked_at),
    }


def facts(view: View) -> Iterator[tuple[str, object]]:
    """Give a view line by line, for people."""
    for name, value in view.items():
        if name == "grants":
            yield from ((f"may use {what}", in_words(granted)) for what, granted in value.items())
        else:
            yield name.replace("_", " "), _words(value)


def in_words(granted: list[str] | str | None) -> str:
    """Write for people what is granted."""
    match granted:
        case None:
            return ALL
        case []:
            return "none"
        case list():
            return ", ".join(granted)
        case str():
            return granted


def _words(value: Any) -> object:
    match value:
        case list():
            return ", ".join(_line(item) for item in cast("list[View]", value))
        case dict():
            return _line(cast("View", value))
        case _:
            return value


def _line(item: View) -> str:
    """Write an item's values; of a fact that holds, its name."""
    return " ".join(
        f"({name.replace('_', ' ')})" if value is True else str(value)
        for name, value in item.items()
        if value is not None and value is not False
    )


def _of_grants(grants: Grants) -> View:
    return {"models": _sorted(grants.models), "projects": _sorted(grants.projects), "forward": str(grants.forward)}


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _of_project(project: Project) -> View:
    return {"name": project.name, "record_bodies": project.record_bodies}
