"""Forward: any method and path, bytes untouched, credentials replaced; and the paths and bodies that it refuses."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
import pytest
from isthmus.v1 import forward_pb2, forward_pb2_grpc

from tests.fakes.answers import Answer, error, whole
from tests.fakes.received import Received
from tests.system.pair import OUR_KEY, Pair
from tests.system.typed import failure_of
from tests.system.wire import Headers, ask

pytestmark = pytest.mark.edge
ODD_PATH = (
    "/v1/files/a%2Fb%20c%C3%A9/content?limit=2&after=%2e%2e&q=a+b%26&empty=&utf=%E2%98%95&url=https://x.example//y"
)
BINARY = bytes(range(256)) * 4096


def lowered(received: Received) -> dict[str, str]:
    return {name.lower(): value for name, value in received.headers}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_every_method_keeps_path_query_and_body(pair: Pair, method: str) -> None:
    body = b"" if method in ("GET", "HEAD", "OPTIONS", "DELETE") else b"\x00\xff body"
    pair.provider.reply_with(whole(b"\x00answer", headers=(("x-thing", "1"),)))
    headers: Headers = (("content-type", "application/x-thing"), ("x-custom", "kept"))

    answer = await ask(pair.url, ODD_PATH, body, method=method, headers=headers)

    received = pair.provider.last
    assert (received.method, received.path, received.body) == (method, ODD_PATH, body)
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else b"\x00answer")
    assert answer.headers["x-thing"] == "1"
    assert lowered(received)["x-custom"] == "kept"


async def test_proxy_prefix_is_ours(pair: Pair) -> None:
    await ask(pair.url, "/v1/proxy/threads/t_1/messages?limit=1", method="GET", headers=())

    assert pair.provider.last.path == "/v1/threads/t_1/messages?limit=1"


async def test_headers_that_go_and_that_stay(pair: Pair) -> None:
    private: Headers = (
        ("authorization", "Bearer sk-callers"),
        ("cookie", "a=b"),
        ("x-api-key", "k"),
        ("x-real-ip", "203.0.113.9"),
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("referer", "http://127.0.0.1/x"),
        ("sec-fetch-site", "none"),
        ("cf-ray", "1"),
        ("x-amzn-trace-id", "1"),
        ("x-bt-cache-ttl", "60"),
        ("x-isthmus-cache", "never"),
        ("proxy-authorization", "Basic x"),
        ("openai-organization", "org-other"),
        ("x-trace-bin", "!!"),
    )
    kept: Headers = (("openai-beta", "assistants=v2"), ("idempotency-key", "i-1"), ("x-custom", "a, b"))

    await ask(pair.url, "/v1/assistants", b"{}", headers=(("content-type", "application/json"), *private, *kept))

    seen = lowered(pair.provider.last)
    assert seen.pop("authorization") == f"Bearer {OUR_KEY}"
    assert not {name for name, _ in private} & seen.keys()
    assert not [name for name in seen if name.startswith(("x-envoy", "grpc-", "x-forwarded", "x-isthmus"))]
    assert {name: seen[name] for name, _ in kept} == dict(kept)


async def test_errors_of_the_provider_pass_verbatim(pair: Pair) -> None:
    body = b'{ "error" : {"message":"No such file", "type":"x", "extra": 1.10} }'
    pair.provider.reply_with(whole(body, 404, (("x-ratelimit-limit-requests", "60"), ("set-cookie", "a=b"))))

    answer = await ask(pair.url, "/v1/files/nope", method="GET", headers=())

    assert (answer.status, answer.body) == (404, body)
    assert answer.headers["x-ratelimit-limit-requests"] == "60"
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-request-id"] == "req-fake"


async def test_a_content_type_of_the_provider_brings_no_headers_along(pair: Pair) -> None:
    odd = "text/plain\tset-cookie\tx=1\tx-isthmus-cache\tHIT"
    pair.provider.reply_with(Answer(pieces=(b"{}",), headers=(("content-type", odd),)))

    answer = await ask(pair.url, "/v1/files", method="GET", headers=())

    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["content-type"] == odd.replace("\t", "%09")
    assert answer.headers.keys().isdisjoint({"set-cookie", "x-isthmus-cache"})


@pytest.mark.parametrize("status", [201, 202, 204, 304, 400, 401, 409, 418, 429, 500, 503])
async def test_status_of_the_provider_passes(pair: Pair, status: int) -> None:
    pair.provider.reply_with(Answer(status=status, framing="length"))

    answer = await ask(pair.url, "/v1/batches", method="GET", headers=())

    assert answer.status == status


async def test_model_in_a_json_body_chooses_the_provider(pair: Pair) -> None:
    await ask(pair.url, "/v1/rerank", b'{"query":"x","model" : "box/tiny","documents":[]}')
    boxed = pair.provider.last
    await ask(pair.url, "/v1/rerank", b'{"query":"x","documents":[]}')
    default = pair.provider.last

    assert lowered(boxed)["authorization"] == "Bearer box-key"
    assert boxed.body == b'{"query":"x","model" : "tiny","documents":[]}'
    assert lowered(default)["authorization"] == f"Bearer {OUR_KEY}"


async def test_multipart_upload_keeps_its_bytes(pair: Pair) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + BINARY + b"\r\n--b--\r\n"

    answer = await ask(pair.url, "/v1/files", body, headers=(("content-type", "multipart/form-data; boundary=b"),))

    assert answer.json()["id"] == "file-fake"
    assert pair.provider.last.body == body
    assert lowered(pair.provider.last)["content-type"] == "multipart/form-data; boundary=b"


async def test_binary_download_keeps_its_bytes(pair: Pair) -> None:
    content = BINARY * 8
    headers = (("content-type", "application/octet-stream"), ("content-encoding", "gzip"))
    pair.provider.reply_with(Answer(headers=headers, pieces=(content,)))

    answer = await ask(pair.url, "/v1/files/f/content", method="GET", headers=(("accept-encoding", "gzip"),))

    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-encoding"] == "gzip"
    assert lowered(pair.provider.last)["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/files/../../admin",
        "/v1/files/%2e%2e/%2E%2e/admin",
        "/v1/files/.%2e/x",
        "/v1/files%2f..%2f..%2fadmin",
        "/v1/./files",
        "/v1//evil.example/x",
        "/v1/proxy//evil.example/x",
        "/v1/%2f%2fevil.example/x",
        "/v1/files\\..\\admin",
        "/v1/files/%5c..%5cadmin",
        "/v1/https://evil.example/x",
    ],
)
async def test_path_that_is_refused(pair: Pair, path: str) -> None:
    start = len(pair.provider.requests)

    answer = await ask(pair.url, path, method="GET", headers=())

    assert answer.status in (400, 404), (answer, pair.provider.requests[start:])
    assert answer.error["type"] == "invalid_request_error"
    assert len(pair.provider.requests) == start


def forward(channel: grpc.Channel, method: str, path: str, body: bytes, *headers: tuple[str, str]) -> list[Any]:
    lines = [forward_pb2.Header(name=name, value=value) for name, value in headers]
    head = forward_pb2.ForwardRequestHead(method=method, path=path, headers=lines)
    pieces = [forward_pb2.ForwardRequest(head=head)]
    pieces += [forward_pb2.ForwardRequest(body=body[at : at + 2**16]) for at in range(0, len(body), 2**16)]
    return list(forward_pb2_grpc.ForwardServiceStub(channel).Forward(iter(pieces), timeout=30))


def test_typed_forward_carries_bytes_both_ways(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_with(whole(BINARY, 201, (("x-thing", "1"), ("set-cookie", "a=b"))))

    answers = forward(channel, "PUT", ODD_PATH, BINARY, ("content-type", "application/x-thing"), ("cookie", "a=b"))

    received, head = pair.provider.last, answers[0].head
    assert (received.method, received.path, received.body) == ("PUT", ODD_PATH, BINARY)
    assert lowered(received)["content-type"] == "application/x-thing"
    assert "cookie" not in lowered(received)
    assert head.status == 201
    names = {line.name for line in head.headers}
    assert "x-thing" in names
    assert "set-cookie" not in names
    assert b"".join(one.body for one in answers[1:]) == BINARY
    assert answers[-1].WhichOneof("piece") == "end"


def test_typed_forward_gives_refusals_of_the_provider_as_answers(pair: Pair, channel: grpc.Channel) -> None:
    pair.provider.reply_with(error(404, "No such file", "invalid_request_error", None))

    answers = forward(channel, "GET", "/v1/files/nope", b"")

    assert answers[0].head.status == 404
    assert b"No such file" in answers[1].body


@pytest.mark.parametrize("path", ["/v1/../admin", "https://evil.example/v1/x", "/v2/x", "", "/v1//evil.example"])
def test_typed_forward_refuses_paths(pair: Pair, channel: grpc.Channel, path: str) -> None:
    start = len(pair.provider.requests)

    failure = failure_of(lambda: forward(channel, "GET", path, b""))

    assert failure.grpc in ("INVALID_ARGUMENT", "NOT_FOUND")
    assert len(pair.provider.requests) == start


def test_typed_forward_needs_a_head_first(pair: Pair, channel: grpc.Channel) -> None:
    call = forward_pb2_grpc.ForwardServiceStub(channel).Forward
    body_first = iter([forward_pb2.ForwardRequest(body=b"x")])

    assert failure_of(lambda: list(call(body_first, timeout=30))).grpc == "INVALID_ARGUMENT"
    assert failure_of(lambda: list(call(iter([]), timeout=30))).grpc == "INVALID_ARGUMENT"
