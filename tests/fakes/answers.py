"""What the fake provider can say: answers as steps, and makers for the usual ones. Which fault a model's name chooses
is `tests/fakes/faults.py`; nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

import msgspec

WORDS = ("Hel", "lo, ", "wörld 🌍")
TEXT = "".join(WORDS)


class Fault(Enum):
    CUT = "cut"
    """Reset the connection."""
    STALL = "stall"
    """Say nothing until the client leaves."""


CUT, STALL = Fault.CUT, Fault.STALL
Step = bytes | float | Fault
"""Bytes to write at once, seconds to wait, or a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    headers: tuple[tuple[str, str | bytes], ...] = ()
    pieces: tuple[Step, ...] = ()
    framing: str = "length"
    """`length` (of all the bytes), `chunked` (a chunk per piece), `close` (until the end), `raw` (no head either)."""
    delay_s: float = 0.0
    """Before the first byte."""
    closes: bool = False
    """Close the connection after the answer."""

    def steps(self, method: str = "POST") -> Iterator[Step]:
        if self.delay_s:
            yield self.delay_s
        if self.framing != "raw":
            yield self._head()
        for piece in self.pieces if method != "HEAD" else ():
            chunked = self.framing == "chunked" and isinstance(piece, bytes)
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        if self.framing == "chunked" and method != "HEAD":
            yield b"0\r\n\r\n"

    def _head(self) -> bytes:
        length = sum(len(piece) for piece in self.pieces if isinstance(piece, bytes))
        framing: dict[str, tuple[tuple[str, str], ...]] = {
            "length": (("content-length", str(length)),),
            "chunked": (("transfer-encoding", "chunked"),),
            "close": (("connection", "close"),),
        }
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}".encode()]
        for name, value in (*self.headers, *framing[self.framing]):
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
        return b"\r\n".join(lines) + b"\r\n\r\n"


def whole(body: Any, status: int = 200, headers: tuple[tuple[str, str | bytes], ...] = (), **rest: Any) -> Answer:
    """One body with its length; anything but bytes is written as JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = (("content-type", "application/json"), ("x-request-id", "req-fake"), *headers)
    return Answer(status=status, headers=headers, pieces=(content,), **rest)


def stream(*pieces: Step, headers: tuple[tuple[str, str | bytes], ...] = (), **rest: Any) -> Answer:
    """A chunked event stream, one chunk per piece."""
    headers = (("content-type", "text/event-stream"), ("x-request-id", "req-fake"), *headers)
    return Answer(headers=headers, pieces=pieces, framing="chunked", **rest)


def raw(*pieces: Step) -> Answer:
    """Bytes with no head: a broken server. The connection closes after them."""
    return Answer(pieces=pieces, framing="raw", closes=True)


def sse(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else msgspec.json.encode(value)) + b"\n\n"


def error(status: int, message: str, kind: str, code: str | None, *headers: tuple[str, str]) -> Answer:
    return whole({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, headers)


def chat_events(model: str, include_usage: bool = False, reasoning: str | None = None) -> list[bytes]:
    """A streamed chat answer, `[DONE]` included."""
    base: dict[str, Any] = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000}
    base |= {"model": model, "system_fingerprint": "fp_fake"} | ({"usage": None} if include_usage else {})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": reasoning}] if reasoning else []
    deltas += [{"content": word} for word in WORDS]
    events = [sse(base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    events.append(sse(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    if include_usage:
        events.append(sse(base | {"choices": [], "usage": _USAGE}))
    return [*events, sse(b"[DONE]")]


def chat_body(model: str, text: str = TEXT, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text} | more
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _USAGE,
    }


_USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
