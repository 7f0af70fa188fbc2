"""Whether an answer that came to a clean end is one to give again: some providers put a failure into a good answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from isthmusd.dialects.openai.kept_stream import events_of

FAILED = re.compile(rb'"finish_reason"[ \t\r\n]*:[ \t\r\n]*"error"')
"""How OpenRouter ends a choice that broke: https://openrouter.ai/docs/api-reference/errors
Within a text the quotes would have backslashes before them."""
FINAL = frozenset({"completed", "incomplete", None})
"""States of a response that does not change any more and did not fail; one in the background is queued at first."""


class _Response(msgspec.Struct):
    status: str | None = None


class _Event(msgspec.Struct):
    response: _Response | None = None


_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)


def is_final_chat(pieces: Sequence[bytes], streamed: bool) -> bool:
    """Tell it of a chat or a completion. A stream that only ends says nothing."""
    if streamed and not any(b'"choices"' in piece for piece in pieces):
        return False
    return not any(FAILED.search(piece) for piece in pieces)


def is_final_response(pieces: Sequence[bytes], streamed: bool) -> bool:
    """Tell it of an answer of the Responses API."""
    try:
        if not streamed:
            return _RESPONSE.decode(b"".join(pieces)).status in FINAL
        # Its last event holds the whole; a compatible server's [DONE] may follow.
        for event in reversed(events_of(pieces[-2:])):
            if event.data.startswith(b"{"):
                response = _EVENT.decode(event.data).response
                return response is not None and response.status in FINAL
    except (msgspec.DecodeError, RecursionError):
        pass
    return False


def is_final(pieces: Sequence[bytes], streamed: bool) -> bool:
    """Tell it of anything else."""
    del pieces, streamed
    return True
