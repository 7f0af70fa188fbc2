"""Thinking over two turns with tools: what a provider signs in the first comes back to it unchanged in the second,
though the caller knows only OpenAI's format and sends back the message that it got. Over HTTP and over gRPC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from isthmus.v1 import chat_pb2, chat_pb2_grpc, chat_stream_pb2

from tests.conformance import typed
from tests.conformance.dialects import load_dialects
from tests.conformance.talk import Talk
from tests.fakes.answers import Answer
from tests.fakes.wire_turn import Asked, Block, Turn
from tests.system.pair import Pair

pytestmark = pytest.mark.edge
USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 30,
    "total_tokens": 70,
    "completion_tokens_details": {"reasoning_tokens": 12},
}
SIGNATURE = "EqQBCkYIBRgCKkBz+/=é"
"""Of no form that anything here knows."""
HIDDEN = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
ASKED = [{"role": "user", "content": "What is 2 and 3?"}]
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "5"}
CALL = Block(kind="call", id="call_1", name="add", deltas=('{"a"', ":2}"))
THOUGHT = Block(kind="thinking", deltas=("I must ", "add."), signature=SIGNATURE)
TEXT = Block(kind="text", deltas=("Let me ", "add."))
BLOCKS: dict[str, tuple[Block, ...]] = {
    "anthropic": (THOUGHT, Block(kind="redacted", deltas=(HIDDEN,)), TEXT, CALL),
    "bedrock": (THOUGHT, Block(kind="redacted", deltas=(HIDDEN,)), TEXT, CALL),
    "gemini": (
        Block(kind="thinking", deltas=("I must ", "add.")),
        TEXT,
        Block(kind="call", id="call_1", name="add", deltas=CALL.deltas, signature=SIGNATURE),
    ),
    "cohere": (Block(kind="thinking", deltas=("I must ", "add.")), TEXT, CALL),
}
SENT: dict[str, list[tuple[Any, ...]]] = {
    "anthropic": [
        ("thinking", "I must add.", SIGNATURE),
        ("thinking", HIDDEN, None),
        ("text", "Let me add."),
        ("call", "call_1", "add", {"a": 2}),
    ],
    "gemini": [("text", "Let me add."), ("call", "call_1", "add", {"a": 2}, SIGNATURE)],
    "cohere": [("thinking", "I must add.", None), ("text", "Let me add."), ("call", "call_1", "add", {"a": 2})],
}
SENT["bedrock"] = SENT["anthropic"]
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "gemini": "gemini-3-pro-preview",
    "cohere": "command-a-reasoning-08-2025",
}


@pytest.fixture(params=load_dialects(), ids=lambda dialect: dialect.name)
def talk(request: pytest.FixtureRequest, dialect_pair: Pair) -> Talk:
    return Talk(pair=dialect_pair, dialect=request.param)


@pytest.fixture
def channel(dialect_pair: Pair) -> Iterator[grpc.Channel]:
    with dialect_pair.channel() as opened:
        yield opened


def first_answer(talk: Talk, *, stream: bool) -> Answer:
    turn = Turn(blocks=BLOCKS[talk.dialect.name], finish="tool_calls", usage=USAGE)
    return talk.dialect.wire.stream(turn) if stream else talk.dialect.wire.whole(turn)


def last_answer(talk: Talk) -> Answer:
    return talk.dialect.wire.whole(Turn(blocks=(Block(kind="text", deltas=("5.",)),), usage=USAGE))


def check_second_turn(talk: Talk, asked: Asked) -> None:
    user, assistant, told = asked.turns
    assert user == ("user", [("text", "What is 2 and 3?")])
    pieces = [piece for piece in assistant[1] if talk.dialect.name != "gemini" or piece[0] != "thinking"]
    assert pieces == SENT[talk.dialect.name]
    assert told == ("user", [("result", "call_1", "5")])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_signatures_come_back_over_http(talk: Talk, stream: bool) -> None:
    model, ask = MODELS[talk.dialect.name], {"tools": [TOOL], "reasoning_effort": "high"}
    talk.script(first_answer(talk, stream=stream))

    first = await talk.chat(model, messages=ASKED, stream=stream, **ask)

    assert first.message["reasoning_content"] == "I must add."
    assert first.message["content"] == "Let me add."
    assert first.finish == "tool_calls"

    talk.script(last_answer(talk))
    second = await talk.chat(model, messages=[*ASKED, first.message, RESULT], **ask)

    assert second.message["content"] == "5."
    lost = second.headers.get("x-isthmus-losses", "")
    assert "messages" not in lost, lost
    check_second_turn(talk, talk.asked())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_signatures_come_back_over_grpc(talk: Talk, channel: grpc.Channel, stream: bool) -> None:
    stub = chat_pb2_grpc.ChatServiceStub(channel)
    model = f"{talk.dialect.provider}/{MODELS[talk.dialect.name]}"
    request = typed.chat_request({"model": model, "messages": ASKED, "tools": [TOOL], "reasoning_effort": "high"})
    talk.script(first_answer(talk, stream=stream))

    if stream:
        message = collected(stub.StreamChatCompletion(request, timeout=30))
    else:
        message = stub.CreateChatCompletion(request, timeout=30).choices[0].message

    talk.script(last_answer(talk))
    request.messages.append(message)
    result = chat_pb2.Message(role="tool", tool_call_id="call_1", parts=[chat_pb2.Part(text="5")])
    request.messages.append(result)
    second = stub.CreateChatCompletion(request, timeout=30)

    assert second.choices[0].message.parts[0].text == "5."
    check_second_turn(talk, talk.asked())


def collected(chunks: Any) -> chat_pb2.Message:
    """Put a stream together as a typed caller does."""
    message = chat_pb2.Message(role="assistant")
    for event in (event for chunk in chunks for event in chunk.events):
        match event.WhichOneof("event"):
            case "thinking_delta":
                add_thinking(message, event.thinking_delta)
            case "text_delta":
                if not message.parts or message.parts[-1].WhichOneof("kind") != "text":
                    message.parts.add(text="")
                message.parts[-1].text += event.text_delta.text
            case "tool_call_start":
                started = event.tool_call_start
                message.tool_calls.add(id=started.id, name=started.name, extra_json=started.extra_json)
            case "tool_call_delta":
                message.tool_calls[event.tool_call_delta.index].arguments += event.tool_call_delta.arguments
            case _:
                pass
    return message


def add_thinking(message: chat_pb2.Message, delta: chat_stream_pb2.ThinkingDelta) -> None:
    """A signature closes a block; what is redacted is a block of its own."""
    parts = message.parts
    closed = not parts or parts[-1].WhichOneof("kind") != "thinking" or parts[-1].thinking.signature
    if closed or delta.redacted:
        parts.add().thinking.SetInParent()
    thinking = parts[-1].thinking
    thinking.text += delta.text
    thinking.signature += delta.signature
    thinking.redacted = delta.redacted
