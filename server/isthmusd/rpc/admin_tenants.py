"""What AdminService does with tenants and with what they own. Keys are `admin_keys.py`'s."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.v1 import admin_pb2 as pb

from isthmusd.core.administration import Subject, TenantWish
from isthmusd.core.errors import InvalidRequest
from isthmusd.core.tenants import Grants, Project, ProviderKey, Tenant
from isthmusd.pipeline.ports import Administration
from isthmusd.rpc.admin_fields import (
    decode_grants,
    encode_grants,
    encode_time,
    next_page,
    page_limit,
    page_start,
    required,
)
from isthmusd.rpc.admin_method import Method


def _create(store: Administration, request: pb.CreateTenantRequest) -> pb.CreateTenantResponse:
    return pb.CreateTenantResponse(tenant=_tenant(store.create_tenant(_wish(request.id, request.settings))))


def _get(store: Administration, request: pb.GetTenantRequest) -> pb.GetTenantResponse:
    return pb.GetTenantResponse(tenant=_tenant(store.tenant(required("id", request.id))))


def _list(store: Administration, request: pb.ListTenantsRequest) -> pb.ListTenantsResponse:
    limit = page_limit(request.page_size)
    listed = store.tenants(after=page_start(request.page_token), limit=limit)
    last = listed[-1].id if listed else ""
    return pb.ListTenantsResponse(
        tenants=[_tenant(each) for each in listed], next_page_token=next_page(listed, limit, last)
    )


def _update(store: Administration, request: pb.UpdateTenantRequest) -> pb.UpdateTenantResponse:
    if not request.HasField("settings"):
        raise InvalidRequest(
            "'settings' are required: without them nothing would restrict the tenant", param="settings"
        )
    return pb.UpdateTenantResponse(tenant=_tenant(store.update_tenant(_wish(request.id, request.settings))))


def _revoke(store: Administration, request: pb.RevokeTenantRequest) -> pb.RevokeTenantResponse:
    return pb.RevokeTenantResponse(tenant=_tenant(store.revoke_tenant(required("id", request.id))))


def _restore(store: Administration, request: pb.RestoreTenantRequest) -> pb.RestoreTenantResponse:
    return pb.RestoreTenantResponse(tenant=_tenant(store.restore_tenant(required("id", request.id))))


def _reseal(store: Administration, request: pb.ResealTenantRequest) -> pb.ResealTenantResponse:
    return pb.ResealTenantResponse(provider_key_count=store.reseal_tenant(required("id", request.id)))


def _set_provider_key(store: Administration, request: pb.SetProviderKeyRequest) -> pb.SetProviderKeyResponse:
    key = ProviderKey(
        provider=required("provider", request.provider),
        name=required("name", request.name) if request.HasField("name") else None,
        secret=required("secret", request.secret),
    )
    store.set_provider_key(required("tenant", request.tenant), key)
    return pb.SetProviderKeyResponse(provider_key=_provider_key(key))


def _list_provider_keys(store: Administration, request: pb.ListProviderKeysRequest) -> pb.ListProviderKeysResponse:
    tenant = store.tenant(required("tenant", request.tenant))
    return pb.ListProviderKeysResponse(provider_keys=_provider_keys(tenant))


def _remove_provider_key(store: Administration, request: pb.RemoveProviderKeyRequest) -> pb.RemoveProviderKeyResponse:
    name = request.name if request.HasField("name") else None
    store.remove_provider_key(required("tenant", request.tenant), required("provider", request.provider), name)
    return pb.RemoveProviderKeyResponse()


def _set_project(store: Administration, request: pb.SetProjectRequest) -> pb.SetProjectResponse:
    wanted = request.project
    project = Project(name=required("project.name", wanted.name), record_bodies=wanted.record_bodies)
    store.set_project(required("tenant", request.tenant), project)
    return pb.SetProjectResponse(project=_project(project))


def _list_projects(store: Administration, request: pb.ListProjectsRequest) -> pb.ListProjectsResponse:
    return pb.ListProjectsResponse(projects=_projects(store.tenant(required("tenant", request.tenant))))


def _remove_project(store: Administration, request: pb.RemoveProjectRequest) -> pb.RemoveProjectResponse:
    store.remove_project(required("tenant", request.tenant), required("name", request.name))
    return pb.RemoveProjectResponse()


def _set_subject(store: Administration, request: pb.SetSubjectRequest) -> pb.SetSubjectResponse:
    wanted = request.subject
    subject = Subject(
        issuer=required("subject.issuer", wanted.issuer),
        subject=required("subject.subject", wanted.subject),
        tenant=required("subject.tenant", wanted.tenant),
    )
    store.set_subject(subject)
    return pb.SetSubjectResponse(subject=_subject(subject))


def _list_subjects(store: Administration, request: pb.ListSubjectsRequest) -> pb.ListSubjectsResponse:
    listed = store.subjects(required("tenant", request.tenant))
    return pb.ListSubjectsResponse(subjects=[_subject(each) for each in listed])


def _remove_subject(store: Administration, request: pb.RemoveSubjectRequest) -> pb.RemoveSubjectResponse:
    store.remove_subject(required("issuer", request.issuer), required("subject", request.subject))
    return pb.RemoveSubjectResponse()


TENANTS: Mapping[str, Method] = {
    "CreateTenant": Method(_create, ("id",)),
    "GetTenant": Method(_get, ("id",)),
    "ListTenants": Method(_list),
    "UpdateTenant": Method(_update, ("id",)),
    "RevokeTenant": Method(_revoke, ("id",)),
    "RestoreTenant": Method(_restore, ("id",)),
    "ResealTenant": Method(_reseal, ("id",)),
    "SetProviderKey": Method(_set_provider_key, ("tenant", "provider", "name")),
    "ListProviderKeys": Method(_list_provider_keys, ("tenant",)),
    "RemoveProviderKey": Method(_remove_provider_key, ("tenant", "provider", "name")),
    "SetProject": Method(_set_project, ("tenant", "project.name")),
    "ListProjects": Method(_list_projects, ("tenant",)),
    "RemoveProject": Method(_remove_project, ("tenant", "name")),
    "SetSubject": Method(_set_subject, ("subject.tenant", "subject.issuer", "subject.subject")),
    "ListSubjects": Method(_list_subjects, ("tenant",)),
    "RemoveSubject": Method(_remove_subject, ("issuer", "subject")),
}


def _wish(tenant_id: str, settings: pb.TenantSettings) -> TenantWish:
    calls = settings.max_calls if settings.HasField("max_calls") else None
    if calls is not None and calls < 1:
        raise InvalidRequest(
            "'settings.max_calls' must be 1 or more; leave it out for no limit", param="settings.max_calls"
        )
    return TenantWish(
        id=required("id", tenant_id),
        name=settings.display_name,
        grants=decode_grants(settings.grants) if settings.HasField("grants") else Grants(),
        calls=calls,
    )


def _tenant(tenant: Tenant) -> pb.Tenant:
    settings = pb.TenantSettings(display_name=tenant.name, grants=encode_grants(tenant.grants), max_calls=tenant.calls)
    return pb.Tenant(
        id=tenant.id,
        settings=settings,
        provider_keys=_provider_keys(tenant),
        projects=_projects(tenant),
        create_time=encode_time(tenant.created_at),
        revoke_time=encode_time(tenant.revoked_at),
    )


def _provider_keys(tenant: Tenant) -> list[pb.ProviderKey]:
    return [_provider_key(key) for _, keys in sorted(tenant.provider_keys.items()) for key in keys]


def _provider_key(key: ProviderKey) -> pb.ProviderKey:
    """Write which credential it is; never the credential."""
    return pb.ProviderKey(provider=key.provider, name=key.name)


def _projects(tenant: Tenant) -> list[pb.Project]:
    return [_project(project) for _, project in sorted(tenant.projects.items())]


def _project(project: Project) -> pb.Project:
    return pb.Project(name=project.name, record_bodies=project.record_bodies)


def _subject(subject: Subject) -> pb.Subject:
    return pb.Subject(issuer=subject.issuer, subject=subject.subject, tenant=subject.tenant)
