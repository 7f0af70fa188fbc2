"""Answers as Google's generateContent and embedContent write them. What they are asked is `wire_gemini_asked.py`.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tests.fakes.answers import Answer
from tests.fakes.received import Received
from tests.fakes.wire_gemini_asked import asked_of
from tests.fakes.wire_turn import Asked, Block, Json, Problem, Turn, body, counts, streamed

FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
"""Google has no word of its own for calls."""
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


class GeminiWire:
    """Google's side of the socket."""

    def whole(self, turn: Turn) -> Answer:
        return body(msgspec.json.encode(_answer(turn, [_part(block, block.text) for block in turn.blocks], last=True)))

    def stream(self, turn: Turn) -> Answer:
        return streamed(turn, list(pieces(turn)))

    def problem(self, problem: Problem) -> Answer:
        """The seconds to wait are in the body; there is no header."""
        seconds = dict(problem.headers).get("retry-after")
        details = [] if seconds is None else [{"@type": RETRY, "retryDelay": f"{seconds}s"}]
        headers = tuple(pair for pair in problem.headers if pair[0] != "retry-after")
        return body(msgspec.json.encode(_error(problem.status, problem.message, details)), problem.status, headers)

    def embedding(self, model: str, vectors: list[list[float]], tokens: int) -> Answer:
        del model, tokens  # the Gemini API tells neither
        values = [{"values": vector} for vector in vectors]
        return body(msgspec.json.encode({"embedding": values[0]} if len(values) == 1 else {"embeddings": values}))

    def asked(self, received: Received) -> Asked:
        return asked_of(received)


def sse(value: Json) -> bytes:
    """Write one event."""
    return b"data: " + msgspec.json.encode(value) + b"\r\n\r\n"


def pieces(turn: Turn) -> Iterator[bytes]:
    """Write a stream: each event is an answer of its own, and the last has the finish reason."""
    complete = turn.blocks if turn.finish is not None else [block for block in turn.blocks if block.kind != "call"]
    parts = [
        _part(block, text) for block in complete for text in ((block.text,) if block.kind == "call" else block.deltas)
    ]
    finishes = turn.finish is not None and turn.trouble is None
    for number, part in enumerate(parts):
        last = finishes and number == len(parts) - 1 and number > 0
        yield sse(_answer(turn, [part], last=last))
    if finishes and len(parts) < 2:
        yield sse(_answer(turn, [], last=True))
    match turn.trouble:
        case "error":
            yield sse(_error(503, turn.says, []))
        case "garbage":
            yield b'data: {"candidates": oops\r\n\r\n'
        case _:
            pass


def _answer(turn: Turn, parts: list[Json], *, last: bool) -> Json:
    prompt, completion, cached, _, thoughts = counts(turn.usage)
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = FINISH[turn.finish or "stop"]
    usage: Json = {"promptTokenCount": prompt, "totalTokenCount": prompt}
    if last:
        usage |= {"candidatesTokenCount": completion - thoughts, "totalTokenCount": prompt + completion}
        usage |= {"cachedContentTokenCount": cached} if cached else {}
        usage |= {"thoughtsTokenCount": thoughts} if thoughts else {}
    answer = {"candidates": [candidate], "modelVersion": turn.model, "responseId": turn.id}
    return answer | ({"usageMetadata": usage} if turn.usage is not None else {})


def _part(block: Block, text: str) -> Json:
    signed = {} if block.signature is None else {"thoughtSignature": block.signature}
    match block.kind:
        case "text":
            return {"text": text, **signed}
        case "thinking":
            return {"text": text, "thought": True, **signed}
        case "call":
            call = {"id": block.id, "name": block.name, "args": msgspec.Raw(text.encode() or b"{}")}
            return {"functionCall": {name: value for name, value in call.items() if value != ""}, **signed}
        case kind:
            raise AssertionError(f"Google has no {kind}")


def _error(status: int, message: str, details: list[Json]) -> Json:
    return {"error": {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN"),
                      **({"details": details} if details else {})}}  # fmt: skip
