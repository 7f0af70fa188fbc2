"""What Envoy does to a call on the OpenAI surface, with the real Envoy and a stub server that tells what arrived."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import yarl

from tests.edge.gateway import Gateway, running_stub

pytestmark = pytest.mark.edge

ORIGIN = "https://app.example"
CHAT = "/v1/chat/completions"
Response = aiohttp.ClientResponse


@dataclass(frozen=True, slots=True)
class Http:
    """Sends paths byte for byte: aiohttp's own base URL would resolve dots and decode."""

    url: str
    session: aiohttp.ClientSession

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        return self.session.request(method, yarl.URL(self.url + path, encoded=True), **kwargs)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_stub(cors_origins=[ORIGIN], request_bytes=3_000_000) as gateway:
        yield gateway


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession() as session:
        yield Http(gateway.url, session)


async def told(http: Http, method: str, path: str, **kwargs) -> dict:
    async with http.request(method, path, **kwargs) as response:
        assert response.status == 200, await response.text()
        arrived = await response.json()
    arrived["headers"] = dict(arrived["metadata"])
    return arrived


async def error(http: Http, method: str, path: str, **kwargs) -> tuple[int, str, str, Response]:
    async with http.request(method, path, **kwargs) as response:
        body = await response.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["message"]
        assert response.content_type == "application/json"
        return response.status, body["error"]["type"], body["error"]["code"], response


async def test_headers_of_the_gateway_cannot_be_sent_by_a_client(http: Http, gateway: Gateway):
    spoofed = {
        "x-envoy-original-path": "/evil",
        "x-envoy-original-method": "PUT",
        "x-envoy-retry-on": "5xx",
        "x-http-code": "500",
        "x-isthmus-int-surface": "grpc",
        "x-isthmus-int-authority": "evil.example",
        "x-isthmus-int-anything": "1",
        "x-isthmus-int-length": "7",
        "grpc-timeout": "1m",
        "grpc-encoding": "bogus",
        "some-bin": "%%%",
        "cookie": "a=b",
        "x-kept": "yes",
    }

    arrived = await told(http, "GET", "/v1/models?a=b", headers=spoofed)

    headers = arrived["headers"]
    assert headers["x-envoy-original-path"] == "/v1/models?a=b"
    assert [value for key, value in arrived["metadata"] if key == "x-envoy-original-method"] == ["GET"]
    assert headers["x-isthmus-int-surface"] == "http"
    assert headers["x-isthmus-int-authority"] == gateway.grpc_target
    assert headers.get("x-isthmus-int-length", "") == ""
    assert headers["x-kept"] == "yes"
    assert not {"x-envoy-retry-on", "x-http-code", "x-isthmus-int-anything", "x-isthmus-int-request-id"} & set(headers)
    assert not {"grpc-timeout", "grpc-encoding", "some-bin", "cookie"} & set(headers)


async def test_the_length_that_a_body_declares_reaches_the_server(http: Http):
    sized = await told(http, "POST", "/v1/files", data=b"12345", headers={"x-isthmus-int-length": "7"})

    async def pieces():
        yield b"12345"

    chunked = await told(http, "POST", "/v1/files", data=pieces())

    assert sized["headers"]["x-isthmus-int-length"] == "5"
    assert chunked["headers"].get("x-isthmus-int-length", "") == ""


