"""Events to a stream of OpenAI chunks: what chat and completions share. Writing a delta is `chat_stream.py` and
`completion_stream.py`.

One event, one chunk: how the target's bytes were cut then cannot show. Only log probabilities join the chunk of the
tokens before them, and what concerns the whole answer waits for the next chunk, since a chunk without choices makes
clients fail that read `choices[0]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import JsonText
from isthmusd.core.errors import GatewayError
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
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
from isthmusd.core.usage import Usage
from isthmusd.dialects.openai.chunk_decoder import DONE
from isthmusd.dialects.openai.errors import encode_error
from isthmusd.dialects.openai.usage import encode_usage
from isthmusd.framing.fields import drop_none, raw_or_none
from isthmusd.framing.sse import data_event

Delta = (
    RoleDelta
    | TextDelta
    | ThinkingDelta
    | ThinkingSignature
    | RefusalDelta
    | AudioDelta
    | ToolCallStart
    | ToolCallDelta
    | RawDelta
)

WriteDelta = Callable[[Delta], dict[str, object] | None]
"""Gives the members of a choice for a delta (`{"delta": ...}` or `{"text": ...}`), None if it has no form there."""


class ChunkEncoder:
    """StreamEncoder for chunked answers. `kind` is the chunks' `object`, `nothing` a delta that says nothing."""

    def __init__(
        self,
        kind: str,
        write_delta: WriteDelta,
        *,
        nothing: dict[str, object],
        start: StreamStart,
        include_usage: bool,
    ) -> None:
        self._kind = kind
        self._write_delta = write_delta
        self._nothing = nothing
        self._include_usage = include_usage
        self._usage: Usage | None = None
        self._waiting: dict[str, JsonText] = {}
        self._head = self._write_head(start)

    def feed(self, events: Sequence[Event]) -> bytes | None:
        """Write the chunks of some events."""
        chunks: list[bytes] = []
        if len(events) == 1:
            chunks = self._write(events[0], None, None)
            return chunks[0] if chunks else None
        for place, event in enumerate(events):
            following = events[place + 1] if place + 1 < len(events) else None
            chunks += self._write(event, following, events[place - 1] if place else None)
        return b"".join(chunks) or None

    def fail(self, error: GatewayError) -> bytes:
        """Write the in-band error that ends a broken stream."""
        return data_event(encode_error(error))

    def _write(self, event: Event, following: Event | None, before: Event | None) -> list[bytes]:
        match event:
            case StreamStart():
                self._head = self._write_head(event)
                self._waiting.update(event.extra)
                return []
            case RawDelta(choice=None, extra=extra):
                self._waiting.update(extra)
                return []
            case UsageReport(usage=usage):
                self._usage = usage
                return []
            case End():
                return [*self._last_chunk(), data_event(DONE)]
            case ChoiceEnd():
                return [self._choice_end(event)]
            case LogprobsDelta(choice=choice, json=logprobs):
                joined = before is not None and _logprobs_of(event, before) is not None
                return [] if joined else [self._chunk(choice, self._nothing, logprobs)]
            case RoleDelta() | TextDelta() | ThinkingDelta() | ThinkingSignature() | RefusalDelta() | AudioDelta():
                return self._delta(event, event.choice, _logprobs_of(following, event))
            case ToolCallStart() | ToolCallDelta():
                return self._delta(event, event.choice, _logprobs_of(following, event))
            case RawDelta(choice=choice):
                return self._delta(event, choice or 0, _logprobs_of(following, event))

    def _delta(self, event: Delta, choice: int, logprobs: JsonText | None) -> list[bytes]:
        members = self._write_delta(event)
        if members is None:
            if logprobs is None:
                return []
            members = self._nothing
        return [self._chunk(choice, members, logprobs)]

    def _chunk(self, choice: int, members: dict[str, object], logprobs: JsonText | None = None) -> bytes:
        written = {"index": choice, **members, "logprobs": raw_or_none(logprobs), "finish_reason": None}
        return self._event(msgspec.json.encode(written))

    def _choice_end(self, event: ChoiceEnd) -> bytes:
        written = {
            "index": event.choice,
            **self._nothing,
            "logprobs": None,
            "finish_reason": event.finish_reason,
        }
        native = {"native_finish_reason": event.native_finish_reason}
        return self._event(msgspec.json.encode(written | drop_none(native, event.extra)))

    def _last_chunk(self) -> list[bytes]:
        if self._include_usage and self._usage is not None:
            return [self._event(b"", self._usage)]
        return [self._event(b"")] if self._waiting else []

    def _event(self, choice: bytes, usage: Usage | None = None) -> bytes:
        tail: dict[str, object] = {}
        if self._include_usage:
            tail["usage"] = None if usage is None else encode_usage(usage)
        for name, text in self._waiting.items():
            tail.setdefault(name, msgspec.Raw(text))
        self._waiting.clear()
        end = b"]}" if not tail else b"]," + msgspec.json.encode(tail)[1:]
        return data_event(self._head + choice + end)

    def _write_head(self, start: StreamStart) -> bytes:
        members = {
            "id": start.id,
            "object": self._kind,
            "created": start.created_at,
            "model": start.model,
            "service_tier": start.service_tier,
            "system_fingerprint": start.system_fingerprint,
        }
        return msgspec.json.encode(drop_none(members))[:-1] + b',"choices":['


def unstarted(stamp: Stamp, prefix: str) -> StreamStart:
    """Give the start of an answer whose target said nothing of itself."""
    return StreamStart(id=f"{prefix}-{stamp.id}", model="", created_at=stamp.created_at)


def _logprobs_of(following: Event | None, event: Event) -> JsonText | None:
    """Give the log probabilities that belong to a delta: those right after it, of the same choice."""
    if following is None:
        return None
    match following, event:
        case (
            LogprobsDelta(choice=choice, json=logprobs),
            RoleDelta()
            | TextDelta()
            | ThinkingDelta()
            | ThinkingSignature()
            | RefusalDelta()
            | AudioDelta()
            | ToolCallStart()
            | ToolCallDelta()
            | RawDelta(),
        ) if event.choice == choice:
            return logprobs
        case _:
            return None
