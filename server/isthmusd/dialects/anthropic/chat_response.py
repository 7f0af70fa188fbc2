"""The whole answer. The streamed one is `chat_stream.py`; what blocks mean is `answer.py`."""

from __future__ import annotations

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import ChatResponse
from isthmusd.core.collect import collect_chat
from isthmusd.core.events import Event
from isthmusd.dialects.anthropic.answer import AnswerReader
from isthmusd.dialects.anthropic.errors import decode_stream_error
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields


def decode_chat_response(body: bytes, stamp: Stamp) -> ChatResponse:
    """Read a whole answer. Raises Garbled, or the error that came in its place."""
    message = Fields.of(body, "", answer_fault)
    if message.has("error"):
        raise decode_stream_error(body)
    content = message.items("content")
    if content is None:
        raise message.fault("'content' is missing.", "content")
    reader = AnswerReader(stamp)
    events: list[Event] = reader.start(message)
    for place, block in enumerate(content):
        try:
            events += reader.open_block(place, block) + reader.close_block(place)
        except msgspec.DecodeError as error:
            raise answer_fault(f"'content[{place}]' is not a content block.", "") from error
    return collect_chat([*events, *reader.end()])
