"""A worker process with canned answers, to test processes and Envoy. It knows the worker contract, not the gateway.

The caller chooses the behaviour with the header `x-stub`, words separated by blanks: `status 429` (HTTP status by
x-http-code), `abort CODE` (gRPC abort), `abort-late CODE` (after initial metadata), `stream COUNT DELAY_S`, `sleep S`,
`exit` (the process dies); otherwise it tells what arrived, as JSON. `x-stub-initial`, words NAME=VALUE, is metadata
that comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from google.api import httpbody_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import Counter

HTTP = "/isthmus.v1.OpenAIService/"
TYPED = "/isthmus.v1."
CLIENT_STREAMS = ("Forward",)
JSON = "application/json"
CALLS = Counter("stub_calls", "Calls that this worker answered.")
WORKER = json.loads(os.environ["ISTHMUS_WORKER"])


class Echo(grpc.GenericRpcHandler):
    """Every method of every service: HttpBody on the HTTP surface, raw bytes on the typed one."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        path = handler_call_details.method
        if not path.startswith(TYPED) or path.endswith("/Unknown"):
            return None
        codec = (
            {
                "request_deserializer": httpbody_pb2.HttpBody.FromString,
                "response_serializer": httpbody_pb2.HttpBody.SerializeToString,
            }
            if path.startswith(HTTP)
            else {}
        )

        async def one(request: object, context: grpc.aio.ServicerContext) -> None:
            await answer(path, [request], context)

        async def many(requests: AsyncIterator[object], context: grpc.aio.ServicerContext) -> None:
            await answer(path, [request async for request in requests], context)

        if path.endswith(CLIENT_STREAMS):
            return grpc.stream_stream_rpc_method_handler(many, **codec)
        return grpc.unary_stream_rpc_method_handler(one, **codec)


async def answer(path: str, requests: list, context: grpc.aio.ServicerContext) -> None:
    metadata = [(key, value if isinstance(value, str) else value.hex()) for key, value in context.invocation_metadata()]
    words = (dict(metadata).get("x-stub") or "tell").split()
    is_http = path.startswith(HTTP)
    CALLS.inc()
    initial = [word.partition("=")[::2] for word in (dict(metadata).get("x-stub-initial") or "").split()]
    if initial:
        await context.send_initial_metadata(tuple(initial))

    async def send(data: bytes, content_type: str = JSON) -> None:
        await context.write(httpbody_pb2.HttpBody(content_type=content_type, data=data) if is_http else data)

    match words:
        case ["status", code]:
            await context.send_initial_metadata((("x-http-code", code), ("retry-after", "7")))
            await send(b'{"mine":true}')
        case ["abort", code]:
            await context.abort(grpc.StatusCode[code], "told to")
        case ["abort-late", code]:
            await context.send_initial_metadata((("x-http-code", "200"), ("x-late", "yes")))
            await context.abort(grpc.StatusCode[code], "told to")
        case ["stream", count, delay_s]:
            for index in range(int(count)):
                await send(b"data: %d\n\n" % index, "text/event-stream; charset=utf-8")
                await asyncio.sleep(float(delay_s))
            await send(b"data: [DONE]\n\n", "text/event-stream; charset=utf-8")
        case ["sleep", seconds]:
            await asyncio.sleep(float(seconds))
            await send(b"{}")
        case ["exit"]:
            os._exit(9)
        case _:
            bodies = [request if isinstance(request, bytes) else request.data for request in requests]
            kinds = [request.content_type for request in requests if not isinstance(request, bytes)]
            told = {
                "rpc": path,
                "metadata": metadata,
                "size": sum(map(len, bodies)),
                "content_types": kinds,
                "body": b"".join(bodies)[:2000].decode("latin-1"),
                "worker": WORKER["index"],
                "pid": os.getpid(),
            }
            await send(json.dumps(told).encode())


async def beat(pulse: Path) -> None:
    while True:
        pulse.touch()  # noqa: ASYNC240
        await asyncio.sleep(0.05)


async def main() -> None:
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", 64 << 20),
        ("grpc.max_metadata_size", 512 << 10),
        ("grpc.absolute_max_metadata_size", 512 << 10),
    ]
    server = grpc.aio.server(options=options)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(WORKER["bind"])
    await server.start()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    beating = asyncio.create_task(beat(Path(WORKER["pulse"])))
    await stopping.wait()
    beating.cancel()
    await checks.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await asyncio.sleep(0.7 if WORKER["edge"] else 0)
    await server.stop(5)


if __name__ == "__main__":
    if os.environ.get("STUB_FAILS"):
        sys.exit("this stub was told to fail")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
