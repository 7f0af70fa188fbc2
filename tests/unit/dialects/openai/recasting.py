"""Kept answers for tests, their forms, and what OpenAI's own client library makes of a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from isthmusd.core.entry import Form
from isthmusd.core.request import Operation
from isthmusd.core.usage import Usage
from isthmusd.dialects.registry import kept
from openai import NOT_GIVEN
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tests.unit.dialects.openai.values import STAMP

WHOLE = Form(stream=False)
PLAIN = Form(stream=True)
COUNTED = Form(stream=True, include_usage=True)
USAGE = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
TOLD = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DONE = b"data: [DONE]\n\n"
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "fp"}


def recast(
    operation: Operation, pieces: Sequence[bytes], was: Form, wanted: Form, usage: Usage | None = None
) -> list[bytes]:
    return kept("openai", operation).recast(pieces, was, wanted, STAMP, usage=usage)


def whole_of(stream: bytes, operation: Operation = Operation.CHAT, usage: Usage | None = None) -> Any:
    (whole,) = recast(operation, [stream], PLAIN, WHOLE, usage)
    return json.loads(whole)


def stream_of(whole: Any, operation: Operation = Operation.CHAT, *, counted: bool = False) -> list[Any]:
    """Give the data of the events of a whole answer's stream."""
    pieces = recast(operation, [json.dumps(whole).encode()], WHOLE, COUNTED if counted else PLAIN)
    return data_of(b"".join(pieces))


def data_of(stream: bytes) -> list[Any]:
    lines = [line.partition(b":") for line in stream.splitlines()]
    found = [value.strip() for name, _, value in lines if name == b"data"]
    return [data.decode() if data == b"[DONE]" else json.loads(data) for data in found]


def sse(*chunks: Any) -> bytes:
    """Write chunks as a stream with its end; a dict without choices is a choice's delta."""
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + DONE


def chunk(delta: Any = None, **choice: Any) -> dict[str, Any]:
    """Give a chunk of one choice."""
    said = {"index": 0, "delta": {} if delta is None else delta, "logprobs": None, "finish_reason": None}
    return {**HEAD, "choices": [said | choice]}


END = chunk(finish_reason="stop")


def accumulated(stream: bytes) -> Any:
    """Give the chat completion that OpenAI's client library puts together."""
    state = ChatCompletionStreamState()
    for data in data_of(stream):
        if data != "[DONE]":
            state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=data))
    return state.current_completion_snapshot.model_dump(mode="json", exclude_unset=True)


def completed(stream: bytes) -> Any:
    """Give the response that OpenAI's client library puts together: its last event's, and from the pieces its own."""
    state = ResponseStreamState(input_tools=NOT_GIVEN, text_format=NOT_GIVEN)
    last: Any = None
    for data in data_of(stream):
        for event in state.handle_event(construct_type(type_=ResponseStreamEvent, value=data)):
            last = event
    return json.loads(last.response.model_dump_json(exclude_unset=True, by_alias=True, warnings=False))
