"""Anonymous access is for the user's own programs: web pages and foreign host names are turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.system.pair import OUR_KEY, Pair, running_pair
from tests.system.wire import JSON_TYPE, Headers, ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def with_cors() -> Iterator[Pair]:
    with running_pair(cors={"origins": [PAGE]}) as running:
        yield running


@pytest.fixture(scope="module")
def closed() -> Iterator[Pair]:
    """Anonymous calls are refused; callers bring a provider's key."""
    with running_pair(auth={"anonymous": False}) as running:
        yield running


@pytest.mark.parametrize("path", [CHAT, "/v1/files", "/v1/embeddings", "/v1/proxy/anything"])
async def test_page_of_another_origin_is_turned_away(pair: Pair, path: str) -> None:
    start = len(pair.provider.requests)

    answer = await ask(pair.url, path, chat(), headers=(*JSON_TYPE, ("origin", "https://evil.example")))

    assert answer.status == 403
    assert answer.error["type"] == "permission_error"
    assert len(pair.provider.requests) == start


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"]
)
async def test_foreign_host_is_turned_away(pair: Pair, host: str) -> None:
    start = len(pair.provider.requests)

    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("host", host)))

    assert answer.status == 403
    assert answer.error["type"] == "permission_error"
    assert len(pair.provider.requests) == start


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"])
async def test_loopback_host_is_served(pair: Pair, host: str) -> None:
    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("host", host)))

    assert answer.status == 200


async def test_typed_call_of_a_page_is_turned_away(pair: Pair) -> None:
    start = len(pair.provider.requests)
    headers: Headers = (("content-type", "application/grpc-web+proto"), ("origin", "https://evil.example"))

    answer = await ask(pair.url, "/isthmus.v1.ChatService/CreateChatCompletion", b"\0\0\0\0\0", headers=headers)

    assert answer.status == 403 or answer.headers.get("grpc-status") == "7" or b"grpc-status:7" in answer.body, answer
    assert len(pair.provider.requests) == start


async def test_listed_page_may_call_and_read_our_headers(with_cors: Pair) -> None:
    preflight_headers: Headers = (
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,authorization"),
    )
    page: Headers = (*JSON_TYPE, ("origin", PAGE))

    preflight = await ask(with_cors.url, CHAT, method="OPTIONS", headers=preflight_headers)
    answer = await ask(with_cors.url, CHAT, chat(), headers=page)
    failure = await ask(with_cors.url, CHAT, b"{", headers=page)
    stranger = await ask(with_cors.url, CHAT, chat(), headers=(*JSON_TYPE, ("origin", "https://evil.example")))

    assert preflight.status in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert (answer.status, failure.status, stranger.status) == (200, 400, 403)
    for shown in (answer, failure):
        assert shown.headers["access-control-allow-origin"] == PAGE
        exposed = shown.headers["access-control-expose-headers"].lower()
        assert all(name in exposed for name in ("x-request-id", "retry-after"))
    assert "access-control-allow-origin" not in stranger.headers


async def test_closed_gateway_wants_a_credential(closed: Pair) -> None:
    nobody = await ask(closed.url, CHAT, chat())
    somebody = await ask(closed.url, CHAT, chat(), headers=(*JSON_TYPE, ("authorization", "Bearer sk-callers-own")))

    assert (nobody.status, nobody.error["code"]) == (401, "invalid_api_key")
    assert somebody.status == 200
    assert closed.provider.last.header("authorization") == "Bearer sk-callers-own"


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
async def test_other_headers_carry_keys_too(closed: Pair, name: str) -> None:
    answer = await ask(closed.url, CHAT, chat(), headers=(*JSON_TYPE, (name, "sk-callers-own")))

    assert answer.status == 200
    assert closed.provider.last.header("authorization") == "Bearer sk-callers-own"


@pytest.mark.parametrize("token", ["isk_abc", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.x", "sk-ant-api03-x"])
async def test_token_that_is_no_key_of_this_provider_never_reaches_it(closed: Pair, token: str) -> None:
    start = len(closed.provider.requests)

    answer = await ask(closed.url, CHAT, chat(), headers=(*JSON_TYPE, ("authorization", f"Bearer {token}")))

    assert answer.status == 401
    assert answer.error["type"] == "authentication_error"
    assert token not in answer.body.decode()
    assert len(closed.provider.requests) == start


async def test_gateways_key_is_never_shown(pair: Pair) -> None:
    answers = await asyncio.gather(
        *(ask(pair.url, CHAT, chat(model)) for model in ("ok", "e401", "e500", "html", "badjson"))
    )

    assert not [answer for answer in answers if OUR_KEY in answer.body.decode() + repr(answer.headers)]
