"""Workers of one node in this process: whole gateways over scripted targets that reach each other over real unix
sockets, through wires that can be cut and held. It asserts nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isthmusd.core.record import Record
from isthmusd.core.reply import Reply, Stream, Whole
from isthmusd.core.request import Arrival
from isthmusd.pipeline.attempts import Attempts
from isthmusd.pipeline.options import PipelineOptions
from isthmusd.pipeline.record import Draft
from isthmusd.pipeline.run import Gateway, run, understand
from isthmusd.pipeline.wanted import Asking, policy_of, wanted
from isthmusd.rpc.flights import PeerServer
from isthmusd.upstream.peers import WorkerPeers

from tests.unit.pipeline.caching import CacheParts
from tests.unit.pipeline.gateway import Built, chat_request
from tests.unit.pipeline.targets import Answer, ScriptedUpstream
from tests.unit.pipeline.world import arrival_of, headers_of

SLOWLY = 0.3
"""Long enough for all to have joined."""
LIMIT_S = 10.0


class Wire:
    """Passes bytes from one unix socket to another."""

    def __init__(self, outer: Path, inner: Path) -> None:
        self._outer, self._inner = outer, inner
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._connected, self._outer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections, and take no more."""
        if self._server is not None:
            self._server.close()
        self._outer.unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        for end in self._ends:
            end.transport.abort()

    def hold(self) -> None:
        """Pass nothing on from now on, but take what comes."""
        self._passes.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._inner)
        self._ends |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await source.read(2**16):
                    await self._passes.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What one caller got."""

    body: Any
    """Bytes; messages of the typed surface as they are, those of a stream in a list."""
    headers: dict[str, str]

    @property
    def cache(self) -> str | None:
        return self.headers.get("x-isthmus-cache")


@dataclass(slots=True, kw_only=True)
class Worker:
    """One worker."""

    gateway: Gateway
    built: Built
    parts: CacheParts
    wire: Wire
    """Over which the others reach it."""
    address: str

    @property
    def records(self) -> list[Record]:
        return self.built.journal.records

    async def ask(self, headers: dict[str, Any] | None = None, **members: Any) -> Got:
        """Call this worker as Envoy does, and read the whole answer."""
        return await self.call(arrival_of(headers_of(**(headers or {})), body=body_of(**members)))

    async def call(self, arrival: Arrival, read: Callable[[Any], None] | None = None) -> Got:
        """Make a call; `read` is told each piece of a stream."""
        async with run(self.gateway, arrival) as reply:
            return Got(body=await _body(reply, read), headers=dict(reply.headers))

    async def name(self, arrival: Arrival) -> bytes:
        """Under which name the answer to a call is kept."""
        gateway, draft = self.gateway, Draft(arrival, self.gateway.clock)
        call = await gateway.identifier.identify(arrival, draft.meet)
        inbound = understand(arrival, gateway.options.request_bytes)
        plan = gateway.resolver.resolve(call, inbound.peeked.model)
        asking = Asking(arrival=arrival, call=call, inbound=inbound, plan=plan, draft=draft)
        policy = policy_of(asking)
        attempts = Attempts(self.built.upstream, self.built.clock, gateway.options)
        vault = self.parts.caching.vault
        want = None if policy is None else await wanted(asking, policy, vault, attempts, gateway.options)
        if want is None:
            raise LookupError("the answer to this call is not kept")
        return want.names[0]


async def _body(reply: Reply, read: Callable[[Any], None] | None) -> Any:
    match reply:
        case Whole(body=body):
            return body
        case Stream(pieces=pieces):
            got: list[Any] = []
            async for piece in pieces:
                got.append(piece)
                if read is not None:
                    read(piece)
            match got:
                case [bytes(), *_]:
                    return b"".join(got)
                case _:
                    return got


def body_of(**members: Any) -> bytes:
    """A chat request whose answer may be kept."""
    return chat_request(**({"temperature": 0} | members))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """All workers, before the same targets."""

    workers: tuple[Worker, ...]
    upstream: ScriptedUpstream
    outside: WorkerPeers
    """Sees them all, and is none of them."""

    @property
    def sent(self) -> int:
        """How often a provider was asked."""
        return len(self.upstream.sent)

    @property
    def records(self) -> list[Record]:
        return [record for worker in self.workers for record in worker.records]

    async def owned_by(self, *places: int, **members: Any) -> dict[str, Any]:
        """Give members of a request whose answer is the business of these workers, in this order."""
        wished = [self.workers[place].address for place in places]
        for seed in range(10_000):
            name = await self.workers[-1].name(arrival_of(headers_of(), body=body_of(seed=seed, **members)))
            if [*self.outside.owners(name)][: len(wished)] == wished:
                return {"seed": seed, **members}
        raise LookupError("no such request")


@asynccontextmanager
async def node(
    *answers: Answer, count: int = 2, own: dict[int, Any] | None = None, blind: int | None = None, **options: Any
) -> AsyncGenerator[Node]:
    """Run workers; `options` are the pipeline's, `own` those of one worker; one may be `blind` for the first."""
    upstream = ScriptedUpstream.saying(*answers)
    async with AsyncExitStack() as stack:
        # Not the test's own folder: the path of a unix socket is short.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-")))
        addresses = [f"unix:{folder}/p{place}" for place in range(count)]
        workers: list[Worker] = []
        for place in range(count):
            built = Built(upstream=upstream, options=PipelineOptions(**options, **(own or {}).get(place, {})))
            seen = [f"unix:{folder}/nobody", *addresses[1:]] if place == blind else addresses
            peers = await stack.enter_async_context(WorkerPeers(seen, place, built.clock))
            parts = CacheParts()
            built.caching = replace(parts.caching, peers=peers)
            gateway = built.gateway
            stack.push_async_callback(gateway.flights.aclose)
            server = PeerServer(gateway, f"unix:{folder}/inner{place}")
            await server.start()
            stack.push_async_callback(server.stop)
            wire = await stack.enter_async_context(Wire(folder / f"p{place}", folder / f"inner{place}"))
            workers.append(Worker(gateway=gateway, built=built, parts=parts, wire=wire, address=addresses[place]))
        outside = WorkerPeers(addresses, -1, workers[0].built.clock)
        yield Node(workers=tuple(workers), upstream=upstream, outside=outside)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for it; a failed test if it does not come."""
    async with asyncio.timeout(LIMIT_S):
        while not happened():  # noqa: ASYNC110 what is waited for has no event
            await asyncio.sleep(0.005)


async def of_all(*asked: Awaitable[Got]) -> list[Any]:
    """Wait for all answers; failures are among them."""
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.gather(*asked, return_exceptions=True)


def slowly(answer: Answer) -> Answer:
    answer.opening = (SLOWLY,)
    return answer
