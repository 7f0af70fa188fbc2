"""Answers as Bedrock's Converse, ConverseStream and InvokeModel (for Cohere's embeddings) write them. What they are
asked is `wire_bedrock_asked.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, ..._ConverseStream.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import msgspec

from tests.fakes.answers import Answer
from tests.fakes.received import Received
from tests.fakes.wire_bedrock_asked import asked_of
from tests.fakes.wire_eventstream import CONTENT_TYPE, event, exception, spoiled
from tests.fakes.wire_turn import Asked, Block, Json, Problem, Turn, body, counts, streamed

FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
}
KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
STATUS = {401: 403, 422: 400}
"""AWS's own status where it has no other."""
REQUEST_ID = (("x-amzn-requestid", "req-fake"),)


class BedrockWire:
    """Bedrock's side of the socket."""

    def whole(self, turn: Turn) -> Answer:
        answer = {
            "metrics": {"latencyMs": 12},
            "output": {"message": {"content": [_block(block) for block in turn.blocks], "role": "assistant"}},
            "stopReason": FINISH[turn.finish or "stop"],
        }
        usage = {} if turn.usage is None else {"usage": _usage(turn)}
        return body(msgspec.json.encode(answer | usage), headers=REQUEST_ID)

    def stream(self, turn: Turn) -> Answer:
        return streamed(turn, list(pieces(turn)), CONTENT_TYPE, x_amzn_requestid="req-fake")

    def problem(self, problem: Problem) -> Answer:
        status = STATUS.get(problem.status, problem.status)
        kind = KINDS.get(status, "ValidationException" if status < 500 else "InternalServerException")
        source = "http://internal.amazon.com/coral/com.amazon.bedrock/"
        headers = (*problem.headers, ("x-amzn-errortype", f"{kind}:{source}"), *REQUEST_ID)
        return body(msgspec.json.encode({"message": problem.message}), status, headers)

    def embedding(self, model: str, vectors: list[list[float]], tokens: int) -> Answer:
        del model
        answer = {"embeddings": {"float": vectors}, "id": "e-1", "response_type": "embeddings_by_type"}
        headers = (("x-amzn-bedrock-input-token-count", str(tokens)), *REQUEST_ID)
        return body(msgspec.json.encode(answer), headers=headers)

    def asked(self, received: Received) -> Asked:
        return asked_of(received)


def pieces(turn: Turn) -> Iterator[bytes]:
    """Write a stream."""
    if turn.says_something:
        yield event("messageStart", {"p": "abcdef", "role": "assistant"})
    for index, block in enumerate(turn.blocks):
        complete = turn.finish is not None or index < len(turn.blocks) - 1
        yield from _block_events(index, block, complete=complete)
    match turn.trouble:
        case "error":
            yield exception("serviceUnavailableException", turn.says)
            return
        case "garbage":
            yield spoiled(event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "spoiled"}}))
            return
        case _:
            pass
    if turn.finish is not None:
        yield event("messageStop", {"p": "abc", "stopReason": FINISH[turn.finish]})
    if turn.ends:
        usage = {} if turn.usage is None else {"usage": _usage(turn)}
        yield event("metadata", {"metrics": {"latencyMs": 12}, "p": "abcd", **usage})
    for block in turn.after:
        yield from _block_events(len(turn.blocks), block, complete=True)


def _usage(turn: Turn) -> Json:
    prompt, completion, cached, written, _ = counts(turn.usage)
    usage = {
        "inputTokens": prompt - cached - written,
        "outputTokens": completion,
        "totalTokens": prompt + completion,
        "serverToolUsage": {},
    }
    cache = {"cacheReadInputTokens": cached, "cacheWriteInputTokens": written}
    return usage | {name: count for name, count in cache.items() if count}


def _block(block: Block) -> Json:
    match block.kind:
        case "text":
            return {"text": block.text}
        case "thinking":
            signed = {} if block.signature is None else {"signature": block.signature}
            return {"reasoningContent": {"reasoningText": {"text": block.text, **signed}}}
        case "redacted":
            return {"reasoningContent": {"redactedContent": base64.b64encode(block.text.encode()).decode()}}
        case "call":
            given = msgspec.Raw(block.text.encode() or b"{}")
            return {"toolUse": {"input": given, "name": block.name, "toolUseId": block.id}}
        case kind:
            raise AssertionError(f"Bedrock has no {kind}")


def _block_events(index: int, block: Block, *, complete: bool) -> Iterator[bytes]:
    if block.kind == "call":
        start = {"toolUse": {"name": block.name, "toolUseId": block.id}}
        yield event("contentBlockStart", {"contentBlockIndex": index, "p": "abc", "start": start})
    for delta in block.deltas:
        yield event("contentBlockDelta", {"contentBlockIndex": index, "delta": _delta(block.kind, delta), "p": "ab"})
    if block.kind == "thinking" and block.signature is not None:
        signed = {"reasoningContent": {"signature": block.signature}}
        yield event("contentBlockDelta", {"contentBlockIndex": index, "delta": signed, "p": "abcd"})
    if complete:
        yield event("contentBlockStop", {"contentBlockIndex": index, "p": "abcdefgh"})


def _delta(kind: str, text: str) -> Json:
    match kind:
        case "text":
            return {"text": text}
        case "thinking":
            return {"reasoningContent": {"text": text}}
        case "redacted":
            return {"reasoningContent": {"redactedContent": base64.b64encode(text.encode()).decode()}}
        case "call":
            return {"toolUse": {"input": text}}
        case other:
            raise AssertionError(f"Bedrock has no {other}")
