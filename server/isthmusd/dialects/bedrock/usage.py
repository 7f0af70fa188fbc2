"""Converse's `usage` to the hub's. Counting what nobody reported is `core/usage.py`.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
Bedrock counts tokens of the prompt cache beside `inputTokens`; the hub's totals include them, as OpenAI's do.
"""

from __future__ import annotations

from isthmusd.core.usage import Usage
from isthmusd.framing.fields import Fields

_REPEATED = frozenset({"cacheReadInputTokenCount", "cacheWriteInputTokenCount", "totalTokens"})
"""Older spellings of the same counts, and the sum, which is made from its parts."""

_EMPTY = frozenset({"{}", "[]", "null"})


def decode_usage(fields: Fields) -> Usage:
    """Read a usage. Raises the fault of `fields` if a count is no number."""
    plain, answered = _count(fields, "inputTokens"), _count(fields, "outputTokens")
    read, written = _count(fields, "cacheReadInputTokens"), _count(fields, "cacheWriteInputTokens")
    total = _count(fields, "totalTokens")
    prompt = None if plain is None else plain + (read or 0) + (written or 0)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=answered,
        total_tokens=total if prompt is None or answered is None else prompt + answered,
        cached_tokens=read,
        cache_write_tokens=written,
        extra=tuple((name, text) for name, text in fields.rest() if name not in _REPEATED and text not in _EMPTY),
    )


def _count(fields: Fields, name: str) -> int | None:
    count = fields.integer(name)
    return None if count is None or count < 0 else count
