"""The typed embedding service. The OpenAI surface of the same operation is `rpc/openai.py`."""

from __future__ import annotations

from isthmus.v1 import embedding_pb2

from isthmusd.core.request import Operation
from isthmusd.rpc.call import Context
from isthmusd.rpc.typed import TypedCalls


class EmbeddingServicer:
    """Implements `isthmus.v1.EmbeddingService`: a method for each of its methods."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def CreateEmbedding(
        self, request: embedding_pb2.EmbeddingRequest, context: Context
    ) -> embedding_pb2.EmbeddingResponse:
        """Answer with vectors."""
        return await self._calls.whole(context, Operation.EMBEDDING, request)
