"""A small world for the pipeline: time that stands still until everyone waits, and a journal that keeps its records.
Targets and their answers are `targets.py`'s."""

from __future__ import annotations

import asyncio
import hashlib
import selectors
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from isthmusd.core.call import Call, Stamp
from isthmusd.core.headers import Headers
from isthmusd.core.record import Record
from isthmusd.core.request import Arrival, Operation, Surface
from isthmusd.pipeline.callers import Callers, Identification
from isthmusd.pipeline.identify import Identifier
from isthmusd.pipeline.options import PipelineOptions

from tests.fakes.callers import identification

Result = TypeVar("Result")
START = 1_700_000_000.0


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting it moves the clock to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everyone waits, and nothing will ever happen")
        if not ready:
            self.now += timeout or 0.0
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def play(scene: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in time that jumps from timer to timer: hours pass at once, and exactly."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(scene)


@dataclass(slots=True)
class FakeClock:
    """The loop's time where one runs; held still elsewhere."""

    still_at: float = 0.0
    stamp_count: int = 0

    def now(self) -> float:
        return START + self.monotonic()

    def monotonic(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return self.still_at

    def stamp(self) -> Stamp:
        self.stamp_count += 1
        return Stamp(id=f"stamp{self.stamp_count}", created_at=int(START))

    def random_bytes(self, count: int) -> bytes:
        self.stamp_count += 1
        return hashlib.shake_256(str(self.stamp_count).encode()).digest(count)


@dataclass(slots=True)
class KeptJournal:
    """Keeps what is written."""

    records: list[Record] = field(default_factory=list[Record])

    def write(self, record: Record) -> None:
        self.records.append(record)

    @property
    def only(self) -> Record:
        assert len(self.records) == 1
        return self.records[0]


@dataclass(slots=True)
class ShownCalls:
    """Counts what runs, and how much ran at once at most."""

    now: int = 0
    most: int = 0

    def opened(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def closed(self) -> None:
        self.now -= 1


def headers_of(**named: str | list[str]) -> Headers:
    """Headers by Python names: `x_api_key` is `x-api-key`."""
    return {
        name.replace("_", "-"): list(value) if isinstance(value, list) else [value] for name, value in named.items()
    }


def arrival_of(headers: Mapping[str, Any] | None = None, **facts: Any) -> Arrival:
    """A chat call over HTTP, unless told otherwise."""
    given = {
        "operation": Operation.CHAT,
        "surface": Surface.OPENAI,
        "dialect": "openai",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": headers or {},
        "started_at": START,
    } | facts
    return Arrival(**given)


def identifier_of(options: PipelineOptions, clock: FakeClock, means: Identification | None = None) -> Identifier:
    """An identifier that knows no keys, unless told of some."""
    return Identifier(options, clock, Callers(options, clock, means or identification()))


def identified(identifier: Identifier, arrival: Arrival) -> Call:
    """Identify where no loop runs: nothing that `KnownCallers` does waits."""
    try:
        identifier.identify(arrival, lambda principal: None).send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for something")
