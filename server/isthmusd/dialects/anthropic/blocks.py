"""Names of content blocks that both halves of a conversation know. Reading and writing them is elsewhere."""

from __future__ import annotations

CONTENT_BLOCKS = "content_blocks"
"""Member of an answer's message for blocks that OpenAI's format has no place for; sent back as it is."""
