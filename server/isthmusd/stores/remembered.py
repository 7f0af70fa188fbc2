"""What a worker remembers of one kind of thing in the store, and who is just reading one. When to read and when to
believe is `directory.py`'s."""

from __future__ import annotations

import math
from asyncio import Task
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Literal, TypeVar

Value = TypeVar("Value")


class Unknown(Enum):
    """Told apart from None, which says that the store has no such thing."""

    UNKNOWN = 0


UNKNOWN: Literal[Unknown.UNKNOWN] = Unknown.UNKNOWN


@dataclass(slots=True, eq=False)
class Flight(Generic[Value]):
    """One read that all who miss the same thing wait for."""

    task: Task[Value | None]
    needs: float = -math.inf
    """The generation that what is read must at least be of: a change was told while the read was under way."""


@dataclass(slots=True, eq=False)
class Remembered(Generic[Value]):
    """The things that were asked for last. What is absent is remembered apart: it must not push out what is there."""

    most: int
    most_absent: int
    """0: an absence is never remembered, because nobody tells of what is new."""
    flights: dict[str, Flight[Value]] = field(default_factory=dict[str, Flight[Value]])
    _there: OrderedDict[str, Value] = field(default_factory=OrderedDict[str, Value])
    _absent: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])

    def find(self, name: str) -> Value | Literal[Unknown.UNKNOWN] | None:
        """Give what is remembered under a name; None if it is remembered that nothing is."""
        value = self._there.get(name)
        if value is not None:
            self._there.move_to_end(name)
            return value
        if name in self._absent:
            self._absent.move_to_end(name)
            return None
        return UNKNOWN

    def put(self, name: str, value: Value | None) -> None:
        """Remember what was read."""
        if value is not None:
            self._there[name] = value
            if len(self._there) > self.most:
                self._there.popitem(last=False)
        elif self.most_absent:
            self._absent[name] = None
            if len(self._absent) > self.most_absent:
                self._absent.popitem(last=False)

    def forget(self, name: str, generation: float) -> None:
        """Forget one thing, and let who reads it now read again what is older than a generation."""
        self._there.pop(name, None)
        self._absent.pop(name, None)
        flight = self.flights.get(name)
        if flight is not None:
            flight.needs = generation

    def forget_all(self) -> None:
        """Forget everything, and let all who read now read again."""
        self._there.clear()
        self._absent.clear()
        for flight in self.flights.values():
            flight.needs = math.inf
