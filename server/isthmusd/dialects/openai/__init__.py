"""OpenAI's format: chat, completions, embeddings through the hub; moderations and responses as they are."""

from isthmusd.dialects.openai.halves import CALLED, IDENTITY, SERVED

__all__ = ["CALLED", "IDENTITY", "SERVED"]
