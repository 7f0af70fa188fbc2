"""Requests that two servers in a row could read differently, and headers that pretend to come from within: whatever is
sent, one request has one identity, one route and one target."""

from __future__ import annotations

import asyncio
import base64
import re
from urllib.parse import urlsplit

import grpc
import pytest

from tests.fakes.received import Received
from tests.system.attacks import frames
from tests.system.attacks.site import ACMES, NATIVE, Site, bearer, over_grpc, over_http, paid_with
from tests.system.wire import JSON_TYPE, ask, chat

pytestmark = pytest.mark.edge
CHAT, FILES = "/v1/chat/completions", "/v1/files"
SILENCE_S = 0.1
STATUS = re.compile(rb"HTTP/1.1 (\d{3})")


async def statuses(site: Site, content: bytes) -> list[int]:
    """Send bytes on a connection of their own, and give the statuses of all answers until it falls silent."""
    where = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    said = b""
    try:
        writer.write(content)
        while True:
            wait = SILENCE_S if said else 5.0
            piece = await asyncio.wait_for(reader.read(2**16), wait)
            if not piece:
                break
            said += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return [int(status) for status in STATUS.findall(said) if status != b"100"]


def written(site: Site, *lines: str, path: str = FILES, body: bytes = b"{}", method: str = "POST") -> bytes:
    """Write a request of acme's that says its length, followed by further lines."""
    head = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(site.url).netloc}", f"authorization: Bearer {site.acme}"]
    length = [] if any(re.match(r"(?i)content-length|transfer-encoding", line) for line in lines) else [len(body)]
    head += [*(f"content-length: {size}" for size in length), *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def hidden(token: str) -> bytes:
    """Give a body in which a second request hides behind the end of chunks."""
    return f"0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode()


def reached(site: Site, start: int) -> list[Received]:
    return site.provider.requests[start:]


AMBIGUOUS = (
    ("content-length: 400", "transfer-encoding: chunked"),
    ("transfer-encoding: chunked", "content-length: 400"),
    ("transfer-encoding : chunked",),
    ("transfer-encoding: xchunked",),
    ("transfer-encoding: chunked, identity",),
    ("transfer-encoding: chunked", "transfer-encoding: identity"),
    ("transfer-encoding: gzip, chunked",),
    ('transfer-encoding: "chunked"',),
    ("transfer-encoding:\x0bchunked",),
    ("content-length: 2", "content-length: 0"),
    ("content-length: +2",),
    ("content-length: 0x2",),
    ("content-length: 2, 2",),
    ("content-length: -2",),
    ("content-length: 99999999999999999999999",),
    ("authorization : Bearer x",),
    (" x-folded: first",),
    ("x-null: a\x00b",),
)


@pytest.mark.parametrize("lines", AMBIGUOUS, ids=lambda lines: repr(lines)[:60])
async def test_a_request_with_two_lengths_or_none_is_refused(site: Site, lines: tuple[str, ...]) -> None:
    start = site.count

    answers = await statuses(site, written(site, *lines, body=hidden(site.rival)))

    assert [status for status in answers if status not in {400, 501}] == []
    assert answers
    assert [one.path for one in reached(site, start) if one.path != FILES] == []


@pytest.mark.parametrize(
    "chunks", [b"2\n{}\n0\n\n", b"-2\r\n{}\r\n0\r\n\r\n", b"fffffffffffffffff\r\n{}", b'2;a="\r\n"\r\n{}\r\n0\r\n\r\n']
)
async def test_chunks_that_are_none_end_the_request(site: Site, chunks: bytes) -> None:
    assert await statuses(site, written(site, "transfer-encoding: chunked", body=chunks)) == [400]


@pytest.mark.parametrize(
    "lines",
    [
        ("x-folded: a\r\n transfer-encoding: chunked",),
        ("transfer_encoding: chunked",),
        ("x_api_key: isk_x", "content_length: 0", "x_isthmus_int_surface: grpc", "x_forwarded_for: 1.1.1.1"),
        ("x-http-method-override: DELETE", "x-http-method: PUT", "x-method-override: PATCH"),
        ("x-original-url: /v1/evil", "x-rewrite-url: /v1/evil", "x-original-uri: /evil", "x-forwarded-uri: /evil"),
        ("x-forwarded-host: evil.example", "forwarded: host=evil.example", "x-host: evil.example"),
        ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA"),
        ("connection: close, x-isthmus-int-authority, x-envoy-original-path, x-request-id, content-length",),
        ("proxy-connection: x-isthmus-int-surface", "keep-alive: timeout=1"),
        ("expect: 200-ok",),
        ("te: trailers, chunked", "trailer: authorization"),
    ],
    ids=lambda lines: lines[0][:40],
)
async def test_headers_of_hops_and_of_other_servers_change_nothing(site: Site, lines: tuple[str, ...]) -> None:
    start, body = len(site.provider.requests), b"0\r\n\r\n"

    assert await statuses(site, written(site, *lines, body=body)) == [200]

    (one,) = reached(site, start)
    assert (one.method, one.path, one.body, paid_with(one)) == ("POST", FILES, body, ACMES)
    assert one.header("host") == f"127.0.0.1:{site.provider.port}"
    named = {name.lower().replace("_", "-") for name, _ in one.headers}
    assert not [
        name for name in named if re.match(r"x-(http|method|orig|rewrite|forwarded|host|api|isthmus)|forw", name)
    ]


@pytest.mark.parametrize("named", ["authorization", "x-a, authorization", "Authorization,close"])
async def test_who_ties_his_key_to_the_hop_has_none(site: Site, named: str) -> None:
    start = site.count

    assert await statuses(site, written(site, f"connection: {named}")) == [401]
    assert site.count == start


@pytest.mark.parametrize("target", ["http://evil.example", "http://a:b@evil.example:1", "http://169.254.169.254"])
@pytest.mark.parametrize("path", [CHAT, FILES, "/api/openai/v1/files"])
async def test_r6_a_target_with_a_host_changes_no_host(site: Site, target: str, path: str) -> None:
    start = len(site.provider.requests)
    content = written(site, "content-type: application/json", path=target + path, body=chat())

    assert await statuses(site, content) == [200]

    (one,) = reached(site, start)
    assert one.header("host") == f"127.0.0.1:{site.provider.port}"
    assert b"evil" not in repr(one.headers).encode()


async def test_trailers_are_not_headers(site: Site) -> None:
    trailers = (
        f"authorization: Bearer {site.acme}\r\nx-isthmus-int-surface: grpc\r\nx-envoy-original-path: /v1/evil\r\n"
    )
    chunks = b"2\r\n{}\r\n0\r\n" + trailers.encode() + b"\r\n"
    start = len(site.provider.requests)

    with_key = await statuses(site, written(site, "transfer-encoding: chunked", body=chunks))
    without = written(site, "transfer-encoding: chunked", body=chunks).replace(b"authorization: Bearer", b"x-none:", 1)

    assert with_key == [200]
    assert await statuses(site, without) == [401]
    assert [one.path for one in reached(site, start)] == [FILES]


def pseudo(path: str = CHAT, method: str = "POST") -> list[tuple[str | bytes, str | bytes]]:
    return [(":method", method), (":path", path), (":scheme", "http"), (":authority", "127.0.0.1")]


async def over_frames(
    site: Site, *fields: tuple[str | bytes, str | bytes], path: str = CHAT, trailers: frames.Fields = ()
) -> frames.Heard:
    """Make a call of nobody's, unless the fields say whose."""
    content = frames.opening([*pseudo(path), *JSON_TYPE, *fields], chat(), trailers)
    return await frames.say(site.url, content)


async def test_frames_by_hand_are_understood(site: Site) -> None:
    good, nobody = await over_frames(site, *bearer(site.acme)), await over_frames(site)

    assert (good.status, nobody.status) == (200, 401)


REFUSED_BY_PROTOCOL = {
    "upper case": [("Authorization", "Bearer x")],
    "space in a name": [("authorization ", "Bearer x")],
    "colon in a name": [("authorization:", "Bearer x")],
    "line break in a name": [(b"x\r\na", "a")],
    "line break in a value": [("x-a", b"a\r\nauthorization: Bearer x")],
    "null in a value": [("x-a", b"a\0b")],
    "second path": [(":path", "/v1/models")],
    "unknown pseudo-header": [(":identity", "root")],
    "extended connect": [(":protocol", "websocket")],
    "transfer encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "authorization")],
    "two lengths": [("content-length", "58"), ("content-length", "5")],
    "negative length": [("content-length", "-1")],
}


async def test_what_http_2_forbids_is_refused(site: Site) -> None:
    start = site.count

    heard = await asyncio.gather(
        *(over_frames(site, *bearer(site.acme), *fields) for fields in REFUSED_BY_PROTOCOL.values())
    )

    answered = dict(zip(REFUSED_BY_PROTOCOL, heard, strict=True))
    assert {name: one for name, one in answered.items() if not (one.gone or one.reset or one.status == 400)} == {}
    assert site.count == start


async def test_an_identity_over_frames_is_one_or_none(site: Site) -> None:
    start = site.count
    mine, theirs = bearer(site.acme)[0], bearer(site.rival)[0]

    refused = [
        await over_frames(site, mine, theirs),
        await over_frames(site, mine, mine),
        await over_frames(site, ("x_api_key", site.acme), ("api_key", site.acme)),
        await over_frames(site, trailers=[mine]),
    ]

    assert [heard.status for heard in refused] == [401] * 4
    assert site.count == start


async def test_trailers_over_frames_change_nothing(site: Site) -> None:
    start = len(site.provider.requests)
    spoofed = [bearer(site.rival)[0], ("x-isthmus-int-surface", "grpc"), ("x-envoy-original-path", "/v1/evil")]

    heard = await over_frames(site, *bearer(site.acme), path=FILES, trailers=spoofed)

    (one,) = reached(site, start)
    assert (heard.status, one.path, paid_with(one)) == (200, FILES, ACMES)


SPOOFED = (
    ("x-envoy-original-path", "/v1/models"),
    ("x-envoy-original-method", "GET"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
    ("x-envoy-expected-rq-timeout-ms", "1"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-max-retries", "9"),
    ("x-envoy-decorator-operation", "evil"),
    ("x-envoy-force-trace", "1"),
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "127.0.0.1"),
    ("x-envoy-hedge-on-per-try-timeout", "true"),
    ("x-envoy-original-dst-host", "169.254.169.254:80"),
    ("x-isthmus-int-authority", "evil.example"),
    ("x-isthmus-int-request-id", "forged"),
    ("x-isthmus-int-length", "1"),
    ("x-isthmus-int-surface", "grpc"),
    ("x-isthmus-int-tenant", "rival"),
    ("x-http-code", "418"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-client-cert", "By=spiffe://root"),
    ("x-client-id", "rival"),
    ("client_id", "rival"),
    ("x-isthmus-tenant", "rival"),
)


@pytest.mark.parametrize("surface", ["chat", "stream", "forward", "tenant", "models"])
async def test_headers_that_pretend_to_come_from_within_change_nothing(site: Site, surface: str) -> None:
    start = len(site.provider.requests)

    with_key = await over_http(site.url, surface, (*bearer(site.acme), *SPOOFED))
    without = await over_http(site.url, surface, SPOOFED)

    assert (with_key.status, without.status) == (200, 401)
    assert with_key.headers["x-request-id"] != "forged"
    assert site.payers(start) == (set() if surface == "models" else {ACMES})
    assert not [one for one in reached(site, start) if "evil" in one.path + repr(one.headers)]


@pytest.mark.parametrize("surface", NATIVE)
def test_native_metadata_that_pretends_to_come_from_within_changes_nothing(
    site: Site, attacked_channel: grpc.Channel, surface: str
) -> None:
    start = len(site.provider.requests)

    with_key = over_grpc(attacked_channel, surface, (*bearer(site.acme), *SPOOFED))
    without = over_grpc(attacked_channel, surface, SPOOFED)

    assert (with_key.code, without.code) == (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED)
    assert site.payers(start) <= {ACMES}


FRAMED = b"\0" + len(NATIVE["models"][1]).to_bytes(4) + NATIVE["models"][1]


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("application/grpc-web+proto", FRAMED, ()),
        ("application/grpc-web-text", base64.b64encode(FRAMED), ()),
        ("application/proto", NATIVE["models"][1], (("connect-protocol-version", "1"),)),
    ],
)
async def test_browsers_protocols_that_pretend_change_nothing(
    site: Site, kind: str, body: bytes, more: tuple[tuple[str, str], ...]
) -> None:
    headers, start = (("content-type", kind), *more, *SPOOFED), site.count

    nobody = await ask(site.url, NATIVE["models"][0], body, headers=headers)
    somebody = await ask(site.url, NATIVE["models"][0], body, headers=(*headers, *bearer(site.acme)))

    assert nobody.status == 401 or nobody.headers["grpc-status"] == "16", nobody
    assert somebody.status == 200
    assert len(somebody.body) > 1000, "the models"
    assert site.count == start
