"""The whole generateContent answer. The streamed one is `chat_stream.py`; reading either is `answer.py`."""

from __future__ import annotations

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatResponse
from isthmusd.core.collect import collect_chat
from isthmusd.core.events import Event
from isthmusd.dialects.gemini.answer import Answer
from isthmusd.dialects.gemini.errors import garbled

_CHUNKS = msgspec.json.Decoder(list[msgspec.Raw])


def decode_chat_response(body: bytes, stamp: Stamp) -> ChatResponse:
    """Read a whole answer. Raises Garbled, or the error that came in its place."""
    answer = Answer(stamp)
    events: list[Event] = []
    for chunk in _chunks(body):
        events += answer.take(chunk)
    if not answer.has_choices:
        raise garbled("it holds no candidates.")
    return collect_chat([*events, *answer.end()])


def _chunks(body: bytes) -> list[msgspec.Raw]:
    """A server that does not know `alt=sse` answers a stream as one array of its chunks."""
    if not body.lstrip().startswith(b"["):
        return [msgspec.Raw(body)]
    try:
        return _CHUNKS.decode(body)
    except msgspec.DecodeError as error:
        raise garbled("it is not valid JSON.") from error
