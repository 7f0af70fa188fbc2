"""The HTTP load generator, a process of its own so that its CPU is nobody's. It is not a general load tool.

Run as `python -m bench.load < load.json`; see `bench.plan` for both formats.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import count, cycle, repeat
from typing import Final, cast

import msgspec
import uvloop

from bench.canned import CHUNK_INTERVAL_S, CHUNKS_PER_STREAM, STAMP, request
from bench.plan import Ask, Endpoint, Load, Result, Tally, spread
from bench.wire import MessageReader

_HIT: Final = b"\r\nx-isthmus-cache: hit"


class Connection(asyncio.Protocol):
    """One keep-alive connection: `exchange` once, again after its answer has ended."""

    def __init__(self) -> None:
        self._reader = MessageReader()
        self._answered: asyncio.Future[bool] | None = None
        self._tail = b""
        self.first_chunk_ns = 0
        self.delays_ns: list[int] = []
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        arrived_ns = time.monotonic_ns()
        body = self._tail + self._reader.feed(data)
        last = None
        for last in STAMP.finditer(body):
            self.delays_ns.append(arrived_ns - int(last[1]))
            self.first_chunk_ns = self.first_chunk_ns or arrived_ns
        # A stamp may be cut by a packet's end: keep what could be its beginning.
        self._tail = body[max(last.end() if last else 0, len(body) - 20) :]
        if self._reader.complete:
            self._finish(self._reader.first_line.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._finish(False)

    @property
    def was_hit(self) -> bool:
        """Whether the answer said that it comes from a cache."""
        return _HIT in self._reader.fields

    def exchange(self, message: bytes) -> "asyncio.Future[bool]":
        """Send a request; the future says whether the answer was a complete 200."""
        self._answered = asyncio.get_running_loop().create_future()
        self._tail = b""
        self.first_chunk_ns = 0
        self.transport.write(message)
        return self._answered

    def _finish(self, succeeded: bool) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(succeeded)


class Caller:
    """One sequential caller of one endpoint, with its samples. Opens its connection again when the peer closed it."""

    def __init__(self, endpoint: Endpoint, messages: Iterator[bytes], *, stream: bool) -> None:
        self._endpoint = endpoint
        self._messages = messages
        self._connection: Connection | None = None
        self._stream = stream
        self.requests = 0
        self.errors = 0
        self.hits = 0
        self.latencies_ns: list[int] = []
        self.delays_ns: list[int] = []

    async def call(self) -> None:
        """Send one request, wait for its whole answer, and keep the samples."""
        connection = self._connection
        if connection is None or not connection.is_open:
            loop = asyncio.get_running_loop()
            endpoint = self._endpoint
            _, connection = await loop.create_connection(Connection, endpoint.host, endpoint.port)
            self._connection = connection
        connection.delays_ns = []
        began_ns = time.monotonic_ns()
        succeeded = await connection.exchange(next(self._messages))
        ended_ns = connection.first_chunk_ns if self._stream else time.monotonic_ns()
        self.requests += 1
        if not succeeded or (self._stream and len(connection.delays_ns) != CHUNKS_PER_STREAM):
            self.errors += 1
            return
        self.hits += connection.was_hit
        self.latencies_ns.append(ended_ns - began_ns)
        self.delays_ns += connection.delays_ns

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.transport.close()


async def run(load: Load) -> Result:
    """Run a load to its end."""
    began = time.monotonic()
    async with asyncio.timeout(load.seconds * 3 + load.rounds * 20 + 30):
        match load.shape:
            case "closed":
                callers = await _run_closed(load)
            case "paced":
                callers = await _run_paced(load)
            case "streams":
                callers = await _run_streams(load)
    seconds = time.monotonic() - began
    return [_tally([c for e, c in callers if e is endpoint], seconds) for endpoint in load.endpoints]


Callers = list[tuple[Endpoint, Caller]]


def _callers(load: Load, *, stream: bool) -> Callers:
    # Prompts in turn are in turn over all connections, so that no two ask the same at one time.
    messages = [(endpoint, _messages(endpoint, load.ask, stream=stream)) for endpoint in load.endpoints]
    return [(e, Caller(e, each, stream=stream)) for e, each in messages for _ in range(load.connections)]


async def _run_closed(load: Load) -> Callers:
    callers = _callers(load, stream=load.ask.stream)
    end_at = time.monotonic() + load.seconds

    async def repeat(caller: Caller) -> None:
        while time.monotonic() < end_at:
            await caller.call()
        caller.close()

    async with asyncio.TaskGroup() as tasks:
        for _, caller in callers:
            tasks.create_task(repeat(caller))
    return callers


async def _run_paced(load: Load) -> Callers:
    callers = _callers(load, stream=False)
    step_s = 1 / load.rate / len(callers)
    next_at = time.monotonic()
    for _ in range(int(load.seconds * load.rate)):
        for _, caller in callers:
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            await caller.call()
            next_at = max(next_at + step_s, time.monotonic())
    for _, caller in callers:
        caller.close()
    return callers


async def _run_streams(load: Load) -> Callers:
    callers = _callers(load, stream=True)
    spacing_s = CHUNKS_PER_STREAM * CHUNK_INTERVAL_S / len(callers)

    async def repeat(caller: Caller, start_in_s: float) -> None:
        # Spread over one stream's length: real streams do not tick in step.
        await asyncio.sleep(start_in_s)
        for _ in range(load.rounds):
            await caller.call()
        caller.close()

    async with asyncio.TaskGroup() as tasks:
        for index, (_, caller) in enumerate(callers):
            tasks.create_task(repeat(caller, index * spacing_s))
    return callers


def _tally(callers: list[Caller], seconds: float) -> Tally:
    delays = [delay for caller in callers for delay in caller.delays_ns]
    return Tally(
        requests=sum(caller.requests for caller in callers),
        errors=sum(caller.errors for caller in callers),
        hits=sum(caller.hits for caller in callers),
        seconds=round(seconds, 3),
        latency=spread([latency for caller in callers for latency in caller.latencies_ns]),
        chunks=len(delays),
        chunk_delay=spread(delays) if delays else None,
    )


def _messages(endpoint: Endpoint, ask: Ask, *, stream: bool) -> Iterator[bytes]:
    def message(number: int | None) -> bytes:
        return _message(endpoint, request(endpoint.model, stream=stream, temperature=ask.temperature, number=number))

    match ask.prompts:
        case 0:
            return map(message, count(time.time_ns()))
        case 1:
            return repeat(message(None))
        case prompts:
            return cycle([message(number) for number in range(prompts)])


def _message(endpoint: Endpoint, body: bytes) -> bytes:
    fields = {"host": f"{endpoint.host}:{endpoint.port}", "content-type": "application/json", **endpoint.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {endpoint.path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """Read the load from stdin, run it, write the result to stdout."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(load))))


if __name__ == "__main__":
    main()
