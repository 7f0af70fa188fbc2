"""The smallest typed requests, and what comes of typed calls. For requests with everything in them see the corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from isthmus.v1 import chat_pb2, chat_pb2_grpc

from tests.conformance.outcome import Fault
from tests.conformance.over_grpc import fault

LIMIT_S = 30.0


def chat_request(model: str = "ok", text: str = "Hi") -> chat_pb2.ChatRequest:
    message = chat_pb2.Message(role="user", parts=[chat_pb2.Part(text=text)])
    return chat_pb2.ChatRequest(model=model, messages=[message])


def chat_stream(channel: grpc.Channel, model: str = "ok", timeout: float | None = LIMIT_S) -> Any:
    """Begin a streamed chat call."""
    return chat_pb2_grpc.ChatServiceStub(channel).StreamChatCompletion(chat_request(model), timeout=timeout)


def chat_whole(channel: grpc.Channel, model: str = "ok", timeout: float | None = LIMIT_S) -> chat_pb2.ChatResponse:
    """Make a whole chat call."""
    answer: chat_pb2.ChatResponse = chat_pb2_grpc.ChatServiceStub(channel).CreateChatCompletion(
        chat_request(model), timeout=timeout
    )
    return answer


def text_of(chunks: Any) -> str:
    """The text of all chunks."""
    return "".join(event.text_delta.text for chunk in chunks for event in chunk.events)


def failure_of(call: Callable[[], object]) -> Fault:
    """Make a call that must fail, and read how it did."""
    try:
        call()
    except grpc.RpcError as error:
        return fault(error)
    raise AssertionError("the call did not fail")
