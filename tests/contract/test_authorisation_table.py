"""The one table of access names everything that is served, and nothing else: what it forgets fails here before it fails
to start. What the rules do to callers is tested over a whole gateway."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import isthmus.v1
import pytest
import yaml
from aiohttp import web
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from isthmusd.core.authorisation import (
    ADMIN_ROUTES,
    EDGE_ROUTES,
    OPERATIONS,
    ROUTES,
    RPCS,
    Access,
    Listener,
    Undeclared,
    demand_route_rules,
    demand_rpc_rules,
)
from isthmusd.core.request import Operation
from isthmusd.edge.admin import application
from isthmusd.rpc.handlers import Declared

ENVOY = Path(__file__).parents[2] / "envoy.yaml"
CUSTOM = "custom"


def contract_files() -> Iterator[FileDescriptor]:
    for module in pkgutil.iter_modules(isthmus.v1.__path__):
        if module.name.endswith("_pb2"):
            yield importlib.import_module(f"isthmus.v1.{module.name}").DESCRIPTOR


def methods() -> Iterator[MethodDescriptor]:
    for file in (*contract_files(), health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            yield from service.methods


def name(method: MethodDescriptor) -> str:
    service: Any = method.containing_service
    return f"/{service.full_name}/{method.name}"


def bindings() -> Iterator[tuple[str, str]]:
    for method in methods():
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for each in (rule, *rule.additional_bindings):
            if each.WhichOneof("pattern") is not None:
                yield binding(each)


def binding(rule: http_pb2.HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    assert kind is not None
    return (rule.custom.kind, rule.custom.path) if kind == CUSTOM else (kind.upper(), getattr(rule, kind))


def envoy_connections() -> Any:
    listener = yaml.safe_load(ENVOY.read_text())["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def envoy_paths() -> Iterator[str]:
    """Every path that a route or a filter of Envoy's answers or leads on."""
    connections = envoy_connections()
    for host in connections["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            match = route["match"]
            (path,) = (match[kind] for kind in ("prefix", "path", "safe_regex") if kind in match)
            yield path if isinstance(path, str) else path["regex"]
    for each in connections["http_filters"]:
        for header in each["typed_config"].get("headers", ()):
            if header["name"] == ":path":
                yield header["string_match"]["safe_regex"]["regex"]


def admin_routes() -> Iterator[tuple[str, str]]:
    async def nothing(_: web.Request) -> web.Response:
        return web.Response()

    for route in application(nothing).router.routes():
        assert route.resource is not None
        yield route.method, route.resource.canonical


def test_r3_every_rpc_has_a_rule_and_every_rule_an_rpc() -> None:
    assert set(RPCS) == {name(method) for method in methods()}


def test_r3_every_operation_has_a_rule() -> None:
    assert set(OPERATIONS) == set(Operation)


def test_r3_every_http_binding_has_a_rule_and_every_rule_a_binding() -> None:
    assert set(ROUTES) == set(bindings())


def test_r3_every_route_of_envoy_has_a_rule_and_every_rule_a_route() -> None:
    assert set(EDGE_ROUTES) == set(envoy_paths())


def test_r3_every_route_of_the_admin_listener_has_a_rule_and_every_rule_a_route() -> None:
    heads = {(method, path) for method, path in admin_routes() if method == "HEAD"}

    assert set(ADMIN_ROUTES) == set(admin_routes()) - heads
    assert {("GET", path) for _, path in heads} <= set(ADMIN_ROUTES)


def test_r3_envoy_transcodes_only_the_service_that_is_made_for_it() -> None:
    services = [each["typed_config"].get("services") for each in envoy_connections()["http_filters"]]

    assert [each for each in services if each is not None] == [["isthmus.v1.OpenAIService"]]


def test_r3_no_rpc_of_administration_is_bound_to_http() -> None:
    bound = [name(method) for method in methods() if method.GetOptions().HasExtension(annotations_pb2.http)]

    assert bound
    assert {RPCS[each] for each in bound}.isdisjoint({Access.ADMIN, Access.NOWHERE})


@pytest.mark.parametrize(
    ("rpc", "listener"),
    [
        ("/isthmus.v1.AdminService/CreateKey", Listener.PUBLIC),
        ("/isthmus.v1.ChatService/CreateChatCompletion", Listener.ADMIN),
        ("/isthmus.v1.CredentialService/CreateCredential", Listener.ADMIN),
        ("/isthmus.v1.TokenVerifier/VerifyToken", Listener.PUBLIC),
        ("/isthmus.v1.TokenVerifier/VerifyToken", Listener.ADMIN),
        ("/isthmus.v1.ChatService/Forgotten", Listener.PUBLIC),
        ("/isthmus.v1.AdminService/Forgotten", Listener.ADMIN),
        ("/grpc.channelz.v1.Channelz/GetServers", Listener.ADMIN),
    ],
)
def test_r3_a_server_does_not_start_with_an_rpc_that_has_no_rule_there(rpc: str, listener: Listener) -> None:
    async def serve(request: bytes, context: object) -> bytes:
        return b""

    with pytest.raises(Undeclared, match=rpc.rpartition("/")[2]):
        Declared(listener, {rpc: grpc.unary_unary_rpc_method_handler(serve)})


def test_r3_health_and_reflection_may_be_on_every_listener_that_others_dial() -> None:
    shared = [rpc for rpc, access in RPCS.items() if rpc.startswith("/grpc.") and access is not Access.NOWHERE]

    for listener in (Listener.PUBLIC, Listener.ADMIN):
        demand_rpc_rules(shared, listener)

    assert len(shared) == 3


def test_r3_the_admin_listener_does_not_start_with_a_route_that_has_no_rule() -> None:
    with pytest.raises(Undeclared, match="GET /debug"):
        demand_route_rules([("GET", "/metrics"), ("GET", "/debug")])


def test_r3_what_administers_has_the_admin_rule() -> None:
    assert {access for rpc, access in RPCS.items() if rpc.startswith("/isthmus.v1.AdminService/")} == {Access.ADMIN}
