"""One answer of a model and one question to it, in words that favour no provider. The `wire_*` modules beside it write
answers as a provider does and read what providers are asked; they share no code with the gateway, so that they can
disagree with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.fakes.answers import CUT, Answer, Step
from tests.fakes.received import Received

Json = dict[str, Any]
JSON = "application/json"
SSE = "text/event-stream"
BREATH_S = 0.1
"""Lets what was written leave the socket: a reset throws away what waits in its buffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One piece of an answer; in a stream it comes in `deltas`, in a whole answer it is their sum."""

    kind: str
    """`text`, `thinking`, `call`, `refusal`."""
    deltas: tuple[str, ...]
    id: str = ""
    name: str = ""
    """Of a call, whose arguments are the deltas."""
    signature: str | None = None
    """Of thinking; on a call of Gemini's, what it calls a thought signature."""

    @property
    def text(self) -> str:
        return "".join(self.deltas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a model answers."""

    id: str = "answer-1"
    model: str = "model-1"
    created: int = 1741570283
    blocks: tuple[Block, ...] = ()
    finish: str | None = "stop"
    """OpenAI's word; None: it was never said."""
    usage: Json | None = None
    """OpenAI's object."""
    ends: bool = True
    """False: what the provider writes last is missing."""
    trouble: str | None = None
    """What comes in a stream in place of its end: `error`, `garbage`, `cut`."""
    says: str = ""
    """The message of such an error."""
    after: tuple[Block, ...] = ()
    """What comes after the end."""

    @property
    def says_something(self) -> bool:
        """Whether the answer begins at all."""
        return bool(self.blocks) or self.finish is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error that a provider answers, with OpenAI's status."""

    status: int
    message: str
    kind: str = ""
    code: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class Asked:
    """What a provider was asked. Turns of one role in a row are one: some formats cannot say it otherwise."""

    model: str = ""
    stream: bool = False
    system: list[str] = field(default_factory=list[str])
    turns: list[tuple[str, list[tuple[Any, ...]]]] = field(default_factory=list[tuple[str, list[tuple[Any, ...]]]])
    """(role, pieces): ("text", text), ("image", kind, data), ("file", kind, data), ("call", id, name, arguments),
    ("result", call id, text), ("thinking", text, signature), ..."""
    tools: dict[str, Json] = field(default_factory=dict[str, Json])
    """Name to what is known of it: `description`, `parameters`, `strict`."""
    places: dict[str, int] = field(default_factory=dict[str, int])
    """Name of a tool to its place among all tools, where that is known."""
    choice: str | None = None
    """`auto`, `none`, `required`, or `=` and a tool's name."""
    knobs: Json = field(default_factory=dict[str, Any])
    """OpenAI's name to value."""
    schema: Json | None = None
    """Of the answer; empty: any JSON."""
    inputs: list[Any] = field(default_factory=list[Any])
    """What shall be embedded."""

    def allow(self, names: list[str]) -> None:
        """Leave out all tools but these."""
        self.tools = {name: tool for name, tool in self.tools.items() if name in names}

    def add(self, role: str, *pieces: tuple[Any, ...]) -> None:
        """Append pieces; empty texts say nothing."""
        kept = [piece for piece in pieces if piece != ("text", "")]
        if not kept:
            return
        if self.turns and self.turns[-1][0] == role:
            self.turns[-1][1].extend(kept)
        else:
            self.turns.append((role, kept))


class Wire(Protocol):
    """One provider's wire format, from its own side of the socket."""

    def whole(self, turn: Turn) -> Answer: ...

    def stream(self, turn: Turn) -> Answer: ...

    def problem(self, problem: Problem) -> Answer: ...

    def embedding(self, model: str, vectors: list[list[float]], tokens: int) -> Answer: ...

    def asked(self, received: Received) -> Asked: ...


def body(content: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A whole JSON answer."""
    return Answer(status=status, headers=(("content-type", JSON), *headers), pieces=(content,))


def streamed(turn: Turn, pieces: list[bytes], content_type: str = SSE, **headers: str) -> Answer:
    """A chunked answer that breaks if the turn says so."""
    steps: list[Step] = [*pieces, *((BREATH_S, CUT) if turn.trouble == "cut" else ())]
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(headers=(("content-type", content_type), *named), pieces=tuple(steps), framing="chunked")


def renamed(given: Json, names: dict[str, str]) -> Json:
    """Give the members that a table knows, under the names that it has for them."""
    return {ours: given[theirs] for theirs, ours in names.items() if given.get(theirs) is not None}


def counts(usage: Json | None) -> tuple[int, int, int, int, int]:
    """Give prompt, completion, cached, cache-write and reasoning tokens of OpenAI's usage."""
    given = usage or {}
    prompt, completion = given.get("prompt_tokens_details") or {}, given.get("completion_tokens_details") or {}
    return (
        given.get("prompt_tokens", 0),
        given.get("completion_tokens", 0),
        prompt.get("cached_tokens") or 0,
        prompt.get("cache_write_tokens") or 0,
        completion.get("reasoning_tokens") or 0,
    )
