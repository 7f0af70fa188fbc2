"""The typed chat service. The OpenAI surface of the same operation is `rpc/openai.py`."""

from __future__ import annotations

from isthmus.v1 import chat_pb2

from isthmusd.core.request import Operation
from isthmusd.rpc.call import Context
from isthmusd.rpc.typed import TypedCalls


class ChatServicer:
    """Implements `isthmus.v1.ChatService`: a method for each of its methods."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def CreateChatCompletion(self, request: chat_pb2.ChatRequest, context: Context) -> chat_pb2.ChatResponse:
        """Answer whole."""
        return await self._calls.whole(context, Operation.CHAT, request)

    async def StreamChatCompletion(self, request: chat_pb2.ChatRequest, context: Context) -> None:
        """Answer event by event."""
        await self._calls.stream(context, Operation.CHAT, request)
