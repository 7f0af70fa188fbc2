"""The operators' door: who has no key of theirs stays outside whatever he brings, and who only holds the door open
holds nobody up."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from isthmusd.core.tenants import Role
from isthmusd.core.tokens import KEY_PREFIX, KEY_TYPE, mint

from tests.fakes.token_attacks import OTHER_GATEWAY
from tests.system.attacks import frames
from tests.system.attacks.site import HTTP, NATIVE, Site, Told, bearer, over_grpc, over_http, told
from tests.system.wire import JSON_TYPE, ask

pytestmark = pytest.mark.edge
LIST = "/isthmus.v1.AdminService/ListTenants"


def listed(site: Site, token: str) -> Told:
    with grpc.insecure_channel(site.admin_target) as channel:
        return told(channel, LIST, b"", bearer(token))


def test_r3_only_an_administrators_living_key_opens(site: Site, attacked_channel: grpc.Channel) -> None:
    own = site.forger().own
    issued = told(attacked_channel, *NATIVE["credentials"], bearer(site.acme)).first
    credential = next(part for part in issued.split(b"\n") if b"eyJ" in part)[2:].split(b"\x12")[0].decode()
    strangers = {
        "a provider's key": "x",
        "a caller": site.acme,
        "a temporary credential": credential,
        "an identity": site.identity(),
        "an identity that says it is one": site.identity(role="admin", roles=["admin"], scope="admin", tenant="ops"),
        "of another gateway": KEY_PREFIX + mint(OTHER_GATEWAY.signer, KEY_TYPE, {**own, "tenant": "ops"}),
        "ours, of a name that nobody has": KEY_PREFIX + mint(site.office.keyring.signer, KEY_TYPE, {**own, "jti": "x"}),
        "ours, another tenant's": KEY_PREFIX + mint(site.office.keyring.signer, KEY_TYPE, {**own, "tenant": "ops"}),
        "revoked": site.dismissed,
    }

    codes = {name: listed(site, token).code.name for name, token in strangers.items()}

    known = [name for name in codes if name.startswith(("a ", "an "))]
    assert {codes.pop(name) for name in known} == {"PERMISSION_DENIED"}
    assert {*codes.values()} == {"UNAUTHENTICATED"}
    assert listed(site, site.admin).code is grpc.StatusCode.OK


@pytest.mark.parametrize("surface", HTTP)
async def test_r3_an_administrators_key_calls_no_model(site: Site, surface: str) -> None:
    start = site.count

    answer = await over_http(site.url, surface, bearer(site.admin))

    assert answer.status == 403
    assert site.count == start


@pytest.mark.parametrize("surface", NATIVE)
def test_r3_neither_door_serves_what_is_behind_the_other(
    site: Site, attacked_channel: grpc.Channel, surface: str
) -> None:
    start = site.count
    with grpc.insecure_channel(site.admin_target) as channel:
        codes = {over_grpc(channel, surface, bearer(token)).code for token in (site.acme, site.admin)}

    assert codes == {grpc.StatusCode.UNIMPLEMENTED}
    assert over_grpc(attacked_channel, surface, bearer(site.admin)).code is grpc.StatusCode.PERMISSION_DENIED
    assert site.count == start


async def test_r3_the_operators_http_has_no_model_routes(site: Site) -> None:
    start = site.count

    answers = [
        await ask(f"http://{site.admin_target}", path, body, method=method, headers=(*JSON_TYPE, *bearer(site.acme)))
        for method, path, body in HTTP.values()
    ]

    assert {answer.status for answer in answers} <= {404, 405}
    assert site.count == start


async def test_r23_who_says_nothing_or_half_holds_nobody_up(site: Site) -> None:
    host, port = site.admin_target.split(":")
    beginnings = (b"", b"P", b"PRI * HTTP/2", frames.PREFACE[:-3], b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ")
    held: list[asyncio.StreamWriter] = []
    try:
        for beginning in beginnings * 20:
            _, writer = await asyncio.open_connection(host, port)
            writer.write(beginning)
            held.append(writer)
        began = time.monotonic()
        health = await ask(f"http://{site.admin_target}", "/healthz", method="GET", headers=())
        opened = await asyncio.to_thread(listed, site, site.admin)
        took_s = time.monotonic() - began
    finally:
        for writer in held:
            writer.transport.abort()

    assert (health.status, opened.code) == (200, grpc.StatusCode.OK)
    assert took_s < 5


BROKEN = {
    "a frame of 16 MiB": frames.PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 2**20,
    "data before headers": frames.PREFACE + frames.frame(4, 0, 0, b"") + frames.frame(0, 1, 1, b"x"),
    "endless continuation": frames.PREFACE
    + frames.frame(4, 0, 0, b"")
    + frames.frame(1, 0, 1, frames.block([(":method", "POST")]))
    + frames.frame(9, 0, 1, frames.block([("x-a", "b" * 1000)])) * 2000,
    "settings that are none": frames.PREFACE + frames.frame(4, 0, 0, b"\xff" * 5),
    "garbage": frames.PREFACE + b"\xa5" * 2**16,
    "resets": frames.PREFACE
    + frames.frame(4, 0, 0, b"")
    + b"".join(
        frames.frame(1, 5, stream, frames.block([(":method", "POST"), (":path", LIST), (":scheme", "http")]))
        + frames.frame(3, 0, stream, b"\0\0\0\x08")
        for stream in range(1, 4000, 2)
    ),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("door", ["admin", "public"])
async def test_r23_broken_frames_end_their_own_connection_only(site: Site, content: bytes, door: str) -> None:
    url = f"http://{site.admin_target}" if door == "admin" else site.url
    workers = [pid for pid, line in site.pair.gateway.children().items() if "isthmusd.worker" in line]

    try:
        heard = await frames.say(url, content, limit_s=1)
    except (TimeoutError, ConnectionError):
        heard = frames.Heard(status=None, gone=True)

    assert heard.status is None or heard.status >= 200
    assert (await asyncio.to_thread(listed, site, site.admin)).code is grpc.StatusCode.OK
    assert (await over_http(site.url, "models", bearer(site.acme))).status == 200
    assert [pid for pid, line in site.pair.gateway.children().items() if "isthmusd.worker" in line] == workers


def test_r28_an_administrators_key_ends_at_once(site: Site) -> None:
    key = site.office.key("ops", role=Role.ADMIN)
    limit = time.monotonic() + 5
    while listed(site, key.token).code is not grpc.StatusCode.OK:
        assert time.monotonic() < limit
    site.office.desk.revoke_key(key.key.id)
    revoked = time.monotonic()
    while listed(site, key.token).code is not grpc.StatusCode.UNAUTHENTICATED:
        assert time.monotonic() < revoked + 2
