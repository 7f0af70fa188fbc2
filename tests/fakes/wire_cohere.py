"""Answers as Cohere's v2 chat and embed write them. What they are asked is `wire_cohere_asked.py`.

Source: https://docs.cohere.com/reference/chat, https://docs.cohere.com/docs/streaming, .../reference/embed
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tests.fakes.answers import Answer
from tests.fakes.received import Received
from tests.fakes.wire_cohere_asked import asked_of
from tests.fakes.wire_turn import Asked, Block, Json, Problem, Turn, body, counts, streamed

FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR_TOXIC"}


class CohereWire:
    """Cohere's side of the socket."""

    def whole(self, turn: Turn) -> Answer:
        content = [_content(block, block.text) for block in turn.blocks if block.kind in ("text", "thinking")]
        calls = [_call(block, block.text) for block in turn.blocks if block.kind == "call"]
        message: Json = {"role": "assistant"} | ({"content": content} if content else {})
        message |= {"tool_calls": calls} if calls else {}
        answer = {"id": turn.id, "message": message, "finish_reason": FINISH[turn.finish or "stop"]}
        usage = {} if turn.usage is None else {"usage": _usage(turn)}
        return body(msgspec.json.encode(answer | usage))

    def stream(self, turn: Turn) -> Answer:
        return streamed(turn, list(pieces(turn)))

    def problem(self, problem: Problem) -> Answer:
        answer = {"id": "req-fake", "message": problem.message}
        return body(msgspec.json.encode(answer), problem.status, problem.headers)

    def embedding(self, model: str, vectors: list[list[float]], tokens: int) -> Answer:
        del model
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
        answer = {"id": "e-1", "embeddings": {"float": vectors}, "meta": meta, "response_type": "embeddings_by_type"}
        return body(msgspec.json.encode(answer))

    def asked(self, received: Received) -> Asked:
        return asked_of(received)


def sse(event: Json) -> bytes:
    """Write one event, which is named twice."""
    return b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"


def pieces(turn: Turn) -> Iterator[bytes]:
    """Write a stream."""
    start = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
    if turn.says_something:
        yield sse({"type": "message-start", "id": turn.id, "delta": start})
    calls = 0
    for index, block in enumerate(turn.blocks):
        complete = turn.finish is not None or index < len(turn.blocks) - 1
        place = calls if block.kind == "call" else index
        calls += block.kind == "call"
        yield from map(sse, _block_events(place, block, complete=complete))
    match turn.trouble:
        case "error":
            failed = {"finish_reason": "ERROR", "error": turn.says}
            yield sse({"type": "message-end", "delta": failed})
            return
        case "garbage":
            yield b'event: content-delta\ndata: {"type": oops\n\n'
            return
        case _:
            pass
    if turn.finish is not None and turn.ends:
        usage = {} if turn.usage is None else {"usage": _usage(turn)}
        yield sse({"type": "message-end", "delta": {"finish_reason": FINISH[turn.finish], **usage}})
    for block in turn.after:
        yield from map(sse, _block_events(len(turn.blocks), block, complete=True))


def _usage(turn: Turn) -> Json:
    prompt, completion, cached, _, _ = counts(turn.usage)
    counted = {"input_tokens": prompt, "output_tokens": completion}
    return {"billed_units": counted, "tokens": counted} | ({"cached_tokens": cached} if cached else {})


def _content(block: Block, text: str) -> Json:
    return {"type": block.kind, block.kind: text}


def _call(block: Block, arguments: str) -> Json:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _block_events(index: int, block: Block, *, complete: bool) -> Iterator[Json]:
    if block.kind == "call":
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": _call(block, "")}}}
        for delta in block.deltas:
            piece = {"message": {"tool_calls": {"function": {"arguments": delta}}}}
            yield {"type": "tool-call-delta", "index": index, "delta": piece}
        if complete:
            yield {"type": "tool-call-end", "index": index}
        return
    yield {"type": "content-start", "index": index, "delta": {"message": {"content": _content(block, "")}}}
    for delta in block.deltas:
        yield {"type": "content-delta", "index": index, "delta": {"message": {"content": {block.kind: delta}}}}
    if complete:
        yield {"type": "content-end", "index": index}
