"""What a chat and a completion share when a kept stream is put together to a whole answer. Their own steps are
`whole_chat.py`'s and `whole_completion.py`'s. The hub is not needed for it: our messages say all that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeVar

from isthmus.v1.stream_pb2 import RawDelta, StreamStart
from isthmus.v1.usage_pb2 import Usage

from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.deltas import fold
from isthmusd.core.errors import UnsupportedFeature
from isthmusd.dialects.isthmus.fields import join, present, split

Choice = TypeVar("Choice")


def unsaid() -> UnsupportedFeature:
    """Give the error for what has no words in the other form."""
    return UnsupportedFeature("This answer cannot be given in another form.")


def members_of(text: str) -> Extra:
    """Split what an `extra_json` of ours holds. Raises what `NOT_JSON` lists."""
    return split(text) if text else ()


@dataclass(slots=True)
class Members:
    """Members that come in pieces; what came once stays as it was written."""

    growing: Collection[str] = ()
    """Names of those that are texts to be joined, beside those that are everywhere."""
    pieces: dict[str, list[JsonText]] = field(default_factory=dict[str, list[JsonText]])

    def add(self, extra: Extra) -> None:
        """Take the next pieces."""
        for name, text in extra:
            self.pieces.setdefault(name, []).append(text)

    def take(self, name: str) -> Extra:
        """Give a member and leave it out from now on; none if it did not come."""
        pieces = self.pieces.pop(name, None)
        return () if pieces is None else ((name, self._folded(name, pieces)),)

    def extra(self) -> Extra:
        """Give the members."""
        return tuple((name, self._folded(name, pieces)) for name, pieces in self.pieces.items())

    def _folded(self, name: str, pieces: list[JsonText]) -> JsonText:
        return fold(pieces, "text" if name in self.growing else name)


@dataclass(slots=True)
class Top:
    """What is said of the answer, not of its choices."""

    start: StreamStart = field(default_factory=StreamStart)
    usage: Usage | None = None
    late: Members = field(default_factory=Members)

    def add_raw(self, raw: RawDelta) -> None:
        """Take members that came after the start."""
        self.late.add(split(raw.json))

    def fields(self, names: Collection[str], *more: Extra) -> dict[str, Any]:
        """Give the fields of the whole answer, among them those that both forms have under one of these names."""
        start = self.start
        late = dict(self.late.extra())
        extra = tuple((name, late.pop(name, text)) for name, text in members_of(start.extra_json))
        return {
            "id": start.id,
            "model": start.model,
            "provider": start.provider,
            "usage": self.usage,
            "extra_json": join((*extra, *late.items(), *(member for each in more for member in each))),
            **present(start, names),
        }


def gathered(
    chunks: Iterable[Any], steps: Mapping[str, Callable[[Choice, Any], None]], begun: Callable[[], Choice]
) -> tuple[Top, list[tuple[int, Choice]]]:
    """Take all events of a stream; give what they say of the answer, and its choices by their index.

    `steps` names what a choice does with each kind of event that is its own. Raises UnsupportedFeature for a kind of
    another version, and what `UNWRITABLE` lists.
    """
    top = Top()
    choices: dict[int, Choice] = {}
    for chunk in chunks:
        for event in chunk.events:
            match event.WhichOneof("event"):
                case None:
                    raise unsaid()
                case "start":
                    top.start = event.start
                case "usage":
                    top.usage = event.usage
                case "raw_json" if not event.raw_json.HasField("choice"):
                    top.add_raw(event.raw_json)
                case kind:
                    step = getattr(event, kind)
                    choice = choices.get(step.choice)
                    if choice is None:
                        choice = choices[step.choice] = begun()
                    steps[kind](choice, step)
    return top, sorted(choices.items(), key=itemgetter(0))
