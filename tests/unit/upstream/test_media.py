"""Fetching what callers name by URL, against servers and names that mean harm."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.abc import ResolveResult
from isthmusd.core.errors import InvalidRequest
from isthmusd.upstream.lookup import OwnResolver
from isthmusd.upstream.media import MediaClient, PublicSockets
from isthmusd.upstream.options import MediaOptions

from tests.fakes.answers import CUT, STALL, Answer, raw, whole
from tests.fakes.provider import FakeProvider

LIMIT = 100_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
LOOPBACK = (ip_network("127.0.0.1/32"),)
NOT_PUBLIC = "is not at a public address"


class Names:
    """Answers by table; a name with several answers gives the next one each time."""

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self._table = {name: list(answers) for name, answers in table.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._table.get(host)
        if answers is None:
            raise OSError("no such name at 10.9.9.9")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in addresses.split()
        ]

    async def close(self) -> None:
        self.asked.append("closed")


@pytest.fixture
async def server() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


def client_for(server: FakeProvider, names: Names | None = None, **options: Any) -> MediaClient:
    given = {"allow_private": LOOPBACK, "ports": frozenset({80, server.port})} | options
    return MediaClient(MediaOptions(**given), names)


def url_of(server: FakeProvider, host: str = "127.0.0.1", path: str = "/a.png") -> str:
    return f"http://{host}:{server.port}{path}"


async def refused(client: MediaClient, url: str, limit: int = LIMIT) -> str:
    async with client:
        with pytest.raises(InvalidRequest) as refusal:
            await client.fetch(url, limit)
    assert "127.0.0" not in refusal.value.message
    assert "10." not in refusal.value.message
    return refusal.value.message


def image(content: bytes = PNG, **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(headers=(("content-type", "image/png"), *named), pieces=(content,))


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(status=status, headers=(("location", location),))


async def test_what_is_there_comes_with_its_type_and_nothing_of_ours_is_sent(server: FakeProvider) -> None:
    server.reply_with(image(set_cookie="a=b"), image())

    async with client_for(server) as client:
        fetched = await client.fetch(url_of(server, path="/a%20b.png?x=%2F"), LIMIT)
        await client.fetch(url_of(server), LIMIT)

    assert (fetched.content, fetched.content_type) == (PNG, "image/png")
    assert server.requests[0].path == "/a%20b.png?x=%2F"
    assert {name.lower() for received in server.requests for name, _ in received.headers} == {
        "host", "user-agent", "accept", "accept-encoding", "connection",
    }  # fmt: skip
    assert server.connection_count == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2", "10.0.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "0.0.0.0", "255.255.255.255",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:2]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]",
        "[fd00:ec2::254]",
    ],
)  # fmt: skip
async def test_addresses_that_are_not_public_are_not_dialled(server: FakeProvider, host: str) -> None:
    assert await refused(client_for(server), f"http://{host}/latest/meta-data") == NOT_PUBLIC
    assert server.connection_count == 0


@pytest.mark.parametrize("host", ["2130706434", "127.2", "0x7f000002", "0177.0.0.2", "127.0.0.2."])
async def test_other_spellings_of_an_address_are_not_dialled_either(server: FakeProvider, host: str) -> None:
    message = await refused(client_for(server, Names({host: ["127.0.0.2"]})), f"http://{host}/")

    assert message in {NOT_PUBLIC, "cannot be reached at its URL", "has no valid http or https URL"}
    assert server.connection_count == 0


@pytest.mark.parametrize("addresses", ["10.0.0.1", "169.254.169.254", "127.0.0.1 10.0.0.1", "::1", "::ffff:8.8.8.8"])
async def test_a_name_of_a_private_address_is_not_dialled(server: FakeProvider, addresses: str) -> None:
    names = Names({"innocent.example": [addresses]})

    assert await refused(client_for(server, names), url_of(server, "innocent.example")) == NOT_PUBLIC
    assert server.connection_count == 0


async def test_a_name_is_looked_up_once_and_what_was_checked_is_dialled(server: FakeProvider) -> None:
    names = Names({"rebound.example": ["127.0.0.1", "127.0.0.2"]})
    server.reply_with(image(), image())

    async with client_for(server, names) as client:
        assert (await client.fetch(url_of(server, "rebound.example"), LIMIT)).content == PNG
        assert names.asked == ["rebound.example"]
        with pytest.raises(InvalidRequest, match=NOT_PUBLIC):
            await client.fetch(url_of(server, "rebound.example"), LIMIT)

    assert server.connection_count == 1
    assert names.asked[-1] == "closed"


async def test_a_name_that_changes_its_mind_behind_a_redirect_gains_nothing(server: FakeProvider) -> None:
    names = Names({"rebound.example": ["127.0.0.1", "127.0.0.2"]})
    server.reply_with(redirect("/again"))

    assert await refused(client_for(server, names), url_of(server, "rebound.example")) == NOT_PUBLIC
    assert server.connection_count == 1


def test_no_socket_is_opened_for_another_address_however_it_came_here() -> None:
    sockets = PublicSockets(LOOPBACK)

    with pytest.raises(OSError, match="not a public address"):
        sockets.open((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.2", 80)))
    sockets.open((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))).close()


async def test_redirects_are_followed_within_what_is_allowed(server: FakeProvider) -> None:
    server.reply_with(redirect("/b?c=1#d", 301), redirect(url_of(server, path="/e"), 307), redirect("f", 308), image())

    async with client_for(server) as client:
        assert (await client.fetch(url_of(server, path="/x/y"), LIMIT)).content == PNG

    assert [received.path for received in server.requests] == ["/x/y", "/b?c=1", "/e", "/f"]
    assert all(received.header("referer") is None for received in server.requests)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.2/", NOT_PUBLIC),
        ("http://169.254.169.254/latest/meta-data/", NOT_PUBLIC),
        ("//10.0.0.1/", NOT_PUBLIC),
        ("http://inside.example/", NOT_PUBLIC),
        ("file:///etc/passwd", "has no valid http or https URL"),
        ("gopher://127.0.0.1/", "has no valid http or https URL"),
        ("http://user:pw@example.com/", "has a URL with a user name or password, which is not sent"),
        ("http://127.0.0.1:22/", "is at a port that is not allowed"),
        ("http://[bad/", "has no valid http or https URL"),
        ("", "is behind a redirect that leads nowhere"),
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(server: FakeProvider, location: str, reason: str) -> None:
    server.reply_with(redirect(location))
    names = Names({"inside.example": ["192.168.0.1"]})

    assert await refused(client_for(server, names), url_of(server)) == reason
    assert server.connection_count == 1


async def test_a_loop_of_redirects_ends(server: FakeProvider) -> None:
    server.reply_always(redirect("/again"))

    assert await refused(client_for(server), url_of(server)) == "is behind more than 3 redirects"
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a", "has no valid http or https URL"),
        ("http:///a", "has no valid http or https URL"),
        ("https://[]@", "has no valid http or https URL"),
        ("http://example.com:99999/", "has no valid http or https URL"),
        ("https://user@example.com/", "has a URL with a user name or password, which is not sent"),
        ("https://example.com:8443/", "is at a port that is not allowed"),
        ("http://nowhere.example/", "cannot be reached at its URL"),
    ],
)
async def test_urls_that_cannot_be_fetched(server: FakeProvider, url: str, reason: str) -> None:
    assert await refused(client_for(server, Names({})), url) == reason


@pytest.mark.parametrize(
    "answer",
    [
        image(bytes(LIMIT + 1)),
        Answer(headers=(("content-type", "image/png"),), pieces=(bytes(50_000),) * 1000, framing="chunked"),
        Answer(headers=(("content-type", "image/png"),), pieces=(bytes(50_000),) * 1000, framing="close", closes=True),
        image(gzip.compress(bytes(50_000_000)), content_encoding="gzip"),
        image(zlib.compress(bytes(50_000_000)), content_encoding="deflate"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\nx", STALL),
    ],
    ids=["length", "chunked", "endless", "gzip bomb", "deflate bomb", "announced"],
)
async def test_more_than_the_limit_is_not_read(server: FakeProvider, answer: Answer) -> None:
    server.reply_with(answer)
    began = time.monotonic()

    assert await refused(client_for(server), url_of(server)) == f"is larger than {LIMIT} bytes"
    assert time.monotonic() - began < 5.0


async def test_exactly_the_limit_is_read_compressed_or_not(server: FakeProvider) -> None:
    content = bytes(range(250)) * 400
    server.reply_with(image(content), image(gzip.compress(content), content_encoding="gzip"))

    async with client_for(server) as client:
        assert (await client.fetch(url_of(server), LIMIT)).content == content
        assert (await client.fetch(url_of(server), LIMIT)).content == content


@pytest.mark.parametrize(
    "answer",
    [
        Answer(delay_s=30.0, pieces=(b"late",)),
        Answer(pieces=(b"a", STALL), framing="chunked"),
        Answer(pieces=(b"a", 0.1) * 100, framing="chunked"),
    ],
    ids=["no head", "no end", "drop by drop"],
)
async def test_a_slow_server_is_given_up(server: FakeProvider, answer: Answer) -> None:
    server.reply_with(answer)
    began = time.monotonic()

    assert await refused(client_for(server, timeout_s=0.4), url_of(server)) == "did not arrive within 0.4 s"
    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (whole({"error": "no"}, 404), "cannot be fetched: its server answered HTTP 404"),
        (Answer(status=206, pieces=(b"part",)), "cannot be fetched: its server answered HTTP 206"),
        (image(PNG, content_encoding="br"), "comes in a content coding that was not asked for"),
        (image(PNG, content_encoding="gzip"), "comes in a broken content coding"),
        (image(gzip.compress(PNG)[:-9], content_encoding="gzip"), "comes in a broken content coding"),
        (raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "cannot be reached at its URL"),
        (Answer(pieces=(b"abc", 0.05, CUT), framing="chunked"), "cannot be reached at its URL"),
    ],
)
async def test_odd_answers_are_refused(server: FakeProvider, answer: Answer, reason: str) -> None:
    server.reply_with(answer)

    assert await refused(client_for(server), url_of(server)) == reason


async def test_a_closed_port_says_nothing_of_addresses(server: FakeProvider) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = client_for(server, ports=frozenset({port}))

    assert await refused(client, f"http://127.0.0.1:{port}/") == "cannot be reached at its URL"


async def test_nothing_is_fetched_before_the_start_or_after_the_end(server: FakeProvider) -> None:
    with pytest.raises(InvalidRequest, match="shutting down"):
        await client_for(server).fetch(url_of(server), LIMIT)


async def test_names_are_looked_up_in_threads_of_their_own(server: FakeProvider) -> None:
    server.reply_with(image())

    async with client_for(server, allow_private=(ip_network("127.0.0.0/8"), ip_network("::1/128"))) as client:
        assert (await client.fetch(url_of(server, "localhost"), LIMIT)).content == PNG

    resolver = OwnResolver()
    found = await resolver.resolve("localhost", 80)
    await resolver.close()
    assert {address["host"] for address in found} == {"127.0.0.1"}
