"""Many callers who ask a gateway of two workers the same at once, what they got, and which worker does what. It asserts
nothing of the answers.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from prometheus_client.mmap_dict import MmapedDict

from tests.fakes.answers import Answer, Step, chat_body, chat_events, stream, whole
from tests.fakes.received import Received
from tests.system import caching
from tests.system.pair import Pair, eventually
from tests.system.wire import JSON_TYPE, Exchange, Response, ask, request

CHAT = caching.CHAT
DONE = b"data: [DONE]\n\n"
JOIN_S = 1.5
"""How long a provider takes to its first byte: all have asked by then."""
PAUSE_S = 0.15
LIMIT_S = 40.0
Thing = TypeVar("Thing")


class Broken:
    """What a caller got whose connection broke."""


BROKEN = Broken()
Got = Response | Broken


def slow_whole(delay_s: float = JOIN_S) -> Answer:
    """A whole answer that is waited for."""
    return whole(chat_body("ok"), delay_s=delay_s)


def slow_stream(delay_s: float = JOIN_S, pause_s: float = PAUSE_S) -> Answer:
    """A stream that is waited for, event after event."""
    return stream(*paused(chat_events("ok", include_usage=True), pause_s), delay_s=delay_s)


def paused(events: Iterable[bytes], pause_s: float = PAUSE_S) -> list[Step]:
    """Put a pause before each event but the first."""
    steps: list[Step] = []
    for each in events:
        steps += [each] if not steps else [pause_s, each]
    return steps


def body_of(text: str, **members: Any) -> bytes:
    """A chat whose answer may be kept."""
    return msgspec.json.encode(caching.chat_body(text, **members))


def wish(pair: Pair, content: bytes) -> bytes:
    """Write a request."""
    return request(pair.url, CHAT, content)


async def one(pair: Pair, content: bytes) -> Got:
    """Ask once; BROKEN if there was no complete answer."""
    try:
        return await ask(pair.url, CHAT, content, headers=JSON_TYPE, limit_s=LIMIT_S)
    except (OSError, EOFError, AssertionError):
        return BROKEN


async def only(pair: Pair, content: bytes) -> Response:
    """Ask once; a failed assertion if the connection broke."""
    (got,) = complete([await one(pair, content)], 1)
    return got


def crowd(pair: Pair, *contents: bytes) -> list[asyncio.Task[Got]]:
    """Let callers ask, all at once."""
    return [asyncio.create_task(one(pair, content)) for content in contents]


async def answers(tasks: Iterable[asyncio.Task[Got]]) -> list[Response]:
    """Wait for all of a crowd; a failed assertion if a connection broke."""
    got = await asyncio.gather(*tasks)
    return complete(got, len(got))


def complete(got: Iterable[Got], count: int | None = None) -> list[Response]:
    """Leave out the callers whose connections broke; `count` must be left, if given."""
    found: list[Response] = []
    for each in got:
        match each:
            case Response():
                found.append(each)
            case Broken():
                pass
    assert count is None or len(found) == count, f"{count} asked, {len(found)} were answered"
    return found


def tally(got: Iterable[Response]) -> Counter[tuple[int, str | None, str | None]]:
    """How calls ended, what the cache did for them, and how old the answers were."""
    return Counter((each.status, each.headers.get("x-isthmus-cache"), each.headers.get("age")) for each in got)


def bodies(got: Iterable[Response]) -> set[bytes]:
    return {each.body for each in got}


async def soon(happened: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for it in a thread; a failed assertion if it does not happen."""
    assert await asyncio.to_thread(eventually, happened, within_s), "it did not happen in time"


async def received(pair: Pair, text: str, count: int = 1) -> Received:
    """Wait until a prompt has reached the provider so often; give the last of these requests."""
    await soon(lambda: caching.asked(pair.provider, text) >= count)
    return [each for each in list(pair.provider.requests) if text.encode() in each.body][count - 1]


class Seats:
    """Counts the calls that wait for an answer, since it was made."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._before = self._now()

    async def taken(self, count: int) -> None:
        """Wait until so many wait."""
        await soon(lambda: self._now() - self._before >= count)

    def _now(self) -> float:
        began = caching.metric(self._pair, "isthmus_cache_flights_total")
        return began + caching.metric(self._pair, "isthmus_cache_flights_joined_total")


def workers(pair: Pair) -> list[int]:
    """The process ids of the workers."""
    return sorted(pid for pid, line in pair.gateway.children().items() if "isthmusd.worker" in line)


def calls(pair: Pair) -> dict[int, float]:
    """How many calls that may be cached have ended in each worker."""
    found: dict[int, float] = {}
    for pid in workers(pair):
        file = _metrics(pid) / f"counter_{pid}.db"
        values = _values(file) if file.exists() else []
        found[pid] = sum(value for key, value in values if key.startswith('["isthmus_cache_calls"'))
    return found


def _values(file: Path) -> list[tuple[str, float]]:
    """The names and values in a file of metrics."""
    read: Any = MmapedDict.read_all_values_from_file  # pyright: ignore[reportUnknownVariableType] - untyped upstream
    return [(key, value) for key, value, *_ in read(str(file))]


def _metrics(pid: int) -> Path:
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(Path(each.partition(b"=")[2].decode()) for each in environ if each.startswith(b"PROMETHEUS_MULTIPROC"))


def owner(pair: Pair) -> int:
    """The one worker that is connected to the provider."""
    (found,) = {pid for pid in workers(pair) if _sockets(pid) & _connected_to(pair.provider.port)}
    return found


def _connected_to(port: int) -> set[str]:
    """The inodes of this machine's sockets that are connected to a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {line[9] for line in lines if line[2].endswith(f":{port:04X}") and line[3] == "01"}


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(each.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


@contextmanager
def stopped(pid: int) -> Generator[None]:
    """Let a process stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def memory_of(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def within(limit_s: float, awaited: Awaitable[Thing]) -> Thing:
    """Wait so long, and no longer."""
    async with asyncio.timeout(limit_s):
        return await awaited


async def read_until(exchange: Exchange, mark: bytes | None) -> None:
    """Read an answer's head and its body up to a mark; None: nothing at all."""
    if mark is not None:
        await exchange.head()
        await exchange.until(mark)
