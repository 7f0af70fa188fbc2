"""Forward on both surfaces, over real sockets: heads, bodies in pieces, ends, and breaks that cannot be overheard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from isthmus.v1 import forward_pb2, forward_pb2_grpc
from isthmusd.core.record import EndReason
from isthmusd.rpc.forward import PIECE_BYTES
from isthmusd.rpc.openai import BROKEN

from tests.fakes import answers
from tests.fakes.answers import CUT, Answer
from tests.unit.pipeline.gateway import chat_request
from tests.unit.rpc.serving import Serving, refusal_of, serving

Response = forward_pb2.ForwardResponse


def head(method: str, path: str, **headers: str) -> forward_pb2.ForwardRequest:
    named = [forward_pb2.Header(name=name.replace("_", "-"), value=value) for name, value in headers.items()]
    return forward_pb2.ForwardRequest(head=forward_pb2.ForwardRequestHead(method=method, path=path, headers=named))


def sending(gateway: Serving, *requests: forward_pb2.ForwardRequest, **how: Any) -> Any:
    async def each() -> AsyncIterator[forward_pb2.ForwardRequest]:
        for request in requests:
            yield request

    return forward_pb2_grpc.ForwardServiceStub(gateway.channel).Forward(each(), **how)


def body(data: bytes) -> forward_pb2.ForwardRequest:
    return forward_pb2.ForwardRequest(body=data)


def headers_of(response: Response) -> dict[str, str]:
    return {header.name: header.value for header in response.head.headers}


async def test_a_typed_call_is_carried_both_ways() -> None:
    async with serving() as gateway:
        opening = head(
            "POST", "/v1/files?x=a%2Fb", Content_Type="text/csv", X_Custom="1", User_Agent="mine/1", Cookie="c"
        )
        responses = [
            response
            async for response in sending(
                gateway, opening, body(b"ab"), body(b"c"), metadata=[("x-request-id", "my-id")]
            )
        ]

    received = gateway.provider.last
    assert (received.method, received.path, received.body) == ("POST", "/v1/files?x=a%2Fb", b"abc")
    assert (received.header("content-type"), received.header("x-custom")) == ("text/csv", "1")
    assert received.header("user-agent") == "mine/1"
    assert received.header("authorization") == "Bearer sk-ours"
    assert received.header("cookie") is None
    assert [response.WhichOneof("piece") for response in responses] == ["head", "body", "end"]
    assert responses[0].head.status == 200
    assert headers_of(responses[0])["content-type"] == "application/json"
    assert headers_of(responses[0])["x-request-id"] == "req-fake"
    assert not responses[-1].end.HasField("usage")
    assert (gateway.record.end, gateway.record.request_id) == (EndReason.COMPLETE, "my-id")


async def test_usage_comes_with_the_end() -> None:
    async with serving() as gateway:
        opening = head("POST", "/v1/chat/completions", content_type="application/json")
        responses = [response async for response in sending(gateway, opening, body(chat_request(model="ok")))]

    assert responses[-1].end.usage.total_tokens == 8
    assert gateway.record.usage is not None


async def test_a_providers_refusal_is_an_answer() -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.error(404, "no such file", "invalid_request_error", None))
        responses = [response async for response in sending(gateway, head("GET", "/v1/files/f"))]

    assert responses[0].head.status == 404
    assert b"no such file" in responses[1].body
    assert gateway.record.status == 404


async def test_large_answers_come_in_small_messages() -> None:
    content = bytes(range(256)) * 8192

    async with serving() as gateway:
        gateway.provider.reply_with(Answer(pieces=(content,)))
        responses = [response async for response in sending(gateway, head("GET", "/v1/files/f/content"))]

    bodies = [response.body for response in responses if response.WhichOneof("piece") == "body"]
    assert b"".join(bodies) == content
    assert max(map(len, bodies)) <= PIECE_BYTES


@pytest.mark.parametrize(
    ("requests", "param"),
    [
        ((), "head"),
        ((body(b"x"),), "head"),
        ((forward_pb2.ForwardRequest(),), "head"),
        ((head("G T", "/v1/files"),), "head"),
        ((head("", "/v1/files"),), "head"),
        ((head("GET", "v1/files"),), "head"),
        ((head("TRACE", "/v1/files"),), "head"),
        ((head("CONNECT", "/v1/files"),), "head"),
        ((head("\uff27\uff25\uff34", "/v1/files"),), "head"),
        ((head("GET", "/v1/files x"),), "head"),
        ((head("GET", "/v1/files?a=1 HTTP/1.1\r\nHost: other"),), "head"),
        ((head("GET", "/v1/files?a=\u2603"),), "head"),
        ((head("GET", "/v1/files", **{"authorization ": "Bearer x"}),), "head"),
        ((head("GET", "/v1/files", **{"host: other, a": "b"}),), "head"),
        ((head("GET", "/v1/files", **{"x\r\nhost": "other"}),), "head"),
        ((head("GET", "/v1/files", **{"": "b"}),), "head"),
        ((head("POST", "/v1/files"), head("POST", "/v1/files")), "body"),
    ],
)
async def test_messages_out_of_order_are_refused_and_recorded(requests: Any, param: str) -> None:
    async with serving() as gateway:
        refusal = await refusal_of(sending(gateway, *requests))

    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.info.metadata["param"] == param
    assert gateway.record.end is EndReason.REFUSED
    assert gateway.provider.requests == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/../x", grpc.StatusCode.INVALID_ARGUMENT),
        ("/v2/x", grpc.StatusCode.NOT_FOUND),
        ("/v1/auto", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_paths_are_checked(path: str, code: grpc.StatusCode) -> None:
    async with serving() as gateway:
        refusal = await refusal_of(sending(gateway, head("POST", path)))

    assert refusal.code is code


async def test_a_typed_answer_that_breaks_off_has_no_end() -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.stream(b"data: {}\n\n", 0.05, CUT))
        call = sending(gateway, head("GET", "/v1/responses/r"))
        pieces = [(await call.read()).WhichOneof("piece") for _ in range(2)]
        refusal = await refusal_of(call)

    assert pieces == ["head", "body"]
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_INTERRUPTED")
    assert gateway.record.end is EndReason.INTERRUPTED


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
async def test_every_method_is_carried_over_http(method: str) -> None:
    async with serving() as gateway:
        answered = await gateway.forward("/v1/proxy/x/y?z=1", b"ab", b"cd", method=method, content_type="text/csv")

    received = gateway.provider.last
    assert (received.method, received.path, received.body) == (method, "/v1/x/y?z=1", b"abcd")
    assert received.header("content-type") == "text/csv"
    assert answered.status == 200
    assert answered.json()["echo"]["method"] == method
    assert answered.metadata["x-request-id"] == "req-fake"


async def test_an_empty_answer_over_http_still_has_headers() -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(Answer(status=204, headers=(("x-custom", "1"),)))
        answered = await gateway.forward("/v1/files/f", method="DELETE")

    assert (answered.status, answered.body, len(answered.messages)) == (204, b"", 1)
    assert answered.metadata["x-custom"] == "1"
    assert gateway.provider.last.body == b""


async def test_an_upload_streams_over_http() -> None:
    pieces = [bytes([65 + index]) * 700_000 for index in range(4)]

    async with serving() as gateway:
        answered = await gateway.forward("/v1/files", *pieces, content_type="application/octet-stream")

    assert answered.status == 200
    assert gateway.provider.last.body == b"".join(pieces)
    assert gateway.provider.last.header("transfer-encoding") == "chunked"


async def test_an_upload_over_the_limit_is_refused_over_http() -> None:
    async with serving(limits__upload_bytes=2_000_000) as gateway:
        answered = await gateway.forward("/v1/files", *[b"x" * 900_000] * 3)

    assert answered.status == 413
    assert answered.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/v1/a/%2e%2e/b", "GET", 400), ("/v1/chat/completions", "PUT", 405), ("/v1/credentials/x", "GET", 404)],
)
async def test_refusals_over_http_have_openais_shape(path: str, method: str, status: int) -> None:
    async with serving() as gateway:
        answered = await gateway.forward(path, method=method)

    assert answered.status == status
    assert set(answered.json()["error"]) == {"message", "type", "param", "code"}
    assert gateway.record.status == status


@pytest.mark.parametrize("pieces", [(b"data: {}\n\n", 0.05, CUT), (0.05, CUT)])
async def test_an_answer_that_breaks_off_over_http_breaks_the_connection(pieces: Any) -> None:
    async with serving() as gateway:
        gateway.provider.reply_with(answers.stream(*pieces))
        answered = await gateway.forward("/v1/responses/r", method="GET")

    assert answered.messages[-1] == BROKEN
    assert len(answered.messages) == 2
    assert (gateway.record.end, gateway.record.status) == (EndReason.INTERRUPTED, 200)


REFUSED = b'{"error":"Authentication failed"}'


@pytest.mark.parametrize("path", ["/api/openai", "/api/openai/", "/api/openai/v1/responses?x=1"])
async def test_the_path_of_tenants_is_closed_to_all_others(path: str) -> None:
    async with serving() as gateway:
        answered = await gateway.forward(path, b"{}", metadata=(("authorization", "Bearer sk-1"),))

    assert (answered.status, answered.body, answered.content_type) == (401, REFUSED, "application/json")
    assert (gateway.record.end, gateway.record.status) == (EndReason.REFUSED, 401)
    assert gateway.provider.requests == []
