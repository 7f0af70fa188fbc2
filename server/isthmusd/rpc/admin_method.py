"""One method of AdminService: what it does, and what of it the audit trail shows. Running it is `admin.py`'s."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from isthmusd.core.administration import NAME
from isthmusd.pipeline.ports import Administration

SHOWN = 128
"""Characters of a name that are shown."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method that blocks."""

    do: Callable[[Administration, Any], Message]
    names: tuple[str, ...] = ()
    """Fields of the request that say what it is about, by dotted path. None of them may hold a secret."""
    made: str | None = None
    """The field of the answer that names what it made."""

    def asked(self, name: str, request: Message) -> str:
        """Tell what is being done."""
        shown = [f"{path}={_shown(value)}" for path in self.names if (value := _at(request, path))]
        return " ".join((name, *shown))

    def done(self, answer: Message) -> str:
        """Tell what came of it; empty if nothing more is to be said."""
        return "" if self.made is None else f" made={_shown(_at(answer, self.made))}"


def _at(message: Message, path: str) -> str:
    value: Any = message
    for step in path.split("."):
        value = getattr(value, step)
    return value


def _shown(value: str) -> str:
    """Write a name as it is, and what is none so that it cannot pass for several."""
    return value if NAME.fullmatch(value) else repr(value[:SHOWN])
