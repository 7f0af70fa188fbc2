"""OpenAI's format: chat, completions, embeddings through the hub; moderations and responses as they are."""

from isthmusd.dialects.openai.halves import CALLED, IDENTITY, SERVED
from isthmusd.dialects.openai.kept import KEPT

__all__ = ["CALLED", "IDENTITY", "KEPT", "SERVED"]
