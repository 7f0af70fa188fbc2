"""A stream of OpenAI chunks to events: what chat and completions share. Reading a delta is `chat_stream.py` and
`completion_stream.py`.

States: waiting for the first chunk that says who it is -> started -> ended (`[DONE]`, or at the end of the body a
finish reason for every choice, where the host is known to leave `[DONE]` out) or failed. After either nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable

from isthmusd.core.call import Stamp
from isthmusd.core.chat import Extra, JsonText
from isthmusd.core.errors import Garbled
from isthmusd.core.events import ChoiceEnd, End, Event, LogprobsDelta, RawDelta, StreamStart, UsageReport
from isthmusd.core.profile import Profile
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.errors import decode_stream_error
from isthmusd.dialects.openai.usage import decode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields
from isthmusd.framing.sse_decoder import SseDecoder

DONE = b"[DONE]"

ReadDelta = Callable[[int, Fields], list[Event]]
"""Takes the members of a choice that carry its delta."""

ReadPlain = Callable[[bytes], list[tuple[int, list[Event]]] | None]
"""Takes a chunk that only goes on: gives each choice's events, or None for a chunk with anything else in it."""


def _never_plain(data: bytes) -> None:
    del data


_EMPTY = frozenset({"null", "{}"})

_HOP_ONLY = "obfuscation"
"""Padding against eavesdroppers, https://platform.openai.com/docs/api-reference/chat-streaming: says nothing."""


class ChunkDecoder(SseDecoder):
    """StreamDecoder for chunked answers; `fallback_id` is for servers that send no id."""

    def __init__(
        self,
        read_delta: ReadDelta,
        *,
        fallback_id: str,
        stamp: Stamp,
        profile: Profile,
        read_plain: ReadPlain = _never_plain,
    ) -> None:
        super().__init__()
        self._read_delta = read_delta
        self._read_plain = read_plain
        self._fallback_id = fallback_id
        self._stamp = stamp
        self._profile = profile
        self._started = False
        self._usage: Usage | None = None
        self._said: dict[str, JsonText] = {}
        self._choices: dict[int, dict[str, JsonText]] = {}
        self._finished: set[int] = set()

    def _finish(self, events: list[Event]) -> None:
        """Judge a body that ended without `[DONE]`."""
        if not self._profile.stream_ends_with_done and self._choices and self._finished.issuperset(self._choices):
            self._end(events)
        else:
            super()._finish(events)

    def _take(self, data: bytes, events: list[Event]) -> None:
        plain = self._read_plain(data) if self._started else None
        if plain is not None:
            for index, found in plain:
                self._choices.setdefault(index, {})
                events += found
            return
        if data.strip() == DONE:
            self._end(events)
            return
        try:
            self._take_chunk(Fields.of(data, "", answer_fault), data, events)
        except Garbled as error:
            self.failure = error

    def _take_chunk(self, fields: Fields, data: bytes, events: list[Event]) -> None:
        error = fields.raw("error")
        if error is not None or fields.text("object") == "error":
            self.failure = decode_stream_error(data if error is None else error)
            return
        usage = fields.raw("usage")
        if usage is not None:
            self._usage = decode_usage(usage)
        choices = fields.objects("choices") or []
        self._take_head(fields, bool(choices), events)
        for place, choice in enumerate(choices):
            self._take_choice(choice, place, events)

    def _take_head(self, fields: Fields, has_choices: bool, events: list[Event]) -> None:
        name, model, created = fields.text("id"), fields.text("model"), fields.number("created")
        fingerprint, tier = fields.text("system_fingerprint"), fields.text("service_tier")
        fresh = tuple((key, text) for key, text in fields.rest() if key != _HOP_ONLY and self._said.get(key) != text)
        self._said.update(fresh)
        # Azure opens with a chunk about its content filter that has neither an id nor choices: it waits in `_said`.
        if not self._started and (name or has_choices):
            self._start(
                events,
                StreamStart(
                    id=name or self._fallback_id,
                    model=model or "",
                    created_at=int(created or self._stamp.created_at),
                    system_fingerprint=fingerprint,
                    service_tier=tier,
                    extra=tuple(self._said.items()),
                ),
            )
        elif self._started and fresh:
            events.append(RawDelta(choice=None, extra=fresh))

    def _start(self, events: list[Event], start: StreamStart) -> None:
        self._started = True
        events.append(start)

    def _take_choice(self, fields: Fields, place: int, events: list[Event]) -> None:
        index = fields.integer("index")
        index = place if index is None else index
        finish, native = fields.text("finish_reason"), fields.text("native_finish_reason")
        logprobs = fields.json("logprobs")
        events += self._read_delta(index, fields)
        if logprobs is not None:
            events.append(LogprobsDelta(choice=index, json=logprobs))
        said = self._choices.setdefault(index, {})
        for key, text in fields.rest():
            if text not in _EMPTY or key not in said:
                said[key] = text
        if finish and index not in self._finished:
            self._finished.add(index)
            extra: Extra = tuple(said.items())
            events.append(ChoiceEnd(choice=index, finish_reason=finish, native_finish_reason=native, extra=extra))

    def _end(self, events: list[Event]) -> None:
        if not self._started:
            start = StreamStart(id=self._fallback_id, model="", created_at=self._stamp.created_at)
            self._start(events, start)
        if self._usage is not None:
            events.append(UsageReport(usage=self._usage))
        events.append(End())
        self.ended = True
