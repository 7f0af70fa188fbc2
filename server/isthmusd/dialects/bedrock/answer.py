"""The events of one answer, block by block. A whole answer and a streamed one both go through here, so that they amount
to the same; reading them is `chat_response.py` and `chat_stream.py`.

Blocks of the model's own servers' tools (`server_tool_use`, `toolResult`) and blocks of unknown kinds are left out: a
caller can neither run nor answer them, and what they led to is in the text.
Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CitationLocation.html
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.events import (
    ChoiceEnd,
    Event,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from isthmusd.dialects.bedrock.usage import decode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, json_text

SERVER_TOOL = "server_tool_use"
"""Type of calls that the model's own servers run."""

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Bedrock's words to OpenAI's. Others (`malformed_model_output`) are `stop` with the provider's word beside it."""

_ABOUT = {
    "additionalModelResponseFields": "additionalModelResponseFields",
    "serviceTier": "service_tier",
    "performanceConfig": "performanceConfig",
    "metrics": "metrics",
    "trace": "trace",
}
"""Members beside the message that are kept, in this order, and what they are called then. Only the tier has a name in
OpenAI's answers."""


class _Web(msgspec.Struct):
    url: str | None = None


class _Location(msgspec.Struct):
    web: _Web | None = None


class _Citation(msgspec.Struct):
    title: str | None = None
    source: str | None = None
    location: _Location | None = None

    @property
    def url(self) -> str | None:
        """The address that is cited, if it is one."""
        if self.location is not None and self.location.web is not None:
            return self.location.web.url
        return self.source if self.source is not None and self.source.startswith(("https://", "http://")) else None


class _Tier(msgspec.Struct):
    type: str


class Answer:
    """Makes the events of one answer in `events`, which the reader takes away. Blocks follow each other: one is open
    from its first content to `close_block`."""

    def __init__(self, stamp: Stamp) -> None:
        self.events: list[Event] = []
        self.started = False
        self._stamp = stamp
        self._said = 0
        """Characters of text so far: citations name places in it."""
        self._block_start = 0
        self._signature = ""
        self._redacted: list[str] = []
        self._call_count = 0
        self._open_call_is_empty: bool | None = None
        """None: no call is open."""
        self._cited: list[msgspec.Raw] = []
        self._citations: list[msgspec.Raw] = []
        self._annotations: list[object] = []
        self._image_form = "png"
        self._image: list[str] = []
        self._images: list[object] = []
        self._end: ChoiceEnd | None = None
        self._usage: UsageReport | None = None

    @property
    def stopped(self) -> bool:
        """The message is complete."""
        return self._end is not None

    def take(self) -> list[Event]:
        """Give the events that were made since the last time."""
        taken, self.events = self.events, []
        return taken

    def start(self, role: str = "assistant") -> None:
        """The message begins. Bedrock tells neither an id nor the model."""
        if self.started:
            return
        self.started = True
        stamp = self._stamp
        self.events.append(StreamStart(id=f"chatcmpl-{stamp.id}", model="", created_at=stamp.created_at))
        self.events.append(RoleDelta(choice=0, role=role))

    def text(self, text: str) -> None:
        """Add to a text."""
        if text:
            self._said += len(text)
            self.events.append(TextDelta(choice=0, text=text))

    def think(self, text: str) -> None:
        """Add to a thought."""
        if text:
            self.events.append(ThinkingDelta(choice=0, text=text))

    def sign(self, signature: str, redacted: str) -> None:
        """Add to what must come back with the thought of this block."""
        self._signature += signature
        if redacted:
            self._redacted.append(redacted)

    def open_call(self, call_id: str, name: str) -> None:
        """Begin a tool call."""
        start = ToolCallStart(choice=0, index=self._call_count, id=call_id, name=name)
        self._call_count += 1
        self._open_call_is_empty = True
        self.events.append(start)

    def argue(self, arguments: str) -> None:
        """Add to the arguments of the open call."""
        if arguments and self._open_call_is_empty is not None:
            self._open_call_is_empty = False
            self.events.append(ToolCallDelta(choice=0, index=self._call_count - 1, arguments=arguments))

    def cite(self, citation: msgspec.Raw) -> None:
        """Add a source of this block's text."""
        self._cited.append(citation)

    def draw(self, form: str | None, data: str) -> None:
        """Add to the image of this block."""
        self._image_form = form or self._image_form
        if data:
            self._image.append(data)

    def close_block(self) -> None:
        """The block is complete."""
        if self._signature or self._redacted:
            redacted = _joined(self._redacted) or None
            self.events.append(ThinkingSignature(choice=0, signature=self._signature or None, redacted_data=redacted))
            self._signature, self._redacted = "", []
        if self._open_call_is_empty:
            self.argue("{}")
        self._open_call_is_empty = None
        for citation in self._cited:
            self._annotate(citation)
        self._cited = []
        if self._image:
            url = f"data:image/{self._image_form};base64,{_joined(self._image)}"
            self._images.append({"type": "image_url", "image_url": {"url": url}})
        self._image_form, self._image = "png", []
        self._block_start = self._said

    def stop(self, reason: str) -> None:
        """The message is complete."""
        self.start()
        self.close_block()
        finish = _FINISH.get(reason, "stop")
        if finish == "stop" and self._call_count:
            # Some models end their turn although they call.
            finish = "tool_calls"
        if finish == "content_filter" and not self._said:
            self.events.append(RefusalDelta(choice=0, text=f"The provider withheld the answer ({reason})."))
        aside = self._aside()
        if aside:
            self.events.append(RawDelta(choice=0, extra=aside))
        native = reason if reason != finish else None
        self._end = ChoiceEnd(choice=0, finish_reason=finish, native_finish_reason=native)

    def account(self, fields: Fields) -> None:
        """Take what Bedrock says about the answer: its usage, tier and figures."""
        self.start()
        usage = fields.object("usage")
        about: list[tuple[str, JsonText]] = []
        for name, called in _ABOUT.items():
            raw = fields.raw(name)
            if raw is not None:
                about.append((called, _tier(raw) if called == "service_tier" else json_text(raw)))
        if about:
            self.events.append(RawDelta(choice=None, extra=tuple(about)))
        if usage is not None:
            self._usage = UsageReport(usage=decode_usage(usage))

    def finish(self) -> None:
        """Nothing more is said. The choice ends only now, so that what was said about it goes out with its last chunk
        and not in one without a choice, which few callers expect."""
        self.events += [event for event in (self._end, self._usage) if event is not None]

    def _annotate(self, raw: msgspec.Raw) -> None:
        self._citations.append(raw)
        citation = msgspec.json.decode(raw, type=_Citation)
        if citation.url is None:
            return
        place = {"start_index": self._block_start, "end_index": self._said}
        found = {**place, "url": citation.url, "title": citation.title or citation.url}
        self._annotations.append({"type": "url_citation", "url_citation": found})

    def _aside(self) -> Extra:
        lists = {"annotations": self._annotations, "citations": self._citations, "images": self._images}
        return tuple((name, json_text(msgspec.json.encode(found))) for name, found in lists.items() if found)


def _joined(pieces: list[str]) -> str:
    """Join what was put into base64 piece by piece: where one is padded, its bytes do not end where its letters do."""
    if not any(piece.endswith("=") for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        return b64encode(b"".join(b64decode(piece, validate=True) for piece in pieces)).decode()
    except binascii.Error as error:
        raise answer_fault("bytes must be in base64.", "") from error


def _tier(raw: msgspec.Raw) -> JsonText:
    return json_text(msgspec.json.encode(msgspec.json.decode(raw, type=_Tier).type))
