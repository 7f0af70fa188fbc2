"""Cohere's counts of tokens. What they cost (`billed_units`) is kept beside them as it came.

Source: https://docs.cohere.com/reference/chat (usage), https://docs.cohere.com/reference/embed (meta)
"""

from __future__ import annotations

import msgspec

from isthmusd.core.usage import Usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, json_text, kind_of

BILLED = "billed_units"
MAX_COUNT = 2**63 - 1


def decode_usage(json: msgspec.Raw | None) -> Usage | None:
    """Read the usage of a chat: the tokens that the model saw and wrote or, where they are missing, those billed."""
    if json is None or kind_of(json) == "null":
        return None
    fields = Fields.of(json, "usage", answer_fault)
    tokens, raw_billed = fields.object("tokens"), fields.raw(BILLED)
    billed = None if raw_billed is None else Fields.of(raw_billed, f"usage.{BILLED}", answer_fault)
    prompt = _count("input_tokens", tokens, billed)
    completion = _count("output_tokens", tokens, billed)
    cached = _count("cached_tokens", fields)
    kept = () if raw_billed is None else ((BILLED, json_text(raw_billed)),)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=None if prompt is None or completion is None else prompt + completion,
        cached_tokens=cached,
        extra=(*kept, *fields.rest()),
    )


def decode_embedding_usage(json: msgspec.Raw | None) -> Usage | None:
    """Read the usage of embeddings from `meta`: what was billed, texts and images together."""
    billed = None if json is None else Fields.of(json, "meta", answer_fault).object(BILLED)
    counts = [_count("input_tokens", billed), _count("image_tokens", billed)]
    known = [count for count in counts if count is not None]
    return Usage(prompt_tokens=sum(known), total_tokens=sum(known)) if known else None


def _count(name: str, *places: Fields | None) -> int | None:
    """Take the first count that can be believed. Cohere writes them with a fraction now and then."""
    numbers = [place.number(name) for place in places if place is not None]
    return next((int(number) for number in numbers if number is not None and 0 <= number <= MAX_COUNT), None)
