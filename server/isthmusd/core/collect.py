"""A canonical stream to the whole answer that it amounts to. The way back is `core/replay.py`.

A collector serves one stream; `response` may be asked at any time and gives what has come so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from isthmusd.core.chat import (
    ChatResponse,
    Choice,
    Extra,
    JsonText,
    Message,
    Part,
    RawPart,
    RawToolCall,
    TextPart,
    ThinkingPart,
    ToolCall,
)
from isthmusd.core.completion import CompletionChoice, CompletionResponse
from isthmusd.core.deltas import fold
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

_NOBODY = StreamStart(id="", model="", created_at=0)


def collect_chat(events: Iterable[Event]) -> ChatResponse:
    """Give the whole chat answer of a stream."""
    collector = Collector()
    collector.feed(events)
    return collector.chat()


def collect_completion(events: Iterable[Event]) -> CompletionResponse:
    """Give the whole completion of a stream."""
    collector = Collector()
    collector.feed(events)
    return collector.completion()


@dataclass(slots=True)
class _Pieces:
    """Unknown members by name, each with its pieces in order."""

    by_name: dict[str, list[JsonText]] = field(default_factory=dict[str, list[JsonText]])

    def add(self, extra: Extra) -> None:
        for name, text in extra:
            self.by_name.setdefault(name, []).append(text)

    def extra(self) -> Extra:
        return tuple((name, fold(pieces, name)) for name, pieces in self.by_name.items())


@dataclass(slots=True)
class _Text:
    """A part under construction: its texts so far."""

    is_thinking: bool
    texts: list[str]
    signature: str | None = None
    redacted_data: str | None = None
    closed: bool = False

    def part(self) -> Part:
        text = "".join(self.texts)
        if self.is_thinking:
            return ThinkingPart(text=text, signature=self.signature, redacted_data=self.redacted_data)
        return TextPart(text=text)


@dataclass(slots=True)
class _Call:
    start: ToolCallStart
    arguments: list[str] = field(default_factory=list[str])
    pieces: _Pieces = field(default_factory=_Pieces)


@dataclass(slots=True)
class _Choice:
    """One choice under construction."""

    role: str = "assistant"
    parts: list[_Text | RawPart] = field(default_factory=list["_Text | RawPart"])
    refusal: list[str] = field(default_factory=list[str])
    audio: list[JsonText] = field(default_factory=list[JsonText])
    logprobs: list[JsonText] = field(default_factory=list[JsonText])
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    raw_calls: dict[int, _Pieces] = field(default_factory=dict[int, _Pieces])
    pieces: _Pieces = field(default_factory=_Pieces)
    end: ChoiceEnd | None = None

    def add_text(self, text: str, *, is_thinking: bool) -> None:
        match self.parts[-1:]:
            case [_Text(closed=False) as last] if last.is_thinking is is_thinking:
                last.texts.append(text)
            case _:
                self.parts.append(_Text(is_thinking=is_thinking, texts=[text]))

    def close_thinking(self, event: ThinkingSignature) -> None:
        match self.parts[-1:]:
            case [_Text(is_thinking=True, closed=False) as last]:
                thinking = last
            case _:
                thinking = _Text(is_thinking=True, texts=[])
                self.parts.append(thinking)
        thinking.signature, thinking.redacted_data, thinking.closed = event.signature, event.redacted_data, True

    def add_raw(self, extra: Extra) -> None:
        for name, text in extra:
            match name:
                case "tool_calls":
                    self._add_raw_calls(text)
                case "content":
                    parts = msgspec.json.decode(text, type=list[msgspec.Raw])
                    self.parts += [RawPart(json=_text(part)) for part in parts]
                case _:
                    self.pieces.add(((name, text),))

    def _add_raw_calls(self, text: JsonText) -> None:
        for place, entry in enumerate(msgspec.json.decode(text, type=list[dict[str, msgspec.Raw]])):
            index = entry.pop("index", None)
            number = place if index is None else msgspec.json.decode(index, type=int)
            call = self.calls.get(number)
            pieces = self.raw_calls.setdefault(number, _Pieces()) if call is None else call.pieces
            pieces.add(tuple((name, _text(raw)) for name, raw in entry.items()))

    def message(self) -> Message:
        parts = tuple(part.part() if isinstance(part, _Text) else part for part in self.parts)
        return Message(
            role=self.role,
            content=parts or None,
            tool_calls=self._tool_calls(),
            refusal="".join(self.refusal) if self.refusal else None,
            audio=fold(self.audio) if self.audio else None,
            extra=self.pieces.extra(),
        )

    def _tool_calls(self) -> tuple[ToolCall | RawToolCall, ...]:
        built: dict[int, ToolCall | RawToolCall] = {}
        for index, call in self.calls.items():
            extra = (*call.start.extra, *call.pieces.extra())
            arguments = "".join(call.arguments)
            built[index] = ToolCall(id=call.start.id, name=call.start.name, arguments=arguments, extra=extra)
        for index, pieces in self.raw_calls.items():
            members = {name: msgspec.Raw(text) for name, text in pieces.extra()}
            built[index] = RawToolCall(json=JsonText(msgspec.json.encode(members).decode()))
        return tuple(built[index] for index in sorted(built))


class Collector:
    """Takes the events of one stream."""

    def __init__(self) -> None:
        self.ended = False
        """The stream came to its `End`."""
        self._start = _NOBODY
        self._usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}
        self._pieces = _Pieces()

    def feed(self, events: Iterable[Event]) -> None:
        """Take events in the order of the stream."""
        for event in events:
            match event:
                case StreamStart():
                    self._start = event
                case RawDelta():
                    self._take_raw(event)
                case UsageReport(usage=usage):
                    self._usage = usage
                case End():
                    self.ended = True
                case ToolCallStart() | ToolCallDelta():
                    self._take_tool_call(event)
                case _:
                    self._take_delta(event)

    def chat(self) -> ChatResponse:
        """Give the chat answer so far."""
        return ChatResponse(
            id=self._start.id,
            model=self._start.model,
            created_at=self._start.created_at,
            choices=tuple(_chat_choice(index, self._choices[index]) for index in sorted(self._choices)),
            usage=self._usage,
            system_fingerprint=self._start.system_fingerprint,
            service_tier=self._start.service_tier,
            extra=self._extra(),
        )

    def completion(self) -> CompletionResponse:
        """Give the completion so far."""
        return CompletionResponse(
            id=self._start.id,
            model=self._start.model,
            created_at=self._start.created_at,
            choices=tuple(_completion_choice(index, self._choices[index]) for index in sorted(self._choices)),
            usage=self._usage,
            system_fingerprint=self._start.system_fingerprint,
            extra=self._extra(),
        )

    def _take_raw(self, event: RawDelta) -> None:
        if event.choice is None:
            self._pieces.add(event.extra)
        else:
            self._choice(event.choice).add_raw(event.extra)

    def _take_delta(
        self,
        event: RoleDelta
        | TextDelta
        | ThinkingDelta
        | ThinkingSignature
        | RefusalDelta
        | AudioDelta
        | LogprobsDelta
        | ChoiceEnd,
    ) -> None:
        choice = self._choice(event.choice)
        match event:
            case RoleDelta(role=role):
                choice.role = role
            case TextDelta(text=text):
                choice.add_text(text, is_thinking=False)
            case ThinkingDelta(text=text):
                choice.add_text(text, is_thinking=True)
            case ThinkingSignature():
                choice.close_thinking(event)
            case RefusalDelta(text=text):
                choice.refusal.append(text)
            case AudioDelta(json=json):
                choice.audio.append(json)
            case LogprobsDelta(json=json):
                choice.logprobs.append(json)
            case ChoiceEnd():
                choice.end = event

    def _take_tool_call(self, event: ToolCallStart | ToolCallDelta) -> None:
        choice = self._choice(event.choice)
        match event:
            case ToolCallStart():
                choice.calls[event.index] = _Call(start=event)
            case ToolCallDelta() if event.index in choice.calls:
                choice.calls[event.index].arguments.append(event.arguments)
            case ToolCallDelta():
                # A delta without its start breaks the order that `core/events.py` promises.
                pass

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice())

    def _extra(self) -> Extra:
        late = dict(self._pieces.extra())
        kept = tuple((name, late.pop(name, text)) for name, text in self._start.extra)
        return (*kept, *late.items())


def _chat_choice(index: int, choice: _Choice) -> Choice:
    end = choice.end
    return Choice(
        index=index,
        message=choice.message(),
        finish_reason=None if end is None else end.finish_reason,
        native_finish_reason=None if end is None else end.native_finish_reason,
        logprobs=fold(choice.logprobs) if choice.logprobs else None,
        extra=() if end is None else end.extra,
    )


def _completion_choice(index: int, choice: _Choice) -> CompletionChoice:
    end = choice.end
    texts = ("".join(part.texts) for part in choice.parts if isinstance(part, _Text) and not part.is_thinking)
    return CompletionChoice(
        index=index,
        text="".join(texts),
        finish_reason=None if end is None else end.finish_reason,
        logprobs=fold(choice.logprobs) if choice.logprobs else None,
        extra=() if end is None else end.extra,
    )


def _text(raw: msgspec.Raw) -> JsonText:
    return JsonText(str(memoryview(raw), "utf-8"))
