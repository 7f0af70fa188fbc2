"""The typed completion service. The OpenAI surface of the same operation is `rpc/openai.py`."""

from __future__ import annotations

from isthmus.v1 import completion_pb2

from isthmusd.core.request import Operation
from isthmusd.rpc.call import Context
from isthmusd.rpc.typed import TypedCalls


class CompletionServicer:
    """Implements `isthmus.v1.CompletionService`: a method for each of its methods."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def CreateCompletion(
        self, request: completion_pb2.CompletionRequest, context: Context
    ) -> completion_pb2.CompletionResponse:
        """Answer whole."""
        return await self._calls.whole(context, Operation.COMPLETION, request)

    async def StreamCompletion(self, request: completion_pb2.CompletionRequest, context: Context) -> None:
        """Answer event by event."""
        await self._calls.stream(context, Operation.COMPLETION, request)
