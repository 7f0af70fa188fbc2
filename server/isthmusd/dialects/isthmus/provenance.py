"""Puts the provider's name into answers. The hub does not know it; who answered is known only after the attempts."""

from __future__ import annotations

from isthmus.v1.chat_pb2 import ChatResponse
from isthmus.v1.completion_pb2 import CompletionResponse
from isthmus.v1.embedding_pb2 import EmbeddingResponse

from isthmusd.dialects.isthmus.steps import Chunk


def name_provider(answer: ChatResponse | CompletionResponse | EmbeddingResponse, provider: str) -> None:
    """Name the provider of a whole answer."""
    answer.provider = provider


def name_provider_of_stream(chunk: Chunk, provider: str) -> None:
    """Name the provider of a stream in its first chunk, if the stream's start is there."""
    for event in chunk.events:
        if event.WhichOneof("event") == "start":
            event.start.provider = provider
