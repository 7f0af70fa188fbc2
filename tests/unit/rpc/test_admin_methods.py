"""What AdminService does with tenants, what they own, and keys: over a real store, each change read back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from isthmus.v1 import admin_pb2 as pb
from isthmusd.core.call import AuthMethod
from isthmusd.core.tenants import Issuer, TemporaryCredential
from isthmusd.stores.credentials import StoredCredentials
from isthmusd.stores.options import StoreOptions

from tests.system.callers import Office
from tests.unit.rpc.administering import Administered, administering
from tests.unit.rpc.serving import refusal_of


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Administered]:
    with Office(tmp_path / "data") as office:
        async with administering(tmp_path, office.desk) as serving:
            await serving.call("CreateTenant", pb.CreateTenantRequest(id="acme"))
            yield serving


NEWER: Any = 99
"""A value that only clients of a newer contract know."""
NOW = float(int(time.time()))
GRANTS = pb.Grants(models=pb.Names(names=["a", "b"]), projects=pb.Names(), forward=pb.FORWARD_GRANT_SHARED)


async def test_a_tenant_is_made_read_changed_revoked_and_restored(admin: Administered) -> None:
    settings = pb.TenantSettings(display_name="Globex Inc", grants=GRANTS, max_calls=7)
    made = (await admin.call("CreateTenant", pb.CreateTenantRequest(id="globex", settings=settings))).tenant
    read = (await admin.call("GetTenant", pb.GetTenantRequest(id="globex"))).tenant
    less = pb.TenantSettings(display_name="Globex")
    changed = (await admin.call("UpdateTenant", pb.UpdateTenantRequest(id="globex", settings=less))).tenant
    revoked = (await admin.call("RevokeTenant", pb.RevokeTenantRequest(id="globex"))).tenant
    restored = (await admin.call("RestoreTenant", pb.RestoreTenantRequest(id="globex"))).tenant

    assert made == read
    assert made.settings == settings
    assert abs(made.create_time.seconds - time.time()) < 60
    assert changed.settings.display_name == "Globex"
    assert not changed.settings.grants.HasField("models")
    assert changed.settings.grants.forward == pb.FORWARD_GRANT_OWN
    assert not changed.settings.HasField("max_calls")
    assert revoked.HasField("revoke_time")
    assert not restored.HasField("revoke_time")


async def test_an_update_without_settings_does_not_lift_all_restrictions(admin: Administered) -> None:
    refusal = await refusal_of(admin.call("UpdateTenant", pb.UpdateTenantRequest(id="acme")))

    assert (refusal.code, refusal.info.metadata["param"]) == (grpc.StatusCode.INVALID_ARGUMENT, "settings")


async def test_tenants_come_in_pages_by_id(admin: Administered) -> None:
    for name in ("b", "c", "d"):
        await admin.call("CreateTenant", pb.CreateTenantRequest(id=name))

    pages, token = list[list[str]](), ""
    while not pages or token:
        page = await admin.call("ListTenants", pb.ListTenantsRequest(page_size=2, page_token=token))
        pages.append([tenant.id for tenant in page.tenants])
        token = page.next_page_token

    assert [name for page in pages for name in page] == ["acme", "b", "c", "d"]
    assert max(map(len, pages)) == 2


async def test_a_tenants_provider_keys_are_set_listed_without_secrets_and_removed(admin: Administered) -> None:
    for name in (None, "spare"):
        await admin.call(
            "SetProviderKey", pb.SetProviderKeyRequest(tenant="acme", provider="openai", name=name, secret="sk-canary")
        )
    resealed = await admin.call("ResealTenant", pb.ResealTenantRequest(id="acme"))
    listed = await admin.call("ListProviderKeys", pb.ListProviderKeysRequest(tenant="acme"))
    await admin.call("RemoveProviderKey", pb.RemoveProviderKeyRequest(tenant="acme", provider="openai"))
    left = (await admin.call("GetTenant", pb.GetTenantRequest(id="acme"))).tenant

    assert resealed.provider_key_count == 0  # the newest secret has sealed them already
    assert {(key.provider, key.HasField("name") and key.name) for key in listed.provider_keys} == {
        ("openai", False),
        ("openai", "spare"),
    }
    assert b"canary" not in listed.SerializeToString()
    assert [key.name for key in left.provider_keys] == ["spare"]


async def test_a_tenants_projects_are_set_listed_and_removed(admin: Administered) -> None:
    for name, kept in (("web", True), ("app", False)):
        project = pb.Project(name=name, record_bodies=kept)
        await admin.call("SetProject", pb.SetProjectRequest(tenant="acme", project=project))
    listed = await admin.call("ListProjects", pb.ListProjectsRequest(tenant="acme"))
    await admin.call("RemoveProject", pb.RemoveProjectRequest(tenant="acme", name="web"))
    left = await admin.call("ListProjects", pb.ListProjectsRequest(tenant="acme"))

    assert [(project.name, project.record_bodies) for project in listed.projects] == [("app", False), ("web", True)]
    assert [project.name for project in left.projects] == ["app"]


async def test_subjects_are_put_to_a_tenant_listed_and_taken_away(admin: Administered) -> None:
    subject = pb.Subject(issuer="https://id.example", subject="ann", tenant="acme")
    answer = await admin.call("SetSubject", pb.SetSubjectRequest(subject=subject))
    listed = await admin.call("ListSubjects", pb.ListSubjectsRequest(tenant="acme"))
    await admin.call("RemoveSubject", pb.RemoveSubjectRequest(issuer=subject.issuer, subject=subject.subject))
    left = await admin.call("ListSubjects", pb.ListSubjectsRequest(tenant="acme"))

    assert answer.subject == subject
    assert list(listed.subjects) == [subject]
    assert list(left.subjects) == []


async def test_a_key_is_made_read_rotated_and_revoked(admin: Administered) -> None:
    ends = Timestamp(seconds=int(time.time()) + 3600, nanos=500_000_000)
    wish = pb.CreateKeyRequest(
        tenant="acme", display_name="build", role=pb.KEY_ROLE_ADMIN, grants=GRANTS, expire_time=ends
    )
    made = await admin.call("CreateKey", wish)
    read = (await admin.call("GetKey", pb.GetKeyRequest(id=made.key.id))).key
    rotated = await admin.call("RotateKey", pb.RotateKeyRequest(id=made.key.id, grace=Duration(seconds=60)))
    revoked = (await admin.call("RevokeKey", pb.RevokeKeyRequest(id=rotated.key.id))).key
    listed = await admin.call("ListKeys", pb.ListKeysRequest(tenant="acme"))
    nobodys = await admin.call("ListKeys", pb.ListKeysRequest(tenant="nobody"))

    assert made.token.startswith("isk_")
    assert made.key == read
    assert (read.display_name, read.role, read.grants) == ("build", pb.KEY_ROLE_ADMIN, GRANTS)
    assert read.expire_time.seconds in {ends.seconds, ends.seconds + 1}
    assert read.signing_key_id
    assert rotated.token not in {"", made.token}
    assert rotated.key.grants == GRANTS
    assert revoked.HasField("revoke_time")
    assert {key.id for key in listed.keys} == {made.key.id, rotated.key.id}
    assert not nobodys.keys


@pytest.mark.parametrize(
    ("method", "request_", "param"),
    [
        ("CreateTenant", pb.CreateTenantRequest(), "id"),
        ("CreateTenant", pb.CreateTenantRequest(id="x", settings=pb.TenantSettings(max_calls=0)), "settings.max_calls"),
        (
            "CreateTenant",
            pb.CreateTenantRequest(id="x", settings=pb.TenantSettings(grants=pb.Grants(forward=NEWER))),
            "grants.forward",
        ),
        ("GetTenant", pb.GetTenantRequest(), "id"),
        ("ListTenants", pb.ListTenantsRequest(page_size=-1), "page_size"),
        ("ListTenants", pb.ListTenantsRequest(page_token="\N{SNOWMAN}"), "page_token"),
        ("ListTenants", pb.ListTenantsRequest(page_token="AA"), "page_token"),
        ("GetTenant", pb.GetTenantRequest(id="a\0"), "id"),
        ("ListKeys", pb.ListKeysRequest(tenant="\0"), "tenant"),
        ("ListRecords", pb.ListRecordsRequest(project="\0"), "project"),
        ("ListRecords", pb.ListRecordsRequest(page_token="YWNtZQ"), "page_token"),
        ("ListRecords", pb.ListRecordsRequest(since=Timestamp(seconds=-1)), "since"),
        ("SetProviderKey", pb.SetProviderKeyRequest(tenant="acme", provider="openai"), "secret"),
        ("SetProviderKey", pb.SetProviderKeyRequest(tenant="acme", provider="openai", name="", secret="s"), "name"),
        ("SetProject", pb.SetProjectRequest(tenant="acme"), "project.name"),
        ("SetSubject", pb.SetSubjectRequest(subject=pb.Subject(issuer="i", subject="s")), "subject.tenant"),
        ("CreateKey", pb.CreateKeyRequest(tenant="acme", role=NEWER), "role"),
        ("CreateKey", pb.CreateKeyRequest(tenant="acme", expire_time=Timestamp(nanos=-1)), "expire_time"),
        ("RotateKey", pb.RotateKeyRequest(id="k"), "grace"),
        ("RotateKey", pb.RotateKeyRequest(id="k", grace=Duration(seconds=-5)), "grace"),
    ],
)
async def test_what_is_missing_or_wrong_is_named(admin: Administered, method: str, request_: Any, param: str) -> None:
    refusal = await refusal_of(admin.call(method, request_))

    assert (refusal.code, refusal.info.metadata["param"]) == (grpc.StatusCode.INVALID_ARGUMENT, param)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetTenant", pb.GetTenantRequest(id="nobody")),
        ("UpdateTenant", pb.UpdateTenantRequest(id="nobody", settings=pb.TenantSettings())),
        ("RevokeTenant", pb.RevokeTenantRequest(id="nobody")),
        ("ListProviderKeys", pb.ListProviderKeysRequest(tenant="nobody")),
        ("RemoveProviderKey", pb.RemoveProviderKeyRequest(tenant="acme", provider="openai")),
        ("RemoveProject", pb.RemoveProjectRequest(tenant="acme", name="none")),
        ("RemoveSubject", pb.RemoveSubjectRequest(issuer="i", subject="s")),
        ("CreateKey", pb.CreateKeyRequest(tenant="nobody")),
        ("GetKey", pb.GetKeyRequest(id="none")),
        ("RevokeKey", pb.RevokeKeyRequest(id="none")),
        ("GetIssuedCredential", pb.GetIssuedCredentialRequest(id="none")),
        ("RevokeIssuedCredential", pb.RevokeIssuedCredentialRequest(id="none")),
    ],
)
async def test_what_is_not_there_is_not_found(admin: Administered, method: str, request_: Any) -> None:
    refusal = await refusal_of(admin.call(method, request_))

    assert refusal.code is grpc.StatusCode.NOT_FOUND


async def test_a_tenant_is_made_once(admin: Administered) -> None:
    refusal = await refusal_of(admin.call("CreateTenant", pb.CreateTenantRequest(id="acme")))

    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS


async def test_temporary_credentials_of_all_tenants_are_listed_read_and_revoked(tmp_path: Path) -> None:
    with Office(tmp_path / "data") as office:
        async with administering(tmp_path, office.desk) as admin:
            await admin.call("CreateTenant", pb.CreateTenantRequest(id="acme"))
            kept = StoredCredentials(office.database, StoreOptions(url=office.url))
            for number in range(3):
                await kept.add(
                    TemporaryCredential(
                        id=f"c{number}",
                        tenant="acme",
                        issuer=Issuer(method=AuthMethod.GATEWAY_KEY, id="k1"),
                        model="fast",
                        created_at=NOW + number,
                        expires_at=NOW + 600,
                        custody=b"canary",
                    )
                )

            first = await admin.call("ListIssuedCredentials", pb.ListIssuedCredentialsRequest(page_size=2))
            rest = await admin.call(
                "ListIssuedCredentials", pb.ListIssuedCredentialsRequest(page_size=2, page_token=first.next_page_token)
            )
            others = await admin.call("ListIssuedCredentials", pb.ListIssuedCredentialsRequest(tenant="globex"))
            read = (await admin.call("GetIssuedCredential", pb.GetIssuedCredentialRequest(id="c1"))).credential
            revoked = await admin.call("RevokeIssuedCredential", pb.RevokeIssuedCredentialRequest(id="c1"))

    assert [[each.id for each in page.credentials] for page in (first, rest, others)] == [["c2", "c1"], ["c0"], []]
    assert (read.issuer_method, read.issuer_id, read.model, read.HasField("project")) == (
        "gateway_key",
        "k1",
        "fast",
        False,
    )
    assert not read.HasField("revoke_time")
    assert revoked.credential.HasField("revoke_time")
    assert b"canary" not in first.SerializeToString()
