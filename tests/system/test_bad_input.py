"""Input that no SDK sends: a clear error in OpenAI's shape, or an answer; never a 500, and the gateway lives on."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from tests.system.pair import Pair
from tests.system.wire import JSON_TYPE, Headers, Response, ask, chat

pytestmark = pytest.mark.edge
CHAT = "/v1/chat/completions"
DEEP = 100_000
MIB = 1024 * 1024
MESSAGES = b'"messages":[{"role":"user","content":"Hi"}]'


@pytest.fixture(autouse=True)
async def survivor(pair: Pair) -> AsyncIterator[None]:
    """After whatever a test does, the same processes still answer."""
    before = set(pair.gateway.children())
    yield
    pair.provider.reply_always(None)
    assert (await ask(pair.url, CHAT, chat())).status == 200
    assert set(pair.gateway.children()) == before


BAD_BODIES = {
    "empty": (b"", None),
    "blank": (b" \n ", None),
    "cut": (b'{"model":"ok","messages":[{"role"', None),
    "not JSON": (b"model=ok", None),
    "trailing bytes": (chat() + b"}", None),
    "two values": (chat() + chat(), None),
    "list": (b"[" + chat() + b"]", None),
    "text": (b'"model"', None),
    "null": (b"null", None),
    "NaN": (b'{"model":"ok","temperature":NaN,' + MESSAGES + b"}", None),
    "single quotes": (b"{'model':'ok'}", None),
    "invalid UTF-8": (b'{"model":"ok","messages":[{"role":"user","content":"\xff\xfe"}]}', None),
    "invalid UTF-8 in a key": (b'{"model":"ok","\xc3\x28":1,' + MESSAGES + b"}", None),
    "deep list": (b'{"model":"ok","messages":' + b"[" * DEEP + b"]" * DEEP + b"}", None),
    "deep object": (b'{"model":"ok","x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"," + MESSAGES + b"}", None),
    "model missing": (b"{" + MESSAGES + b"}", "model"),
    "model null": (b'{"model":null,' + MESSAGES + b"}", "model"),
    "model number": (b'{"model":4,' + MESSAGES + b"}", "model"),
    "model list": (b'{"model":["ok"],' + MESSAGES + b"}", "model"),
    "model empty": (b'{"model":"",' + MESSAGES + b"}", "model"),
    "stream text": (b'{"model":"ok","stream":"true",' + MESSAGES + b"}", "stream"),
    "stream number": (b'{"model":"ok","stream":1,' + MESSAGES + b"}", "stream"),
    "stream options list": (b'{"model":"ok","stream":true,"stream_options":[],' + MESSAGES + b"}", "stream_options"),
    "repeated key": (b'{"model":"ok","model":"ok",' + MESSAGES + b"}", "model"),
    "repeated unknown key": (b'{"model":"ok","x":1,"x":2,' + MESSAGES + b"}", "x"),
    "key in other case": (b'{"model":"ok","Model":"other",' + MESSAGES + b"}", "Model"),
    "escaped repeated key": (rb'{"model":"ok","mo\u0064el":"other",' + MESSAGES + b"}", "model"),
}


@pytest.mark.parametrize(("body", "param"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_bad_body(pair: Pair, body: bytes, param: str | None) -> None:
    start = len(pair.provider.requests)

    answer = await ask(pair.url, CHAT, body)

    assert answer.status == 400, answer
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["x-should-retry"] == "false"
    assert param is None or answer.error["param"] == param
    assert len(pair.provider.requests) == start, "the provider must not see it"


@pytest.mark.parametrize("path", ["completions", "embeddings", "auto", "moderations", "responses"])
async def test_bad_json_on_every_route(pair: Pair, path: str) -> None:
    answer = await ask(pair.url, f"/v1/proxy/{path}", b'{"model":')

    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"


async def test_body_over_the_limit(pair: Pair) -> None:
    answer = await ask(pair.url, CHAT, chat(x="y" * 51 * MIB))

    assert answer.status == 413
    assert answer.error["code"] == "request_too_large"


async def test_long_cookie_passes_and_goes_nowhere(pair: Pair) -> None:
    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("cookie", "a=" + "b" * 30 * 1024)))

    assert answer.status == 200
    assert pair.provider.last.header("cookie") is None


@pytest.mark.parametrize(("count", "status"), [(3, 200), (4, 431), (10, 431)])
async def test_headers_over_the_limit(pair: Pair, count: int, status: int) -> None:
    many = tuple((f"x-padding-{number}", "p" * 20 * 1024) for number in range(count))
    answers = [await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, *many)) for _ in range(4)]

    assert {answer.status for answer in answers} == {status}
    assert status == 200 or {answer.error["code"] for answer in answers} == {"headers_too_large"}


@pytest.mark.parametrize(
    "headers",
    [
        (("x-trace-bin", "!!! no base64 !!!"),),
        (("grpc-timeout", "1m"),),
        (("grpc-timeout", "soon"),),
        (("x-http-code", "418"),),
        (("x-isthmus-int-tenant", "other"),),
        (("x-envoy-original-path", "/v1/models"), ("x-envoy-original-method", "GET")),
        (("x-envoy-upstream-rq-timeout-ms", "1"),),
        (("x-envoy-decorator-operation", "x"), ("x-envoy-retry-on", "5xx")),
        (("te", "trailers"), ("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")),
        (("x-note", "naïve café".encode()),),
        (("accept", "text/plain"),),
    ],
    ids=lambda headers: headers[0][0],
)
async def test_header_that_must_have_no_effect(pair: Pair, headers: Headers) -> None:
    answer = await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, *headers))

    assert answer.status == 200, answer
    assert answer.json()["object"] == "chat.completion"
    assert pair.provider.last.path == CHAT
    reserved = ("x-envoy", "x-isthmus", "x-http-code", "x-trace-bin", "grpc-")
    assert not [name for name, _ in pair.provider.last.headers if name.lower().startswith(reserved)]


async def test_upstream_headers_outside_ascii_are_percent_encoded(pair: Pair) -> None:
    answer = await ask(pair.url, CHAT, chat("nonascii"))

    assert answer.status == 200
    assert answer.headers.get("x-note", "caf%C3%A9 %E2%98%95") == "caf%C3%A9 %E2%98%95"


async def test_upstream_headers_outside_ascii_on_forward(pair: Pair) -> None:
    answer = await ask(pair.url, "/v1/audio/speech", b'{"model":"nonascii","input":"x"}')

    assert answer.status == 200
    assert answer.headers["x-note"].isascii()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_compressed_json_is_refused(pair: Pair, coding: str) -> None:
    answer = await ask(pair.url, CHAT, gzip.compress(chat()), headers=(*JSON_TYPE, ("content-encoding", coding)))

    assert answer.status == 415
    assert answer.error["type"] == "invalid_request_error"


async def test_multipart_on_a_json_route_is_refused(pair: Pair) -> None:
    answer = await ask(pair.url, CHAT, b"--x--\r\n", headers=(("content-type", "multipart/form-data; boundary=x"),))

    assert answer.status in (400, 415)
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/", "/v2/chat/completions", "/chat/completions", "/v1", "/%00", "/api/other"])
async def test_unknown_path(pair: Pair, path: str) -> None:
    answer = await ask(pair.url, path, chat())

    assert answer.status == 404, answer
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/embeddings"),
        ("GET", "/v1/embeddings"),
        ("DELETE", "/v1/proxy/completions"),
        ("GET", "/v1/credentials"),
        ("GET", "/v1/auto"),
        ("POST", "/v1/models"),
    ],
)
async def test_method_that_the_path_does_not_have(pair: Pair, method: str, path: str) -> None:
    start = len(pair.provider.requests)

    answer = await ask(pair.url, path, method=method, headers=())

    assert answer.status == 405, answer
    assert answer.error["type"] == "invalid_request_error"
    assert len(pair.provider.requests) == start


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/v1/chat/completions?x=1", "/v1/proxy/chat/completions/?a=b"]
)
async def test_trailing_slash_and_query_do_not_change_the_route(pair: Pair, path: str) -> None:
    answer = await ask(pair.url, path, chat("fast"))

    assert answer.status == 200, answer
    assert pair.provider.last.json()["model"] == "ok"
    assert pair.provider.last.path.split("?")[0] == CHAT


async def test_doubled_authorization(pair: Pair) -> None:
    twice: Headers = (*JSON_TYPE, ("authorization", "Bearer a"), ("authorization", "Bearer b"))

    answer = await ask(pair.url, CHAT, chat(), headers=twice)

    assert answer.status in (400, 401)
    assert answer.error["message"]


async def test_request_id_of_the_caller(pair: Pair) -> None:
    async def told(value: str | bytes) -> Response:
        return await ask(pair.url, CHAT, chat(), headers=(*JSON_TYPE, ("x-request-id", value)))

    kept, long, foreign = await told("mine-1"), await told("x" * 129), await told("naïve".encode())

    assert kept.headers["x-request-id"] == "mine-1"
    assert 0 < len(long.headers["x-request-id"]) <= 128
    assert foreign.headers["x-request-id"].isascii()


async def test_json_posted_to_a_typed_method(pair: Pair) -> None:
    answer = await ask(pair.url, "/isthmus.v1.ChatService/CreateChatCompletion", b"{}")

    assert answer.status == 415
    assert answer.body
