"""Turns what a case says of its provider into an answer that the fake provider plays. It opens no socket and does not
judge requests.
"""

from __future__ import annotations

import msgspec

from tests.conformance import corpus
from tests.fakes.answers import CUT, Answer, Step, raw, sse, stream, whole

MISSING_BYTES = 1000
"""How much a cut whole answer promises and does not send."""


def scripted(answer: corpus.Answer) -> Answer:
    """Give the bytes and faults of one scripted answer."""
    headers = tuple(answer.headers.items())
    if answer.end == "drop":
        return raw(CUT)
    if answer.sse is not None:
        pieces: list[Step] = [_event(event, answer) for event in answer.sse]
        # The pause lets what was written leave the socket: a reset throws away what waits in its buffers.
        return stream(*pieces, *((0.1, CUT) if answer.end == "cut" else ()), headers=headers)
    body = answer.text.encode() if answer.text is not None else msgspec.json.encode(answer.json)
    if answer.end == "cut":
        head = f"HTTP/1.1 {answer.status} OK\r\ncontent-type: application/json\r\n"
        return raw(f"{head}content-length: {len(body) + MISSING_BYTES}\r\n\r\n".encode() + body)
    if answer.text is not None:
        headers = tuple({"content-type": "text/plain", **answer.headers}.items())
        return Answer(status=answer.status, headers=headers, pieces=(body,))
    return whole(body, answer.status, headers)


def _event(event: object, answer: corpus.Answer) -> bytes:
    match event:
        case str():
            return event.encode()
        case dict():
            return sse({**answer.each, **event})
        case _:
            raise TypeError(f"an event is an object or a string, not {event!r}")
