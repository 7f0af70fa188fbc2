"""The typed services through the real Envoy: native gRPC, gRPC-Web and Connect, each as its bytes on the wire."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

import aiohttp
import grpc
import pytest

from tests.edge.gateway import Gateway, running_stub

pytestmark = pytest.mark.edge

METHOD = "/isthmus.v1.ChatService/CreateChatCompletion"
STREAM = "/isthmus.v1.ChatService/StreamChatCompletion"
END_OF_STREAM = 0x80
CONNECT_END = 0x02


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_stub() as gateway:
        yield gateway


def frame(message: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(message)) + message


def frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        flags, size = struct.unpack(">BI", body[:5])
        found.append((flags, body[5 : 5 + size]))
        body = body[5 + size :]
    return found


def decoded(text: bytes) -> bytes:
    """Base64 of pieces, each padded on its own."""
    return b"".join(base64.b64decode(text[at : at + 4]) for at in range(0, len(text), 4))


async def call(
    gateway: Gateway, method: str, metadata: tuple = (), deadline_s: float = 20, message: bytes = b"in"
) -> bytes:
    async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
        return await channel.unary_unary(method)(message, metadata=metadata, timeout=deadline_s)


async def test_native_grpc_keeps_deadline_and_binary_metadata(gateway: Gateway):
    metadata = (("some-bin", b"\x00\xff"), ("x-envoy-original-path", "/evil"), ("x-isthmus-int-surface", "http"))

    arrived = json.loads(await call(gateway, METHOD, metadata))

    headers = dict(arrived["metadata"])
    assert arrived["rpc"] == METHOD
    assert headers["some-bin"] == "00ff"
    assert headers["x-isthmus-int-surface"] == "grpc"
    assert headers["x-isthmus-int-authority"] == gateway.grpc_target
    assert "x-envoy-original-path" not in headers


async def test_the_callers_request_id_is_kept(gateway: Gateway):
    arrived = json.loads(await call(gateway, METHOD, (("x-request-id", "mine"),)))

    assert dict(arrived["metadata"])["x-request-id"] == "mine"


async def test_a_native_deadline_ends_the_call(gateway: Gateway):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call(gateway, METHOD, (("x-stub", "sleep 5"),), deadline_s=0.3)

    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_native_errors_keep_code_and_message(gateway: Gateway):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call(gateway, METHOD, (("x-stub", "abort FAILED_PRECONDITION"),))

    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "told to"


@pytest.mark.parametrize(
    "method",
    ["/isthmus.v1.OpenAIService/ChatCompletions", "/isthmus.v1.ChatService/Unknown", "/other.Service/X", "/v1/models"],
)
async def test_what_is_not_served_is_unimplemented(gateway: Gateway, method: str):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call(gateway, method)

    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not (failure.value.details() or "").startswith("{")


async def test_native_streams(gateway: Gateway):
    async with grpc.aio.insecure_channel(gateway.grpc_target) as channel:
        replies = [
            reply async for reply in channel.unary_stream(STREAM)(b"in", metadata=(("x-stub", "stream 3 0.01"),))
        ]

    assert len(replies) == 4
    assert replies[-1] == b"data: [DONE]\n\n"


@pytest.mark.parametrize("text", [False, True])
async def test_grpc_web(gateway: Gateway, text: bool):
    content_type = "application/grpc-web-text" if text else "application/grpc-web+proto"
    body = base64.b64encode(frame(b"in")) if text else frame(b"in")
    headers = {
        "content-type": content_type,
        "x-grpc-web": "1",
        "x-stub": "stream 2 0",
        "some-bin": "AP8",
        "accept": content_type,
    }

    async with aiohttp.ClientSession() as http, http.post(gateway.url + STREAM, data=body, headers=headers) as response:
        answer = await response.read()

    got = frames(decoded(answer) if text else answer)
    assert response.content_type.startswith("application/grpc-web")
    assert [message for flags, message in got if not flags] == [b"data: 0\n\n", b"data: 1\n\n", b"data: [DONE]\n\n"]
    assert b"grpc-status:0" in got[-1][1]
    assert got[-1][0] == END_OF_STREAM


async def test_grpc_web_keeps_deadline_metadata_and_errors(gateway: Gateway):
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "some-bin": "AP8"}
    async with aiohttp.ClientSession() as http:
        async with http.post(gateway.url + METHOD, data=frame(b"in"), headers=headers) as response:
            arrived = json.loads(frames(await response.read())[0][1])
        refused = {**headers, "x-stub": "abort NOT_FOUND"}
        async with http.post(gateway.url + METHOD, data=frame(b"in"), headers=refused) as response:
            status = response.headers.get("grpc-status") or (await response.read()).decode("latin-1")
        late = {**headers, "x-stub": "sleep 5", "grpc-timeout": "200m"}
        async with http.post(gateway.url + METHOD, data=frame(b"in"), headers=late) as response:
            ended = response.headers.get("grpc-status") or (await response.read()).decode("latin-1")

    assert dict(arrived["metadata"])["some-bin"] == "00ff"
    assert arrived["body"] == "in"
    assert "5" in status
    assert "4" in ended


async def test_connect_unary(gateway: Gateway):
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}

    async with (
        aiohttp.ClientSession() as http,
        http.post(gateway.url + METHOD, data=b"in", headers=headers) as response,
    ):
        arrived = json.loads(await response.read())

    assert response.status == 200
    assert response.content_type == "application/proto"
    assert (arrived["rpc"], arrived["body"]) == (METHOD, "in")
    assert dict(arrived["metadata"])["x-isthmus-int-surface"] == "grpc"


async def test_connect_errors_and_deadlines(gateway: Gateway):
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
    late = {"x-stub": "sleep 5", "connect-timeout-ms": "200"}

    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(gateway.url + METHOD, data=b"in", headers={"x-stub": "abort NOT_FOUND"}) as response:
            refused = (response.status, (await response.json())["code"])
        async with http.post(gateway.url + METHOD, data=b"in", headers=late) as response:
            ended = await response.json()

    assert refused == (404, "not_found")
    assert ended["code"] == "deadline_exceeded"


async def test_connect_stream(gateway: Gateway):
    headers = {"content-type": "application/connect+proto", "connect-protocol-version": "1", "x-stub": "stream 2 0"}

    async with (
        aiohttp.ClientSession() as http,
        http.post(gateway.url + STREAM, data=frame(b"in"), headers=headers) as response,
    ):
        got = frames(await response.read())

    assert [message for flags, message in got if not flags] == [b"data: 0\n\n", b"data: 1\n\n", b"data: [DONE]\n\n"]
    assert got[-1][0] == CONNECT_END
    assert "error" not in json.loads(got[-1][1])


@pytest.mark.parametrize("connect", [{}, {"connect-protocol-version": "1"}])
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/connect+json", "application/grpc+json", "text/plain"]
)
async def test_other_codecs_are_refused_with_advice(gateway: Gateway, content_type: str, connect: dict[str, str]):
    headers = {"content-type": content_type, **connect}

    async with (
        aiohttp.ClientSession() as http,
        http.post(gateway.url + METHOD, data=b"{}", headers=headers) as response,
    ):
        said = await response.text() + response.headers.get("grpc-message", "")

    assert (response.status, response.headers.get("grpc-status")) in {(415, None), (200, "2")}
    assert "application/proto" in said


async def test_protobuf_without_a_protocol_is_refused(gateway: Gateway):
    headers = {"content-type": "application/proto"}

    async with (
        aiohttp.ClientSession() as http,
        http.post(gateway.url + METHOD, data=b"in", headers=headers) as response,
    ):
        error = (await response.json())["error"]

    assert (response.status, error["code"]) == (415, "unsupported_media_type")


async def test_health_is_reachable_as_grpc(gateway: Gateway):
    answer = await call(gateway, "/grpc.health.v1.Health/Check", message=b"")

    assert answer == b"\x08\x01"
