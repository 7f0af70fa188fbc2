"""What Envoy says of the cache where the server says nothing, with the real Envoy and a stub server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import aiohttp
import pytest

from tests.edge.gateway import Gateway, running_stub

pytestmark = pytest.mark.edge

ORIGIN = "https://app.example"
CHAT = "/v1/chat/completions"
OPERATIONS = ("auto", "chat/completions", "completions", "embeddings", "moderations", "responses")
HEADERS = ("x-isthmus-cache", "x-bt-cached", "cache-control", "age")
STREAM = "stream 1 0"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_stub(cors_origins=[ORIGIN]) as gateway:
        yield gateway


async def said_of_the_cache(
    gateway: Gateway, path: str, *, method: str = "POST", stub: str = "tell", initial: str = "", status: int = 200
) -> Mapping[str, list[str]]:
    headers = {"x-stub": stub, "x-stub-initial": initial}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, gateway.url + path, headers=headers) as answer,
    ):
        await answer.read()
        assert answer.status == status
        return {name: answer.headers.getall(name) for name in HEADERS if name in answer.headers}


@pytest.mark.parametrize("prefix", ["/v1", "/v1/proxy"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_passes_the_cache_by_says_so(gateway: Gateway, prefix: str, operation: str) -> None:
    said = await said_of_the_cache(gateway, f"{prefix}/{operation}?a=b")

    assert said == {"x-isthmus-cache": ["BYPASS"], "x-bt-cached": ["MISS"]}


async def test_a_stream_is_not_to_be_changed_on_its_way(gateway: Gateway) -> None:
    said = await said_of_the_cache(gateway, CHAT, stub=STREAM)

    assert said == {"x-isthmus-cache": ["BYPASS"], "x-bt-cached": ["MISS"], "cache-control": ["no-transform"]}


@pytest.mark.parametrize("stub", ["tell", STREAM])
async def test_what_the_server_says_of_the_cache_stays(gateway: Gateway, stub: str) -> None:
    initial = "x-isthmus-cache=HIT x-bt-cached=HIT age=3 cache-control=max-age=60,no-transform"

    said = await said_of_the_cache(gateway, CHAT, stub=stub, initial=initial)

    assert said == {
        "x-isthmus-cache": ["HIT"],
        "x-bt-cached": ["HIT"],
        "age": ["3"],
        "cache-control": ["max-age=60,no-transform"],
    }


@pytest.mark.parametrize("stub", ["tell", STREAM])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", CHAT),
        ("POST", "/v1/files"),
        ("POST", "/v1/credentials"),
        ("POST", "/v1/images/generations"),
        ("POST", "/api/openai/v1/chat/completions"),
        ("GET", "/.well-known/jwks.json"),
    ],
)
async def test_what_is_never_cached_says_nothing_of_it(gateway: Gateway, method: str, path: str, stub: str) -> None:
    assert await said_of_the_cache(gateway, path, method=method, stub=stub) == {}


@pytest.mark.parametrize(("stub", "status"), [("status 429", 429), ("abort INTERNAL", 500)])
async def test_an_error_is_never_told_to_be_kept(gateway: Gateway, stub: str, status: int) -> None:
    said = await said_of_the_cache(gateway, CHAT, stub=stub, status=status)

    assert "cache-control" not in said
    assert said.get("x-isthmus-cache", ["BYPASS"]) == ["BYPASS"]


async def test_pages_of_an_allowed_origin_can_read_all_of_it(gateway: Gateway) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + CHAT, headers={"origin": ORIGIN}) as answer,
    ):
        exposed = answer.headers["access-control-expose-headers"]

    assert set(HEADERS) <= set(exposed.split(", "))
