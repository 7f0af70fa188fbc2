"""Anthropic's `usage` object to ours. It is read once per answer: a stream's two halves are joined first.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from isthmusd.core.usage import Usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields

TIERS = {"standard": "default", "priority": "priority"}
"""Anthropic's word for the capacity that served a call to OpenAI's; others have none."""


def decode_usage(members: Mapping[str, msgspec.Raw]) -> Usage | None:
    """Read a usage; None if the provider said nothing. Anthropic counts tokens of its prompt cache beside
    `input_tokens`, OpenAI's convention within them. Raises Garbled if a count is no number."""
    if not members:
        return None
    fields = Fields(dict(members), "usage", answer_fault)
    fresh, written, read = (
        _count(fields, name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    )
    completion = _count(fields, "output_tokens")
    details = fields.object("output_tokens_details")
    prompt = _sum(fresh, written, read)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_sum(prompt, completion),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=None if details is None else _count(details, "thinking_tokens"),
        extra=tuple((name, text) for name, text in fields.rest() if text != "null"),
    )


def tier_of(members: Mapping[str, msgspec.Raw]) -> str | None:
    """Give OpenAI's word for the capacity that served the call."""
    return TIERS.get(Fields(dict(members), "usage", answer_fault).text("service_tier") or "")


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _count(fields: Fields, name: str) -> int | None:
    """Negative counts are none."""
    number = fields.number(name)
    return None if number is None or number < 0 else int(number)
