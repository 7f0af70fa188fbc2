"""Whether an answer that came to a clean end is one to give again: some providers put a failure into a good answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from isthmusd.core.caching import BROKEN_OFF
from isthmusd.core.request import Operation
from isthmusd.dialects.openai.kept_stream import events_of

FAILED = re.compile(
    rb'"(?:native_)?finish_reason"[ \t\r\n]*:[ \t\r\n]*"(?:%b)"' % "|".join(sorted(BROKEN_OFF)).encode()
)
"""How a choice ends that broke off. Within a text the quotes would have backslashes before them."""
FINAL = frozenset({"completed", "incomplete", None})
"""States of a response that does not change any more and did not fail; one in the background is queued at first."""
_ERROR_MARK = b'"error"'
_NULL = msgspec.Raw(b"null")


class _Entry(msgspec.Struct, gc=False):
    """One of what was asked for. OpenRouter's choices may have errors of their own:
    https://openrouter.ai/docs/api-reference/overview"""

    error: msgspec.Raw = _NULL


class _Choices(msgspec.Struct):
    entries: list[_Entry] = msgspec.field(name="choices")
    error: msgspec.Raw = _NULL


class _Vectors(msgspec.Struct):
    entries: list[_Entry] = msgspec.field(name="data")
    error: msgspec.Raw = _NULL


class _Results(msgspec.Struct):
    entries: list[_Entry] = msgspec.field(name="results")
    error: msgspec.Raw = _NULL


class _Chunk(msgspec.Struct):
    choices: list[_Entry] | None = None


class _Response(msgspec.Struct):
    status: str | None = None


class _Event(msgspec.Struct):
    response: _Response | None = None


_CHOICES = msgspec.json.Decoder(_Choices)
_VECTORS = msgspec.json.Decoder(_Vectors)
_RESULTS = msgspec.json.Decoder(_Results)
_CHUNK = msgspec.json.Decoder(_Chunk)
_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)
_BROKEN = (msgspec.DecodeError, RecursionError)


def is_final_chat(pieces: Sequence[bytes], streamed: bool) -> bool:
    """Tell it of a chat or a completion. A stream that only ends says nothing."""
    if any(FAILED.search(piece) for piece in pieces):
        return False
    if not streamed:
        return _is_answer(_CHOICES.decode, pieces)
    return any(b'"choices"' in piece for piece in pieces) and not _has_error(pieces)


def is_final_embedding(pieces: Sequence[bytes], streamed: bool) -> bool:
    """Tell it of vectors, which do not stream."""
    del streamed
    return _is_answer(_VECTORS.decode, pieces)


def is_final_moderation(pieces: Sequence[bytes], streamed: bool) -> bool:
    """Tell it of judgements, which do not stream."""
    del streamed
    return _is_answer(_RESULTS.decode, pieces)


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
    except _BROKEN:
        pass
    return False


def _is_answer(decode: Callable[[bytes], _Choices | _Vectors | _Results], pieces: Sequence[bytes]) -> bool:
    """Whether a whole answer holds what was asked for. Some servers answer with an error under HTTP 200."""
    try:
        answer = decode(b"".join(pieces))
    except _BROKEN:
        return False
    return bool(answer.entries) and not any(_is_error(each) for each in (answer, *answer.entries))


def _has_error(pieces: Sequence[bytes]) -> bool:
    """Whether a choice of a stream has an error of its own. One of the whole stream would have ended it."""
    if not any(_ERROR_MARK in piece for piece in pieces):
        return False
    try:
        return any(
            _is_error(choice)
            for event in events_of(pieces)
            if _ERROR_MARK in event.data
            for choice in _CHUNK.decode(event.data).choices or ()
        )
    except _BROKEN:
        return True


def _is_error(said: _Choices | _Vectors | _Results | _Entry) -> bool:
    return bytes(said.error) != b"null"


FINALS: dict[Operation, Callable[[Sequence[bytes], bool], bool]] = {
    Operation.CHAT: is_final_chat,
    Operation.COMPLETION: is_final_chat,
    Operation.AUTO: is_final_chat,
    Operation.EMBEDDING: is_final_embedding,
    Operation.MODERATION: is_final_moderation,
    Operation.RESPONSES: is_final_response,
}
