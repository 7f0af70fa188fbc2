"""Why an answer ended, in OpenAI's words. Endings that are failures are `errors.py`.

Source: https://docs.cohere.com/reference/chat (finish_reason); the last three are from the first version of the API and
from other hosts of Cohere's models.
"""

from __future__ import annotations

REASONS = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "length",
    "USER_CANCEL": "stop",
}


def finish(word: str | None, *, has_calls: bool) -> tuple[str, str | None]:
    """Give OpenAI's word, and Cohere's where it differs."""
    reason = REASONS.get(word or "COMPLETE", word or "")
    if reason == "stop" and has_calls:
        reason = "tool_calls"
    return reason, word if word != reason else None
