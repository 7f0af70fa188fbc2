"""Log probabilities in OpenAI's shape. Cohere gives them by pieces of text, each made of one token or several.

Source: https://docs.cohere.com/reference/chat (logprobs)
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from isthmusd.core.chat import JsonText


class Item(msgspec.Struct):
    """One piece of text."""

    text: str | None = None
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None


def openai_logprobs(items: Sequence[Item]) -> JsonText | None:
    """Write OpenAI's object; None if nothing is known. Logarithms of several tokens add up to that of their text."""
    tokens = [_token(item.text or "", item, item.logprobs) for item in items if item.logprobs]
    if not tokens:
        return None
    return JsonText(msgspec.json.encode({"content": tokens, "refusal": None}).decode())


def _token(text: str, item: Item, logprobs: Sequence[float]) -> dict[str, object]:
    token: dict[str, object] = {
        "token": text,
        "logprob": sum(logprobs),
        "bytes": list(text.encode()),
        "top_logprobs": (),
    }
    if len(logprobs) == 1:
        return token
    return token | {"token_ids": item.token_ids or (), "token_logprobs": logprobs}
