"""Why an answer ended: Google's words to OpenAI's, and what is said where nothing else was.

Source: https://ai.google.dev/api/generate-content#FinishReason and
https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#FinishReason
"""

from __future__ import annotations

_STOP = "stop"
_FILTERED = "content_filter"

_WORDS = {
    "STOP": _STOP,
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": _FILTERED,
    "RECITATION": _FILTERED,
    "LANGUAGE": _FILTERED,
    "BLOCKLIST": _FILTERED,
    "PROHIBITED_CONTENT": _FILTERED,
    "SPII": _FILTERED,
    "IMAGE_SAFETY": _FILTERED,
    "IMAGE_PROHIBITED_CONTENT": _FILTERED,
    "IMAGE_RECITATION": _FILTERED,
    "MODEL_ARMOR": _FILTERED,
    "ESCALATION": _FILTERED,
    "PUP_LIMITED_DISABLED": _FILTERED,
}
"""What is not in here (MALFORMED_FUNCTION_CALL, OTHER, NO_IMAGE, words to come) is a stop; the native word tells."""

_NATURAL = frozenset({"STOP", "MAX_TOKENS", "CONTINUATION", "FINISH_REASON_UNSPECIFIED"})


def finish_reason(word: str | None, *, has_calls: bool) -> tuple[str, str | None]:
    """Give OpenAI's word, and Google's where its spelling differs."""
    if word is None:
        return ("tool_calls" if has_calls else _STOP), None
    mapped = _WORDS.get(word, _STOP)
    if mapped == _STOP and has_calls:
        mapped = "tool_calls"
    return mapped, None if mapped == word.lower() else word


def silence_explained(word: str | None, message: str | None) -> str | None:
    """Give what to say where an answer ended without a word; None if it ended as answers do."""
    if word is None or word in _NATURAL:
        return None
    return _sentence(f"The provider ended the answer: {word}.", message)


def block_explained(word: str, message: str | None) -> str:
    """Give what to say of a blocked prompt."""
    return _sentence(f"The provider blocked the prompt: {word}.", message)


def block_reason(word: str) -> tuple[str, str]:
    """Give OpenAI's and Google's word for a blocked prompt."""
    return _FILTERED, word


def _sentence(first: str, message: str | None) -> str:
    return f"{first} {message}" if message else first
