"""Answers of the Responses API in the other form: the last event of a stream holds the whole answer, and a whole answer
makes a stream of the events by which it would have come.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from isthmusd.core.errors import InvalidRequest
from isthmusd.dialects.openai.kept_stream import events_of, garbled, unfaithful
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields
from isthmusd.framing.members import find_spans, splice
from isthmusd.framing.sse import data_event

ENDS = {"completed": "response.completed", "incomplete": "response.incomplete"}
"""Status of an answer that has come to its end, and the event that says so."""
UNSAID: dict[str, bytes] = {
    "completed_at": b"null",
    "incomplete_details": b"null",
    "output": b"[]",
    "status": b'"in_progress"',
    "usage": b"null",
}
"""Members of a response that are not known when it begins."""
TEXTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
"""Kind of a part to the member that is streamed, and the events that do it."""
CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
"""The same of items. Of all others the stream tells that they began and what became of them."""
_NOTHING = {"text": b'""', "refusal": b'""', "annotations": b"[]", "logprobs": b"[]"}
"""A part before anything of it is said."""
_BEGUN = {"status": b'"in_progress"', "content": b"[]", "summary": b"[]"}
_ABSENT = msgspec.Raw(b"null")


class _Event(msgspec.Struct):
    type: str | None = None
    response: msgspec.Raw = _ABSENT


class _Response(msgspec.Struct):
    status: str
    output: list[msgspec.Raw]


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response)
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidRequest)


def whole_response(pieces: Sequence[bytes]) -> bytes:
    """Give the answer in the last event of a stream, as it is written there. Raises Garbled or UnsupportedFeature."""
    found: msgspec.Raw | None = None
    item_count = 0
    was_said = False
    try:
        for event in events_of(pieces):
            read = _EVENT.decode(event.data) if event.data.lstrip().startswith(b"{") else _Event()
            if read.type == "response.output_item.done":
                item_count += 1
            was_said = was_said or (read.type or "").endswith(".delta")
            if read.type in ENDS.values():
                found = read.response
        if found is None:
            raise unfaithful()
        output = _RESPONSE.decode(found).output
        if len(output) != item_count or (was_said and not output):
            # Servers exist whose last event leaves out what the others have said.
            raise unfaithful()
    except _BROKEN as error:
        raise garbled() from error
    return bytes(found)


def streamed_response(body: bytes) -> list[bytes]:
    """Give the events of a stream for a whole answer. Raises Garbled or UnsupportedFeature."""
    try:
        # The decoder does not look at the encoding of what it skips.
        body.decode()
        response = _RESPONSE.decode(body)
        end = ENDS.get(response.status)
        if end is None:
            raise unfaithful()
        beginning = _replaced(body, UNSAID)
        writer = _Writer()
        writer.write("response.created", response=msgspec.Raw(beginning))
        writer.write("response.in_progress", response=msgspec.Raw(beginning))
        for place, item in enumerate(response.output):
            writer.item(place, item)
        writer.write(end, response=msgspec.Raw(body))
        return writer.events
    except _BROKEN as error:
        raise garbled() from error


class _Writer:
    """Writes the events of one stream."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    def write(self, kind: str, **members: object) -> None:
        """Write the next event."""
        event = {"type": kind, "sequence_number": len(self.events), **members}
        self.events.append(data_event(msgspec.json.encode(event), kind))

    def item(self, place: int, raw: msgspec.Raw) -> None:
        """Write the events of an item of the output."""
        fields = Fields.of(raw, f"output[{place}]", answer_fault)
        kind = fields.required_text("type")
        streamed, events = CALLS.get(kind, ("", ""))
        begun = _replaced(raw, _BEGUN | ({streamed: b'""'} if streamed else {}))
        self.write("response.output_item.added", output_index=place, item=msgspec.Raw(begun))
        where = {"item_id": fields.text("id"), "output_index": place}
        match kind:
            case "message":
                self._content(where, fields.items("content") or [])
            case "reasoning":
                self._summary(where, fields.items("summary") or [])
                self._content(where, fields.items("content") or [])
            case _ if streamed:
                named = {"name": fields.required_text("name")} if kind == "function_call" else {}
                self._text(events, where, streamed, _text(fields, streamed), ended=named)
            case _:
                pass
        self.write("response.output_item.done", output_index=place, item=raw)

    def _content(self, item: Mapping[str, object], parts: Sequence[msgspec.Raw]) -> None:
        for place, raw in enumerate(parts):
            where = {**item, "content_index": place}
            fields = Fields.of(raw, f"content[{place}]", answer_fault)
            kind = fields.required_text("type")
            self.write("response.content_part.added", **where, part=msgspec.Raw(_replaced(raw, _NOTHING)))
            if kind in TEXTS:
                streamed, events = TEXTS[kind]
                likely = {"logprobs": fields.items("logprobs") or []} if kind == "output_text" else {}
                self._text(
                    events,
                    where,
                    streamed,
                    _text(fields, streamed),
                    also=likely,
                    ended=likely,
                    annotations=fields.items("annotations") or [],
                )
            self.write("response.content_part.done", **where, part=raw)

    def _summary(self, item: Mapping[str, object], parts: Sequence[msgspec.Raw]) -> None:
        for place, raw in enumerate(parts):
            where = {**item, "summary_index": place}
            fields = Fields.of(raw, f"summary[{place}]", answer_fault)
            part = msgspec.Raw(_replaced(raw, _NOTHING))
            self.write("response.reasoning_summary_part.added", **where, part=part)
            self._text("response.reasoning_summary_text", where, "text", _text(fields, "text"))
            self.write("response.reasoning_summary_part.done", **where, part=raw)

    def _text(
        self,
        events: str,
        where: Mapping[str, object],
        name: str,
        text: msgspec.Raw,
        *,
        also: Mapping[str, object] | None = None,
        ended: Mapping[str, object] | None = None,
        annotations: Sequence[msgspec.Raw] = (),
    ) -> None:
        """Write a text in one piece, and its end. Clients find what it belongs to by its item's id."""
        if where["item_id"] is None:
            raise unfaithful()
        if bytes(text) != b'""':
            self.write(f"{events}.delta", **where, delta=text, **(also or {}))
        for place, annotation in enumerate(annotations):
            self.write(f"{events}.annotation.added", **where, annotation_index=place, annotation=annotation)
        self.write(f"{events}.done", **where, **{name: text}, **(ended or {}))


def _text(fields: Fields, name: str) -> msgspec.Raw:
    if fields.kind(name) != "a string":
        raise garbled()
    return fields.raw(name) or _ABSENT


def _replaced(json: bytes | msgspec.Raw, values: Mapping[str, bytes]) -> bytes:
    """Put other values in place of members that are there and not null."""
    text = bytes(json)
    spans = find_spans(text)
    told = {name: value for name, value in values.items() if name in spans and text[slice(*spans[name])] != b"null"}
    return splice(text, spans, told)
