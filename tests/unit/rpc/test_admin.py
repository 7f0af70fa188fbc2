"""AdminService: who may call it, what each call leaves behind, how it fails. What it does is
`test_admin_methods.py`'s."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from isthmus.v1 import admin_pb2 as pb
from isthmusd.core.errors import AlreadyExists, NotFound, Unavailable
from isthmusd.core.record import EndReason
from isthmusd.core.tenants import Tenant
from isthmusd.rpc.admin import METHODS, SERVICE

from tests.system.callers import Office
from tests.unit.rpc.administering import ADMIN, CALLER, administering
from tests.unit.rpc.serving import refusal_of, serving

PREFIX = "/isthmus.v1.AdminService/"
SECRETS = frozenset({"secret", "token", "key"})
"""Names of fields that hold one."""


class Desk:
    """A store of one method, which does what a test says."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.done_count = 0

    def tenants(self, *, after: str | None, limit: int) -> Sequence[Tenant]:
        if self.error is not None:
            raise self.error
        self.entered.set()
        assert self.go_on.wait(10)
        self.done_count += 1
        return ()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with Office(tmp_path / "data") as opened:
        yield opened


def test_every_method_of_the_contract_is_there() -> None:
    assert set(METHODS) == {method.name for method in SERVICE.methods}


def test_no_field_that_may_hold_a_secret_is_shown_in_the_audit_trail() -> None:
    named = {path for method in METHODS.values() for path in (*method.names, method.made or "id")}

    assert {path.rpartition(".")[2] for path in named} & SECRETS == set()


def test_no_answer_but_that_of_a_new_key_has_a_field_for_a_secret() -> None:
    def texts(message: Any) -> set[str]:
        inner = [field.message_type for field in message.fields if field.message_type is not None]
        mine = {field.name for field in message.fields if field.type == FieldDescriptor.TYPE_STRING}
        return mine.union(*(texts(each) for each in inner))

    telling = {method.name for method in SERVICE.methods if texts(method.output_type) & {"secret", "token"}}

    assert telling == {"CreateKey", "RotateKey"}


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_r3_every_method_refuses_all_but_administrators(tmp_path: Path, method: str) -> None:
    async with administering(tmp_path, Desk()) as admin:
        call = admin.channel.unary_unary(PREFIX + method, request_serializer=None, response_deserializer=None)
        garbage = (("authorization", "Bearer isk_garbage"),)
        refusals = [await refusal_of(call(b"", metadata=metadata)) for metadata in ((), garbage, admin.as_(CALLER))]

    assert [refusal.code for refusal in refusals] == [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    ]
    assert [record.action for record in admin.journal.records] == [method] * 3
    assert [record.status for record in admin.journal.records] == [401, 401, 403]


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer sk-somebodys-own"),)])
async def test_anonymous_access_administers_nothing(tmp_path: Path, metadata: Any) -> None:
    async with administering(tmp_path, Desk(), anonymous=True) as admin:
        refusal = await refusal_of(admin.stub.ListTenants(pb.ListTenantsRequest(), metadata=metadata))

    assert refusal.code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


async def test_each_call_leaves_one_record_that_says_what_was_done_and_by_whom(tmp_path: Path, office: Office) -> None:
    async with administering(tmp_path, office.desk) as admin:
        await admin.call("CreateTenant", pb.CreateTenantRequest(id="acme"))
        made = await admin.call("CreateKey", pb.CreateKeyRequest(tenant="acme", display_name="build"))
        secret = pb.SetProviderKeyRequest(tenant="acme", provider="openai", name="main", secret="sk-canary-31415926")
        await admin.call("SetProviderKey", secret)

    records = admin.journal.records
    assert [record.action for record in records] == [
        "CreateTenant id=acme",
        f"CreateKey tenant=acme made={made.key.id}",
        "SetProviderKey tenant=acme provider=openai name=main",
    ]
    assert {(each.operation, each.tenant, each.key_id, each.end) for each in records} == {
        ("admin", "ops", ADMIN, EndReason.COMPLETE)
    }
    assert made.token not in repr(records)
    assert "canary" not in repr(records)