@pytest.mark.parametrize(
    "path",
    [
        "/v1/a/../b",
        "/v1//a",
        "/v1/a%2Fb/%2e%2e",
        "/v1/a%20b?q=a%2Fb&q=%zz",
        "/v1/files?data=zz&content_type=evil",
        "/v1/x/?y",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_paths_and_queries_arrive_as_they_were_sent(http: Http, method: str, path: str):
    arrived = await told(http, method, path)

    assert arrived["rpc"].endswith("/Forward")
    assert arrived["headers"]["x-envoy-original-path"] == path
    assert arrived["headers"]["x-envoy-original-method"] == method
    assert arrived["size"] == 0


async def test_query_parameters_never_reach_the_body(http: Http):
    body = b'{"model": "m" , "x":1.0}'

    arrived = await told(
        http, "POST", f"{CHAT}?data=zz&content_type=evil", data=body, headers={"content-type": "application/json"}
    )

    assert arrived["body"].encode() == body
    assert arrived["content_types"] == ["application/json"]


@pytest.mark.parametrize(
    ("method", "path", "rpc"),
    [
        ("POST", CHAT, "ChatCompletions"),
        ("POST", f"{CHAT}/?q", "ChatCompletions"),
        ("POST", "/v1/proxy/chat/completions", "ChatCompletions"),
        ("POST", "/v1/completions", "Completions"),
        ("POST", "/v1/proxy/auto", "Auto"),
        ("POST", "/v1/embeddings", "Embeddings"),
        ("POST", "/v1/responses", "Responses"),
        ("POST", "/v1/moderations", "Moderations"),
        ("POST", "/v1/credentials", "Credentials"),
        ("GET", "/v1/models/", "Models"),
        ("GET", "/v1/proxy/models/a/b", "Models"),
        ("DELETE", "/v1/models/a", "Forward"),
        ("PATCH", "/v1/proxy/anything", "Forward"),
        ("PUT", "/api/openai/v1/files", "Forward"),
        ("GET", "/api/openai", "Forward"),
        ("OPTIONS", "/v1/models", "Forward"),
    ],
)
async def test_each_path_takes_its_method(http: Http, method: str, path: str, rpc: str):
    arrived = await told(http, method, path)

    assert arrived["rpc"] == f"/isthmus.v1.OpenAIService/{rpc}"


@pytest.mark.parametrize(
    ("code", "status"),
    [("429", 429), ("302", 302), ("599", 599), ("100", 200), ("abc", 200), ("99", 200), ("6000", 200)],
)
async def test_status_comes_from_the_server_within_bounds(http: Http, code: str, status: int):
    async with http.request("POST", CHAT, headers={"x-stub": f"status {code}"}, allow_redirects=False) as response:
        body = await response.text()

    assert (response.status, body) == (status, '{"mine":true}')
    assert response.headers["retry-after"] == "7"
    assert not [
        name
        for name in response.headers
        if name.lower().startswith(("x-http-code", "grpc-", "x-envoy", "x-isthmus-int"))
    ]


@pytest.mark.parametrize(
    ("stub", "expected"),
    [
        ("abort RESOURCE_EXHAUSTED", (503, "server_error", "overloaded")),
        ("abort UNAVAILABLE", (503, "server_error", "overloaded")),
        ("abort DEADLINE_EXCEEDED", (504, "timeout_error", "timeout")),
        ("abort UNIMPLEMENTED", (404, "invalid_request_error", "unknown_url")),
        ("abort INTERNAL", (500, "server_error", "internal")),
        ("abort UNKNOWN", (500, "server_error", "internal")),
        ("abort-late INTERNAL", (500, "server_error", "internal")),
    ],
)
async def test_what_grpc_answers_by_itself_is_an_openai_error(http: Http, stub: str, expected: tuple):
    *found, response = await error(http, "POST", CHAT, headers={"x-stub": stub}, data=b"{}")

    assert tuple(found) == expected
    assert response.headers["x-should-retry"] == ("true" if expected[0] in {503, 504} else "false")
    assert ("retry-after" in response.headers) is (expected[0] == 503)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", (404, "invalid_request_error", "unknown_url")),
        ("GET", "/v2/models", (404, "invalid_request_error", "unknown_url")),
        ("TRACE", "/v1/models", (405, "invalid_request_error", "method_not_allowed")),
        (
            "POST",
            "/isthmus.v1.ChatService/CreateChatCompletion",
            (415, "invalid_request_error", "unsupported_media_type"),
        ),
        ("POST", "/grpc.health.v1.Health/Check", (415, "invalid_request_error", "unsupported_media_type")),
        ("POST", "/isthmus.v1.OpenAIService/ChatCompletions", (404, "invalid_request_error", "unknown_url")),
    ],
)
async def test_envoys_own_answers_are_openai_errors(http: Http, method: str, path: str, expected: tuple):
    *found, response = await error(
        http, method, path, headers={"content-type": "application/json", "x-request-id": "mine"}
    )

    assert tuple(found) == expected
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["x-should-retry"] == "false"


async def test_a_body_over_the_limit_is_413_and_an_upload_is_not(http: Http):
    big = b" " * 3_000_001

    *found, _ = await error(http, "POST", CHAT, data=io.BytesIO(big))
    uploaded = await told(http, "POST", "/v1/files", data=io.BytesIO(big))

    assert found == [413, "invalid_request_error", "request_too_large"]
    assert uploaded["size"] == len(big)


@pytest.mark.parametrize(("size", "expected"), [(200_000, 200), (300_000, 431), (600_000, 431)])
async def test_headers_over_envoys_limit_are_431_and_others_are_the_servers_to_refuse(
    http: Http, size: int, expected: int
):
    async with http.request("GET", "/v1/models", headers={"x-long": "a" * size}) as response:
        body = await response.json()

    assert response.status == expected
    assert expected == 200 or body["error"]["code"] == "headers_too_large"


async def test_long_cookies_do_no_harm(http: Http):
    arrived = await told(http, "GET", "/v1/models", headers={"cookie": "c=" + "a" * 30_000})

    assert "cookie" not in arrived["headers"]


@pytest.mark.parametrize(
    ("sent", "kept"), [("caller-7", True), ("a" * 128, True), ("a" * 129, False), ("h\u00e9", False), (None, False)]
)
async def test_a_fit_request_id_of_the_caller_is_kept(http: Http, sent: str | None, kept: bool):
    headers = {"x-request-id": sent} if sent else {}

    async with http.request("GET", "/v1/models", headers=headers) as response:
        arrived = dict((await response.json())["metadata"])

    assert response.headers["x-request-id"] == arrived["x-request-id"]
    assert (arrived["x-request-id"] == sent) is kept
    assert len(arrived["x-request-id"]) >= 8


