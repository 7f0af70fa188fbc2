"""The load generator of the typed gRPC lanes: the schedules of `bench.load` over generated stubs. Not a client example.

Run as `python -m bench.grpc_load < load.json`. Chunk stamps are found in the serialized message, wherever the text is.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import grpc
import grpc.aio
import msgspec
import uvloop
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from bench.canned import CHUNK_INTERVAL_S, CHUNKS_PER_STREAM, PROMPT, STAMP, SYSTEM
from bench.plan import Endpoint, Load, Result, Tally, spread

_CALLS_PER_CHANNEL: Final = 16


class Samples:
    """What the callers of one load saw; all of them write to the same one, in one event loop."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.latencies_ns: list[int] = []
        self.delays_ns: list[int] = []


async def run(load: Load) -> Result:
    """Run a closed or a streams load to its end."""
    (endpoint,) = load.endpoints
    samples = Samples()
    async with asyncio.timeout(load.seconds * 3 + load.rounds * 20 + 30), _stubs(load) as stubs:
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for index, stub in enumerate(stubs):
                match load.shape:
                    case "closed":
                        tasks.create_task(_repeat_whole(stub, endpoint, began + load.seconds, samples))
                    case "streams":
                        start_in_s = CHUNKS_PER_STREAM * CHUNK_INTERVAL_S * index / len(stubs)
                        tasks.create_task(_repeat_streams(stub, endpoint, load.rounds, start_in_s, samples))
                    case "paced":
                        raise ValueError("there is no paced load over gRPC")
        seconds = time.monotonic() - began
    tally = Tally(
        requests=samples.requests,
        errors=samples.errors,
        seconds=round(seconds, 3),
        latency=spread(samples.latencies_ns),
        chunks=len(samples.delays_ns),
        chunk_delay=spread(samples.delays_ns) if samples.delays_ns else None,
    )
    return [tally]


@asynccontextmanager
async def _stubs(load: Load) -> AsyncIterator[list[chat_pb2_grpc.ChatServiceStub]]:
    """Yield one stub per caller; a channel is shared by some of them, as clients do."""
    (endpoint,) = load.endpoints
    async with AsyncExitStack() as stack:
        stubs: list[chat_pb2_grpc.ChatServiceStub] = []
        for first in range(0, load.connections, _CALLS_PER_CHANNEL):
            # Without an own pool, equal channels would share one connection.
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = grpc.aio.insecure_channel(f"{endpoint.host}:{endpoint.port}", options=options)
            await stack.enter_async_context(channel)
            calls = min(_CALLS_PER_CHANNEL, load.connections - first)
            stubs += [chat_pb2_grpc.ChatServiceStub(channel)] * calls
        yield stubs


async def _repeat_whole(
    stub: chat_pb2_grpc.ChatServiceStub, endpoint: Endpoint, end_at: float, samples: Samples
) -> None:
    message = _request(endpoint.model)
    while time.monotonic() < end_at:
        began_ns = time.monotonic_ns()
        samples.requests += 1
        try:
            await stub.CreateChatCompletion(message)
        except grpc.aio.AioRpcError:
            samples.errors += 1
        else:
            samples.latencies_ns.append(time.monotonic_ns() - began_ns)


async def _repeat_streams(
    stub: chat_pb2_grpc.ChatServiceStub, endpoint: Endpoint, rounds: int, start_in_s: float, samples: Samples
) -> None:
    message = _request(endpoint.model)
    await asyncio.sleep(start_in_s)
    for _ in range(rounds):
        began_ns, first_ns, seen = time.monotonic_ns(), 0, 0
        samples.requests += 1
        try:
            async for chunk in stub.StreamChatCompletion(message):
                arrived_ns = time.monotonic_ns()
                for stamp in STAMP.finditer(chunk.SerializeToString()):
                    samples.delays_ns.append(arrived_ns - int(stamp[1]))
                    first_ns = first_ns or arrived_ns
                    seen += 1
        except grpc.aio.AioRpcError:
            samples.errors += 1
            continue
        if seen != CHUNKS_PER_STREAM:
            samples.errors += 1
        else:
            samples.latencies_ns.append(first_ns - began_ns)


def _request(model: str) -> chat_pb2.ChatRequest:
    messages = [
        chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=text)])
        for role, text in (("system", SYSTEM), ("user", PROMPT))
    ]
    return chat_pb2.ChatRequest(model=model, messages=messages, temperature=0.7, max_tokens=256)


def main() -> None:
    """Read the load from stdin, run it, write the result to stdout."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(load))))


if __name__ == "__main__":
    main()
