"""Server-sent events, incrementally: bytes in, whole events out, however the bytes are cut. It reads no JSON.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
Lines end in LF, CRLF or CR; an empty line ends an event. Two liberties: each event keeps its own bytes, so that a relay
can pass them untouched, and `close` gives an unterminated last event instead of dropping it, for the reader to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from isthmusd.core.errors import Garbled

MAX_EVENT_BYTES = 8 << 20
BOM = b"\xef\xbb\xbf"

# Atomic groups: a CRLF must never be taken for two line ends.
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_NO_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


@dataclass(slots=True)
class SseEvent:
    """One event, or a block that says nothing (comments only: empty `data`). Not frozen: made once per event, and
    frozen dataclasses take four times as long to construct."""

    data: bytes
    raw: bytes
    """The event's own bytes, its end included."""
    name: str = ""


class SseReader:
    """Fed by one task; after `failure` is set it gives nothing more."""

    __slots__ = ("_at_start", "_held", "_limit", "failure")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self.failure: Garbled | None = None
        self._held = bytearray()
        self._limit = limit
        self._at_start = True

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take bytes, give the events that they complete."""
        if self.failure is not None:
            return []
        if not self._held and not self._at_start and len(data) <= self._limit and _is_plain(data):
            return [SseEvent(data[6:-2], data)]
        if self._held or b"\r" in data:
            blocks = self._cut(data)
        else:
            # The usual case: nothing held back, LF framing, whole events.
            *blocks, rest = data.split(b"\n\n")
            self._held += rest
            blocks = [data] if len(blocks) == 1 and not rest else [block + b"\n\n" for block in blocks]
        events: list[SseEvent] = []
        for raw in blocks:
            if len(raw) > self._limit:
                return self._overflow(events)
            events.append(self._parse(raw))
        return self._overflow(events) if len(self._held) > self._limit else events

    def close(self) -> SseEvent | None:
        """The stream ended: give an event that lacks its end, if there is one."""
        if self.failure is not None or not self._held:
            return None
        raw = bytes(self._held)
        self._held.clear()
        event = self._parse(raw)
        return event if event.data else None

    def _cut(self, data: bytes) -> list[bytes]:
        held = self._held
        # An end may have begun in the last three bytes (CR LF CR).
        search_from = max(0, len(held) - 3)
        held += data
        blocks: list[bytes] = []
        done = 0
        while match := _EVENT_END.search(held, search_from):
            end = match.end()
            # A CR at the very end may be half of a CRLF: wait, so that every cut gives the same events.
            if end == len(held) and held[-1] == 0x0D:
                break
            blocks.append(bytes(held[done:end]))
            done = search_from = end
        del held[:done]
        return blocks

    def _parse(self, raw: bytes) -> SseEvent:
        text = raw
        if self._at_start:
            self._at_start = False
            text = raw.removeprefix(BOM)
        if _is_plain(text):
            return SseEvent(text[6:-2], raw)
        return _parse_lines(text, raw)

    def _overflow(self, events: list[SseEvent]) -> list[SseEvent]:
        self.failure = Garbled(f"The provider sent an event of more than {self._limit} bytes; try again.")
        self._held.clear()
        return events


def data_event(json: bytes, name: str = "") -> bytes:
    """Write one event of JSON. Opaque values may be spread over lines, which would end the event: in JSON text line
    ends are nothing but spaces, so spaces take their place."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    if b"\n" in json or b"\r" in json:
        json = json.translate(_NO_LINE_ENDS)
    return head + b"data: " + json + b"\n\n"


def _is_plain(text: bytes) -> bool:
    """One whole event with one line of data and nothing else: the form that every provider sends."""
    return text.startswith(b"data: ") and text.find(b"\n") == len(text) - 2 and text[-1] == 10 and b"\r" not in text


def _parse_lines(text: bytes, raw: bytes) -> SseEvent:
    data: list[bytes] = []
    name = ""
    for line in _LINE_END.split(text):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return SseEvent(b"\n".join(data), raw, name)
