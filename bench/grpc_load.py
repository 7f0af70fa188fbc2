"""The load generator of the typed gRPC lanes: the schedules of `bench.load` over generated stubs. Not a client example.

Run as `python -m bench.grpc_load < load.json`. Chunk stamps are found in the serialized message, wherever the text is.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count, cycle, repeat
from typing import Final

import grpc
import grpc.aio
import msgspec
import uvloop
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from bench.canned import CHUNK_INTERVAL_S, CHUNKS_PER_STREAM, STAMP, SYSTEM, prompt
from bench.plan import Ask, Load, Result, Tally, spread

_CALLS_PER_CHANNEL: Final = 16
Requests = Iterator[chat_pb2.ChatRequest]
Work = Callable[[], Awaitable[None]]
_HIT: Final = ("x-isthmus-cache", "HIT")


class Samples:
    """What the callers of one load saw; all of them write to the same one, in one event loop."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.hits = 0
        self.latencies_ns: list[int] = []
        self.delays_ns: list[int] = []


async def run(load: Load) -> Result:
    """Run a closed or a streams load to its end."""
    (endpoint,) = load.endpoints
    samples = Samples()
    async with asyncio.timeout(load.seconds * 3 + load.rounds * 20 + 30), _stubs(load) as stubs:
        began = time.monotonic()
        requests = _requests(endpoint.model, load.ask)
        once = _stream if load.ask.stream or load.shape == "streams" else _whole
        async with asyncio.TaskGroup() as tasks:
            for index, stub in enumerate(stubs):
                work = partial(once, stub, requests, samples)
                match load.shape:
                    case "closed":
                        tasks.create_task(_repeat_until(began + load.seconds, work))
                    case "streams":
                        start_in_s = CHUNKS_PER_STREAM * CHUNK_INTERVAL_S * index / len(stubs)
                        tasks.create_task(_repeat_times(load.rounds, start_in_s, work))
                    case "paced":
                        raise ValueError("there is no paced load over gRPC")
        seconds = time.monotonic() - began
    tally = Tally(
        requests=samples.requests,
        errors=samples.errors,
        hits=samples.hits,
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


async def _repeat_until(end_at: float, work: Work) -> None:
    while time.monotonic() < end_at:
        await work()


async def _repeat_times(times: int, start_in_s: float, work: Work) -> None:
    await asyncio.sleep(start_in_s)
    for _ in range(times):
        await work()


async def _whole(stub: chat_pb2_grpc.ChatServiceStub, requests: Requests, samples: Samples) -> None:
    began_ns = time.monotonic_ns()
    samples.requests += 1
    call = stub.CreateChatCompletion(next(requests))
    try:
        await call
    except grpc.aio.AioRpcError:
        samples.errors += 1
    else:
        samples.latencies_ns.append(time.monotonic_ns() - began_ns)
        samples.hits += _HIT in tuple(await call.initial_metadata())


async def _stream(stub: chat_pb2_grpc.ChatServiceStub, requests: Requests, samples: Samples) -> None:
    began_ns, first_ns, seen = time.monotonic_ns(), 0, 0
    samples.requests += 1
    call = stub.StreamChatCompletion(next(requests))
    try:
        async for chunk in call:
            arrived_ns = time.monotonic_ns()
            for stamp in STAMP.finditer(chunk.SerializeToString()):
                samples.delays_ns.append(arrived_ns - int(stamp[1]))
                first_ns = first_ns or arrived_ns
                seen += 1
    except grpc.aio.AioRpcError:
        samples.errors += 1
        return
    if seen != CHUNKS_PER_STREAM:
        samples.errors += 1
    else:
        samples.latencies_ns.append(first_ns - began_ns)
        samples.hits += _HIT in tuple(await call.initial_metadata())


def _requests(model: str, ask: Ask) -> Requests:
    match ask.prompts:
        case 0:
            return (_request(model, ask.temperature, prompt(number)) for number in count(time.time_ns()))
        case 1:
            return repeat(_request(model, ask.temperature, prompt()))
        case prompts:
            return cycle([_request(model, ask.temperature, prompt(number)) for number in range(prompts)])


def _request(model: str, temperature: float, text: str) -> chat_pb2.ChatRequest:
    messages = [
        chat_pb2.Message(role=role, parts=[chat_pb2.Part(text=said)])
        for role, said in (("system", SYSTEM), ("user", text))
    ]
    return chat_pb2.ChatRequest(model=model, messages=messages, temperature=temperature, max_tokens=256)


def main() -> None:
    """Read the load from stdin, run it, write the result to stdout."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(load))))


if __name__ == "__main__":
    main()
