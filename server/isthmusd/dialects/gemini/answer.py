"""Google's answer, in one chunk or many, to events: whole and streamed answers share this, so that they cannot differ.
Framing is `chat_stream.py`.

Source: https://ai.google.dev/api/generate-content#generatecontentresponse
States: fresh -> started -> ended. A choice is finished once it has a finish reason, but stays open to the end: text
may follow, when a server-side tool runs after the first finish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import JsonText
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
from isthmusd.dialects.gemini.citations import Sources
from isthmusd.dialects.gemini.errors import decode_stream_error, garbled
from isthmusd.dialects.gemini.finish import block_explained, block_reason, finish_reason, silence_explained
from isthmusd.dialects.gemini.logprobs import LogprobsResult, logprobs_of
from isthmusd.dialects.gemini.signatures import keep
from isthmusd.dialects.gemini.tools import asked_name
from isthmusd.dialects.gemini.usage import UsageMetadata, usage_of
from isthmusd.framing.fields import json_text

_ABSENT = msgspec.Raw()
_EMPTY = frozenset({b"", b"null", b"{}", b"[]"})
_TIERS = {"standard": "default"}


class _FunctionCall(msgspec.Struct):
    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = _ABSENT


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _FunctionCall | None = None
    inline_data: _Blob | None = None


class _Content(msgspec.Struct):
    parts: list[msgspec.Raw] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    index: int | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: LogprobsResult | None = None
    grounding_metadata: msgspec.Raw = _ABSENT
    citation_metadata: msgspec.Raw = _ABSENT
    safety_ratings: msgspec.Raw = _ABSENT
    avg_logprobs: msgspec.Raw = _ABSENT
    url_context_metadata: msgspec.Raw = _ABSENT
    continuation_token: msgspec.Raw = _ABSENT

    def beside(self) -> tuple[tuple[str, msgspec.Raw], ...]:
        return (
            ("safetyRatings", self.safety_ratings),
            ("avgLogprobs", self.avg_logprobs),
            ("urlContextMetadata", self.url_context_metadata),
            ("continuationToken", self.continuation_token),
        )


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Chunk(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: msgspec.Raw = _ABSENT
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    model_status: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_CHUNK = msgspec.json.Decoder(_Chunk)
_PART = msgspec.json.Decoder(_Part)
_FEEDBACK = msgspec.json.Decoder(_Feedback)


@dataclass(slots=True)
class _Choice:
    """What was seen of one candidate."""

    index: int
    calls: int = 0
    said: bool = False
    finish: str | None = None
    message: str | None = None
    extra: dict[str, JsonText] = field(default_factory=dict[str, JsonText])
    sources: Sources = field(default_factory=Sources)


class Answer:
    """Takes the chunks of one answer; `end` is called once, after the last."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._started = False
        self._choices: dict[int, _Choice] = {}
        self._block: _Feedback | None = None
        self._usage: Usage | None = None
        self._said: dict[str, JsonText] = {}

    @property
    def has_choices(self) -> bool:
        """There is an answer, if only that the prompt was blocked."""
        return bool(self._choices) or self._block is not None

    @property
    def finished(self) -> bool:
        """Every choice has a finish reason."""
        return self.has_choices and all(choice.finish is not None for choice in self._choices.values())

    def take(self, data: bytes | msgspec.Raw) -> list[Event]:
        """Read a chunk. Raises Garbled, or the error that came in its place."""
        try:
            return self._take(_CHUNK.decode(data))
        except msgspec.ValidationError as error:
            raise garbled(f"{error}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise garbled("it is not valid JSON.") from error

    def end(self) -> list[Event]:
        """Close what is open."""
        events: list[Event] = []
        if self._block is not None and not self._choices:
            events += self._blocked(self._block)
        for index in sorted(self._choices):
            events += _ended(self._choices[index])
        if self._usage is not None:
            events.append(UsageReport(usage=self._usage))
        return [*events, End()]

    def _take(self, chunk: _Chunk) -> list[Event]:
        if bytes(chunk.error) not in _EMPTY:
            raise decode_stream_error(chunk.error)
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(self._start(chunk))
        if chunk.usage_metadata is not None:
            self._usage = usage_of(chunk.usage_metadata) or self._usage
        self._take_beside(chunk, events)
        for place, candidate in enumerate(chunk.candidates or ()):
            self._take_candidate(candidate, place, events)
        return events

    def _start(self, chunk: _Chunk) -> StreamStart:
        tier = None if chunk.usage_metadata is None else chunk.usage_metadata.service_tier
        return StreamStart(
            id=chunk.response_id or f"chatcmpl-{self._stamp.id}",
            model=chunk.model_version or "",
            created_at=_seconds(chunk.create_time, self._stamp.created_at),
            service_tier=None if tier is None else _TIERS.get(tier, tier),
        )

    def _take_beside(self, chunk: _Chunk, events: list[Event]) -> None:
        for name, raw in (("promptFeedback", chunk.prompt_feedback), ("modelStatus", chunk.model_status)):
            if bytes(raw) in _EMPTY:
                continue
            text = json_text(raw)
            if self._said.get(name) != text:
                self._said[name] = text
                events.append(RawDelta(choice=None, extra=((name, text),)))
        if "promptFeedback" in self._said and self._block is None:
            feedback = _FEEDBACK.decode(self._said["promptFeedback"])
            self._block = None if feedback.block_reason is None else feedback

    def _take_candidate(self, candidate: _Candidate, place: int, events: list[Event]) -> None:
        index = place if candidate.index is None else candidate.index
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
            events.append(RoleDelta(choice=index, role="assistant"))
        choice.sources.starts = []
        for raw in () if candidate.content is None else candidate.content.parts or ():
            self._take_part(raw, choice, events)
        if candidate.logprobs_result is not None:
            logprobs = logprobs_of(candidate.logprobs_result)
            if logprobs is not None:
                events.append(LogprobsDelta(choice=index, json=logprobs))
        choice.sources.take(candidate.grounding_metadata, candidate.citation_metadata)
        for name, raw in candidate.beside():
            if bytes(raw) not in _EMPTY:
                choice.extra[name] = json_text(raw)
        choice.finish = candidate.finish_reason or choice.finish
        choice.message = candidate.finish_message or choice.message

    def _take_part(self, raw: msgspec.Raw, choice: _Choice, events: list[Event]) -> None:
        part, index = _PART.decode(raw), choice.index
        signature = part.thought_signature
        choice.sources.begin()
        if part.text is not None and part.thought:
            if part.text:
                events.append(ThinkingDelta(choice=index, text=part.text))
            if signature is not None:
                events.append(ThinkingSignature(choice=index, signature=signature))
        elif part.text is not None:
            if part.text:
                choice.said = True
                choice.sources.add(part.text)
                events.append(TextDelta(choice=index, text=part.text))
            if signature is not None:
                events.append(RawDelta(choice=index, extra=keep(signature)))
        elif part.function_call is not None and part.function_call.name:
            choice.said = True
            events += self._call(part.function_call, part.function_call.name, signature, choice)
        elif part.inline_data is not None and not part.thought:
            choice.said = True
            events.append(self._media(part.inline_data, signature, raw, index))
        else:
            # Code that the model ran and its output, thoughts in pictures, and kinds to come: kept for the next turn.
            events.append(RawDelta(choice=index, extra=keep(part=raw)))

    def _call(
        self, call: _FunctionCall, name: str, signature: str | None, choice: _Choice
    ) -> tuple[ToolCallStart, ToolCallDelta]:
        index, choice.calls = choice.calls, choice.calls + 1
        call_id = call.id or f"call_{self._stamp.id}_{choice.index}_{index}"
        arguments = "{}" if bytes(call.args) in _EMPTY else msgspec.json.format(bytes(call.args), indent=-1).decode()
        return (
            ToolCallStart(choice=choice.index, index=index, id=call_id, name=asked_name(name), extra=keep(signature)),
            ToolCallDelta(choice=choice.index, index=index, arguments=arguments),
        )

    def _media(self, blob: _Blob, signature: str | None, raw: msgspec.Raw, index: int) -> Event:
        kind = blob.mime_type.partition("/")[0]
        if kind == "audio":
            audio = {
                "id": f"audio_{self._stamp.id}_{index}",
                "data": blob.data,
                "expires_at": self._stamp.created_at,
                "transcript": "",
                "mime_type": blob.mime_type,
            }
            return AudioDelta(choice=index, json=_json(audio))
        if kind != "image":
            return RawDelta(choice=index, extra=keep(part=raw))
        # As other gateways give images: https://openrouter.ai/docs/features/multimodal/image-generation
        url = {"url": f"data:{blob.mime_type};base64,{blob.data}"}
        kept = {name: msgspec.Raw(text) for name, text in keep(signature)}
        image = {"type": "image_url", "image_url": url, **kept}
        return RawDelta(choice=index, extra=(("images", _json([image])),))

    def _blocked(self, block: _Feedback) -> list[Event]:
        word = block.block_reason or ""
        reason, native = block_reason(word)
        return [
            RoleDelta(choice=0, role="assistant"),
            RefusalDelta(choice=0, text=block_explained(word, block.block_reason_message)),
            ChoiceEnd(choice=0, finish_reason=reason, native_finish_reason=native),
        ]


def _ended(choice: _Choice) -> list[Event]:
    index = choice.index
    events: list[Event] = []
    explained = None if choice.said else silence_explained(choice.finish, choice.message)
    if explained is not None:
        events.append(RefusalDelta(choice=index, text=explained))
    cited = choice.sources.extra()
    if cited:
        events.append(RawDelta(choice=index, extra=cited))
    if choice.message is not None:
        choice.extra["finishMessage"] = _json(choice.message)
    reason, native = finish_reason(choice.finish, has_calls=choice.calls > 0)
    extra = tuple(choice.extra.items())
    return [*events, ChoiceEnd(choice=index, finish_reason=reason, native_finish_reason=native, extra=extra)]


def _seconds(time: str | None, otherwise: int) -> int:
    """Vertex says when; its clock is right, so its time counts."""
    try:
        return otherwise if time is None else int(datetime.fromisoformat(time).timestamp())
    except ValueError:
        return otherwise


def _json(value: object) -> JsonText:
    return JsonText(msgspec.json.encode(value).decode())