async def test_what_a_caller_named_cannot_pass_for_more_than_one_name(tmp_path: Path, office: Office) -> None:
    async with administering(tmp_path, office.desk) as admin:
        refusal = await refusal_of(admin.call("GetTenant", pb.GetTenantRequest(id="a made=b\n" + "x" * 500)))

    assert refusal.code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
    (record,) = admin.journal.records
    assert record.action is not None
    assert record.action.startswith(r"GetTenant id='a made=b\nxxx")
    assert len(record.action) < 200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AlreadyExists("taken"), grpc.StatusCode.ALREADY_EXISTS),
        (NotFound("none"), grpc.StatusCode.NOT_FOUND),
        (Unavailable("later"), grpc.StatusCode.UNAVAILABLE),
        (ZeroDivisionError("sk-inner"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_failures_have_their_status(tmp_path: Path, error: Exception, code: grpc.StatusCode) -> None:
    async with administering(tmp_path, Desk(error)) as admin:
        refusal = await refusal_of(admin.call("ListTenants", pb.ListTenantsRequest()))

    assert refusal.code is code
    assert "sk-inner" not in refusal.message
    assert [record.action for record in admin.journal.records] == ["ListTenants"]


async def test_bytes_that_are_no_message_are_the_callers_error_and_recorded(tmp_path: Path) -> None:
    async with administering(tmp_path, Desk()) as admin:
        refusal = await refusal_of(admin.raw(PREFIX + "CreateKey", b"\xff\xff"))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [record.status for record in admin.journal.records] == [400]


async def test_a_change_whose_caller_left_is_made_and_recorded_once_it_is(tmp_path: Path) -> None:
    desk = Desk()
    async with administering(tmp_path, desk) as admin:
        call = admin.stub.ListTenants(pb.ListTenantsRequest(), metadata=admin.as_(ADMIN))
        await asyncio.wait_for(asyncio.to_thread(desk.entered.wait, 10), 10)
        call.cancel()
        await asyncio.sleep(0.1)
        before = list(admin.journal.records)
        desk.go_on.set()
        await admin.journal.holds(1)

    assert before == []
    assert desk.done_count == 1
    (record,) = admin.journal.records
    assert (record.action, record.end) == ("ListTenants (done)", EndReason.CANCELLED)


async def test_only_some_methods_run_at_once(tmp_path: Path) -> None:
    desk = Desk()
    async with administering(tmp_path, desk) as admin:
        running = [asyncio.ensure_future(admin.call("ListTenants", pb.ListTenantsRequest())) for _ in range(12)]
        await asyncio.wait_for(asyncio.to_thread(desk.entered.wait, 10), 10)
        # Its threads are not all taken: others' look-ups go on.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: True), 5)
        desk.go_on.set()
        await asyncio.gather(*running)

    assert desk.done_count == len(admin.journal.records) == 12


async def test_r22_the_admin_listener_reflects_its_own_services_only(tmp_path: Path) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    async with administering(tmp_path, Desk()) as admin:
        stub = reflection_pb2_grpc.ServerReflectionStub(admin.channel)
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
        health = await health_pb2_grpc.HealthStub(admin.channel).Check(
            health_pb2.HealthCheckRequest(service=SERVICE.full_name)
        )

    listed = {service.name for service in answers[0].list_services_response.service}
    assert listed == {SERVICE.full_name, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_r22_each_listener_describes_its_own_services_only(tmp_path: Path) -> None:
    async def described(channel: grpc.aio.Channel) -> list[bool]:
        requests = [
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
            for name in ("isthmus.v1.AdminService", "isthmus.v1.ChatService", "grpc.health.v1.Health")
        ]
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers = stub.ServerReflectionInfo(iter(requests))
        return [answer.HasField("file_descriptor_response") async for answer in answers]

    async with administering(tmp_path, Desk()) as admin, serving() as public:
        found = {"admin": await described(admin.channel), "public": await described(public.channel)}

    assert found == {"admin": [True, False, True], "public": [False, True, True]}


async def test_r3_what_callers_use_is_not_on_the_admin_listener(tmp_path: Path) -> None:
    async with administering(tmp_path, Desk()) as admin:
        refusal = await refusal_of(admin.raw("/isthmus.v1.ModelService/ListModels", b""))

    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED
