"""The streamed chat answer. Its events on the wire are `chunks.py`, the whole answer `chat_response.py`.

States: waiting for the first event -> started -> ended (`message-end`; a `[DONE]` that may follow says nothing) or
failed. After either nothing is read. Blocks of unknown kinds are kept as they began; what they grow by is not known.
"""

from __future__ import annotations

import msgspec

from isthmusd.core import events as hub
from isthmusd.core.call import Stamp
from isthmusd.core.chat import JsonText
from isthmusd.core.errors import Garbled
from isthmusd.core.events import Event
from isthmusd.dialects.cohere.answer import Answer, arguments_of, call_id, may_be_null
from isthmusd.dialects.cohere.chunks import (
    CHUNK,
    CONTENT,
    LABEL,
    TYPES,
    Chunk,
    CitationStart,
    Content,
    ContentDelta,
    ContentStart,
    Ending,
    MessageEnd,
    MessageStart,
    ToolCallDelta,
    ToolCallStart,
    ToolPlanDelta,
)
from isthmusd.dialects.cohere.errors import unfinished
from isthmusd.dialects.cohere.finish import finish
from isthmusd.dialects.cohere.logprobs import Item, openai_logprobs
from isthmusd.dialects.cohere.usage import decode_usage
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import json_text, kind_of
from isthmusd.framing.sse_decoder import SseDecoder

DONE = b"[DONE]"

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ChatDecoder(SseDecoder):
    """StreamDecoder of one chat answer."""

    def __init__(self, stamp: Stamp) -> None:
        super().__init__()
        self._stamp = stamp
        self._started = False
        self._answer = Answer()
        self._calls: dict[int, int] = {}
        """Open tool calls: the index that the provider writes to ours."""
        self._call_count = 0
        self._held: dict[int, str] = {}
        """Arguments of calls, by our index, that may yet turn out to be none."""

    def _take(self, data: bytes, events: list[Event]) -> None:
        try:
            chunk = CHUNK.decode(data)
        except _NOT_JSON:
            self._take_other(data)
            return
        if not self._started:
            if self._fails_at_once(chunk):
                return
            self._start(chunk, events)
        try:
            self._take_chunk(chunk, events)
        except Garbled as error:
            self.failure = error

    def _take_other(self, data: bytes) -> None:
        """Tell what has no meaning for us from what has one, but broke its form."""
        if data.strip() == DONE:
            return
        try:
            label = LABEL.decode(data)
        except _NOT_JSON:
            self.failure = answer_fault("an event is no JSON object of the kind that it should be.", "")
            return
        if label.type in TYPES:
            self.failure = answer_fault(f"an event of the type {label.type!r} has other members than it should.", "")
        elif label.type is None and label.message is not None:
            self.failure = unfinished("ERROR", label.message)

    def _fails_at_once(self, chunk: Chunk) -> bool:
        """Judge an end before there was a beginning: nothing was said yet, so another target can be asked."""
        match chunk:
            case MessageEnd(delta=Ending(finish_reason=word, error=error)):
                self.failure = unfinished(word, error)
                return self.failure is not None
            case _:
                return False

    def _take_chunk(self, chunk: Chunk, events: list[Event]) -> None:
        match chunk:
            case ContentDelta():
                self._grow_block(chunk.content, chunk.logprobs, events)
            case ToolCallDelta():
                self._grow_call(chunk, events)
            case ToolPlanDelta():
                self._plan(chunk.plan, events)
            case ContentStart():
                self._begin_block(chunk.index or 0, chunk.block, events)
            case ToolCallStart():
                self._begin_call(chunk, events)
            case CitationStart():
                self._cite(chunk.citations)
            case MessageEnd(delta=delta):
                self._end(delta or Ending(), events)
            case MessageStart():
                pass

    def _start(self, chunk: Chunk, events: list[Event]) -> None:
        self._started = True
        match chunk:
            case MessageStart(id=str(name)):
                pass
            case _:
                name = f"chatcmpl-{self._stamp.id}"
        events.append(hub.StreamStart(id=name, model="", created_at=self._stamp.created_at))
        events.append(hub.RoleDelta(choice=0, role="assistant"))

    def _begin_block(self, index: int, raw: msgspec.Raw, events: list[Event]) -> None:
        self._answer.begin_block(index)
        try:
            content = CONTENT.decode(raw)
        except msgspec.ValidationError as error:
            raise answer_fault("a block of content is not an object of texts.", "") from error
        if content is None or content.type in (None, "text", "thinking"):
            self._grow_block(content, None, events)
        else:
            parts = JsonText(f"[{json_text(raw)}]")
            events.append(hub.RawDelta(choice=0, extra=(("content", parts),)))

    def _grow_block(self, content: Content | None, logprobs: Item | None, events: list[Event]) -> None:
        if content is not None and content.thinking:
            events.append(hub.ThinkingDelta(choice=0, text=content.thinking))
        if content is not None and content.text:
            self._answer.text_length += len(content.text)
            events.append(hub.TextDelta(choice=0, text=content.text))
        known = None if logprobs is None else openai_logprobs([logprobs])
        if known is not None:
            events.append(hub.LogprobsDelta(choice=0, json=known))

    def _plan(self, plan: str | None, events: list[Event]) -> None:
        if plan:
            self._answer.plan.append(plan)
            events.append(hub.ThinkingDelta(choice=0, text=plan))

    def _begin_call(self, chunk: ToolCallStart, events: list[Event]) -> None:
        call = chunk.call
        if call is None or call.function is None:
            return
        index = self._call_count
        self._call_count += 1
        self._calls[index if chunk.index is None else chunk.index] = index
        name = call.id or call_id(self._stamp.id, index)
        events.append(hub.ToolCallStart(choice=0, index=index, id=name, name=call.function.name or ""))
        self._held[index] = ""
        self._argue(index, call.function.arguments, events)

    def _grow_call(self, chunk: ToolCallDelta, events: list[Event]) -> None:
        call = chunk.call
        last = self._call_count - 1
        index = last if chunk.index is None else self._calls.get(chunk.index, -1)
        if index >= 0 and call is not None and call.function is not None:
            self._argue(index, call.function.arguments, events)

    def _argue(self, index: int, arguments: str | None, events: list[Event]) -> None:
        held = self._held.get(index)
        text = (held or "") + (arguments or "")
        if held is not None and may_be_null(text):
            self._held[index] = text
        elif text:
            self._held.pop(index, None)
            events.append(hub.ToolCallDelta(choice=0, index=index, arguments=text))

    def _settle_arguments(self, events: list[Event]) -> None:
        for index, held in self._held.items():
            events.append(hub.ToolCallDelta(choice=0, index=index, arguments=arguments_of(held)))
        self._held.clear()

    def _cite(self, raw: msgspec.Raw) -> None:
        if kind_of(raw) == "an object":
            # A copy: the raw value is a view of the whole event.
            self._answer.citations.append(raw.copy())

    def _end(self, ending: Ending, events: list[Event]) -> None:
        failure = unfinished(ending.finish_reason, ending.error)
        if failure is not None:
            self.failure = failure
            return
        usage = decode_usage(ending.usage)
        self._settle_arguments(events)
        extra = self._answer.extra()
        if extra:
            events.append(hub.RawDelta(choice=0, extra=extra))
        reason, native = finish(ending.finish_reason, has_calls=self._call_count > 0)
        events.append(hub.ChoiceEnd(choice=0, finish_reason=reason, native_finish_reason=native))
        if usage is not None:
            events.append(hub.UsageReport(usage=usage))
        events.append(hub.End())
        self.ended = True