async def test_a_preflight_is_answered_for_allowed_origins_only(http: Http):
    async def preflight(path: str, origin: str) -> Response:
        headers = {"origin": origin, "access-control-request-method": "POST"}
        async with http.request("OPTIONS", path, headers=headers) as response:
            await response.read()
            return response

    allowed = [await preflight(path, ORIGIN) for path in (CHAT, "/isthmus.v1.ChatService/X")]
    refused = [await preflight(path, "https://evil.example") for path in (CHAT, "/isthmus.v1.ChatService/X")]

    for response in allowed:
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert "authorization" in response.headers["access-control-allow-headers"]
        assert "POST" in response.headers["access-control-allow-methods"]
    assert not [response for response in refused if "access-control-allow-origin" in response.headers]


@pytest.mark.parametrize("stub", ["tell", "status 401", "abort INTERNAL"])
async def test_answers_are_readable_from_an_allowed_origin(http: Http, stub: str):
    async with http.request("POST", CHAT, headers={"origin": ORIGIN, "x-stub": stub}) as response:
        exposed = response.headers["access-control-expose-headers"]

    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert {"x-request-id", "retry-after", "grpc-status", "x-isthmus-cache", "x-bt-cached"} <= set(exposed.split(", "))


async def test_streams_arrive_piece_by_piece_and_cancel_with_the_client(http: Http):
    times = []
    async with http.request("POST", CHAT, headers={"x-stub": "stream 3 0.3"}) as response:
        async for line in response.content:
            if line.strip():
                times.append((line, asyncio.get_running_loop().time()))

    assert [line for line, _ in times] == [b"data: 0\n", b"data: 1\n", b"data: 2\n", b"data: [DONE]\n"]
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert times[-1][1] - times[0][1] > 0.5


async def test_thirteen_hundred_streams_at_once(gateway: Gateway):
    count = 1300

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def stream() -> bytes:
            await asyncio.sleep(random.random())
            async with session.post(gateway.url + CHAT, headers={"x-stub": "stream 3 1.5"}) as response:
                return await response.read()

        bodies = await asyncio.gather(*(stream() for _ in range(count)))

    assert {body.count(b"data: ") for body in bodies} == {4}
    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)


async def test_health_is_served_without_the_server_and_readiness_with_it(http: Http):
    for path in ("/healthz", "/readyz", "/readyz?x=1"):
        async with http.request("GET", path) as response:
            assert response.status == 200, path
            assert not [name for name in response.headers if name.lower().startswith("x-envoy")]


TENANTS_PATHS = ("/api/openai", "/api/openai/", "/api/openai?x=1", "/api/openai/v1/files")


@pytest.mark.parametrize("path", TENANTS_PATHS)
@pytest.mark.parametrize(
    ("stub", "status", "text"),
    [
        ("abort RESOURCE_EXHAUSTED", 503, "The gateway is overloaded. Try again shortly."),
        ("abort DEADLINE_EXCEEDED", 504, "The call took too long. Try again, or ask for less."),
        ("abort UNIMPLEMENTED", 404, "This gateway does not serve that URL. Check the path."),
        ("abort INTERNAL", 500, "The gateway failed. Report the x-request-id of this answer."),
        ("abort-late UNKNOWN", 500, "The gateway failed. Report the x-request-id of this answer."),
    ],
)
async def test_what_grpc_answers_by_itself_is_text_below_the_tenants_prefix(
    http: Http, path: str, stub: str, status: int, text: str
):
    async with http.request("POST", path, headers={"x-stub": stub}, data=b"{}") as response:
        assert (response.status, await response.read()) == (status, f'{{"error":"{text}"}}'.encode())
        assert response.content_type == "application/json"
        assert ("retry-after" in response.headers) is (status == 503)


async def test_envoys_own_answers_are_text_below_the_tenants_prefix(http: Http):
    async with http.request("TRACE", "/api/openai/v1/files") as response:
        assert (response.status, await response.read()) == (405, b'{"error":"This method is not served here."}')
        assert response.headers["content-length"] == "43"


async def test_a_call_whose_server_dies_is_text_below_the_tenants_prefix():
    with running_stub() as gateway:
        async with aiohttp.ClientSession() as session:
            url = f"{gateway.url}/api/openai/v1/files"
            async with session.post(url, headers={"x-stub": "exit"}, data=b"{}") as response:
                assert response.status == 503
                assert await response.read() == b'{"error":"No server can take the call now. Try again shortly."}'
                assert response.headers["retry-after"] == "1"


async def test_answers_of_the_server_pass_below_the_tenants_prefix(http: Http):
    async with http.request("POST", "/api/openai/v1/x", headers={"x-stub": "status 429"}, data=b"{}") as response:
        assert (response.status, await response.read()) == (429, b'{"mine":true}')
