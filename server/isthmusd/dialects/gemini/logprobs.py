"""Google's `logprobsResult` in OpenAI's shape. Asking for it is `generation.py`.

Source: https://ai.google.dev/api/generate-content#LogprobsResult
"""

from __future__ import annotations

import msgspec

from isthmusd.core.chat import JsonText

_NEVER = -9999.0
"""OpenAI's number for the least likely."""


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float | str = 0.0
    """A text where JSON has no number for it: `-Infinity`."""


class _Top(msgspec.Struct):
    candidates: list[_Token] | None = None


class LogprobsResult(msgspec.Struct, rename="camel"):
    """Chosen tokens, and beside each the likeliest ones."""

    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Top] | None = None


def logprobs_of(result: LogprobsResult) -> JsonText | None:
    """Give OpenAI's `logprobs`; None if no token was chosen."""
    chosen, tops = result.chosen_candidates or [], result.top_candidates or []
    if not chosen:
        return None
    content = [
        {**_token(token), "top_logprobs": [_token(top) for top in _at(tops, place)]}
        for place, token in enumerate(chosen)
    ]
    return JsonText(msgspec.json.encode({"content": content, "refusal": None}).decode())


def _at(tops: list[_Top], place: int) -> list[_Token]:
    return tops[place].candidates or [] if place < len(tops) else []


def _token(token: _Token) -> dict[str, object]:
    match token.log_probability:
        case str():
            logprob = _NEVER
        case number:
            logprob = number
    return {"token": token.token, "logprob": logprob, "bytes": list(token.token.encode())}
