"""Answers as Anthropic's Messages API writes them. What it is asked is `wire_anthropic_asked.py`.

Source: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.fakes.answers import Answer
from tests.fakes.received import Received
from tests.fakes.wire_anthropic_asked import asked_of
from tests.fakes.wire_turn import Asked, Block, Json, Problem, Turn, body, counts, streamed

FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
STATUS = {503: 529}
"""Anthropic's own status for being overloaded."""


class AnthropicWire:
    """Anthropic's side of the socket."""

    def whole(self, turn: Turn) -> Answer:
        answer = _message(turn, [_block(block) for block in turn.blocks])
        return body(msgspec.json.encode(answer), headers=(("request-id", "req-fake"),))

    def stream(self, turn: Turn) -> Answer:
        return streamed(turn, list(pieces(turn)), request_id="req-fake")

    def problem(self, problem: Problem) -> Answer:
        status = STATUS.get(problem.status, problem.status)
        kind = KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
        error = {"type": "error", "error": {"type": kind, "message": problem.message}, "request_id": "req-fake"}
        return body(msgspec.json.encode(error), status, problem.headers)

    def embedding(self, model: str, vectors: list[list[float]], tokens: int) -> Answer:
        raise AssertionError(f"Anthropic has no embeddings: {model} {vectors} {tokens}")

    def asked(self, received: Received) -> Asked:
        return asked_of(received)


def sse(event: Json) -> bytes:
    """Write one event, which is named twice."""
    return b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


def pieces(turn: Turn) -> Iterator[bytes]:
    """Write a stream."""
    if turn.says_something:
        yield sse({"type": "message_start", "message": _message(turn, []) | {"stop_reason": None}})
        yield sse({"type": "ping"})
    for index, block in enumerate(turn.blocks):
        complete = turn.finish is not None or index < len(turn.blocks) - 1
        yield from map(sse, _block_events(index, block, complete=complete))
    match turn.trouble:
        case "error":
            yield sse({"type": "error", "error": {"type": "overloaded_error", "message": turn.says}})
            return
        case "garbage":
            yield b'event: content_block_delta\ndata: {"type": oops\n\n'
            return
        case _:
            pass
    if turn.finish is not None:
        stop = {"stop_reason": FINISH[turn.finish], "stop_sequence": None}
        _, completion, _, _, thoughts = counts(turn.usage)
        usage: Json = {"output_tokens": completion}
        usage |= {"output_tokens_details": {"thinking_tokens": thoughts}} if thoughts else {}
        yield sse({"type": "message_delta", "delta": stop, "usage": usage})
    if turn.ends:
        yield sse({"type": "message_stop"})
    for block in turn.after:
        yield from map(sse, _block_events(len(turn.blocks), block, complete=True))


def _message(turn: Turn, content: list[Json]) -> Json:
    prompt, completion, cached, written, thoughts = counts(turn.usage)
    usage: Json = {
        "input_tokens": prompt - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": completion if content else 1,
        "service_tier": "standard",
    }
    if content and thoughts:
        usage["output_tokens_details"] = {"thinking_tokens": thoughts}
    return {
        "id": turn.id,
        "type": "message",
        "role": "assistant",
        "model": turn.model,
        "content": content,
        "stop_reason": FINISH.get(turn.finish or ""),
        "stop_sequence": None,
        "usage": usage,
    }


def _block(block: Block) -> Json:
    match block.kind:
        case "text":
            return {"type": "text", "text": block.text}
        case "thinking":
            return {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
        case "redacted":
            return {"type": "redacted_thinking", "data": block.text}
        case "call":
            # As text: the spacing and the numbers of the model stay.
            given = msgspec.Raw(block.text.encode() or b"{}")
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": given}
        case kind:
            raise AssertionError(f"Anthropic has no {kind}")


DELTAS: dict[str, tuple[str, str]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
}


def _block_events(index: int, block: Block, *, complete: bool) -> Iterator[dict[str, Any]]:
    whole = _block(block) if block.kind == "redacted" else _block(Block(kind=block.kind, deltas=("",), id=block.id,
                                                                        name=block.name))  # fmt: skip
    yield {"type": "content_block_start", "index": index, "content_block": whole}
    kind, member = DELTAS.get(block.kind, ("", ""))
    for delta in block.deltas if kind else ():
        yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, member: delta}}
    if block.kind == "thinking" and block.signature is not None:
        signed = {"type": "signature_delta", "signature": block.signature}
        yield {"type": "content_block_delta", "index": index, "delta": signed}
    if complete:
        yield {"type": "content_block_stop", "index": index}
