"""The way back of `core/forced_tool.py`: calls of a schema's tool to text, whole and streamed. How requests come
to hold such a tool is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
from isthmusd.core.deltas import fold
from isthmusd.core.events import (
    AudioDelta,
    ChoiceEnd,
    End,
    Event,
    LogprobsDelta,
    RawDelta,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
)

EMPTY = "{}"
"""Arguments of a call that came without any."""

_SPACE = frozenset(" \t\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaTool:
    """The tool whose call is the answer."""

    name: str
    wraps: str | None = None
    """The one member of its arguments that is the answer; None: the arguments are."""


def restore(response: ChatResponse, tool: SchemaTool) -> ChatResponse:
    """Turn the first call of the schema's tool in each choice into text; more of them are dropped."""
    return replace(response, choices=tuple(_restored(choice, tool) for choice in response.choices))


class SchemaAnswers:
    """Events of a stream with calls of the schema's tool to events with text. Fed by one task.

    Text is held back, with what follows it, until it is known to stand beside such a call (dropped) or not (given at
    the choice's end): under a forced call there is none, so nobody waits for it. Other tool calls pass, renumbered.
    """

    def __init__(self, tool: SchemaTool) -> None:
        self._tool = tool
        self._choices: dict[int, _Progress] = {}

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """Take events of the target."""
        given: list[Event] = []
        for event in events:
            match event:
                case ToolCallStart() | ToolCallDelta():
                    given += self._tool_call(event)
                case RawDelta(choice=int()):
                    given += self._raw(event)
                case TextDelta() | ThinkingDelta() | ThinkingSignature() | RefusalDelta() | AudioDelta():
                    given += self._of(event.choice).content(event)
                case LogprobsDelta():
                    given += self._of(event.choice).content(event)
                case ChoiceEnd():
                    given += self._of(event.choice).end(event)
                case End():
                    for progress in self._choices.values():
                        given += progress.release()
                    given.append(event)
                case _:
                    given.append(event)
        return given

    def _of(self, choice: int) -> _Progress:
        progress = self._choices.get(choice)
        if progress is None:
            progress = self._choices[choice] = _Progress(choice=choice, answer=_Answer(self._tool.wraps))
        return progress

    def _tool_call(self, event: ToolCallStart | ToolCallDelta) -> list[Event]:
        progress = self._of(event.choice)
        match event:
            case ToolCallStart(name=name) if name == self._tool.name:
                return progress.begin(event)
            case ToolCallDelta(index=index) if index == progress.call:
                text = progress.answer.feed(event.arguments)
                return [TextDelta(choice=event.choice, text=text)] if text else []
            case ToolCallDelta(index=index) if index not in progress.places:
                return []
            case _:
                place = progress.place(event.index)
                return [] if place is None else [replace(event, index=place)]

    def _raw(self, event: RawDelta) -> list[Event]:
        progress = self._of(event.choice or 0)
        given: list[Event] = []
        rest: list[tuple[str, JsonText]] = []
        for name, text in event.extra:
            match name:
                case "content":
                    given += progress.content(RawDelta(choice=event.choice, extra=((name, text),)))
                case "tool_calls":
                    given += progress.raw_calls(text)
                case _:
                    rest.append((name, text))
        return [*given, *progress.content(RawDelta(choice=event.choice, extra=tuple(rest)))] if rest else given


@dataclass(slots=True)
class _Progress:
    """What was seen of one choice."""

    choice: int
    answer: _Answer
    call: int | None = None
    """Index of the call that is the answer, once it began."""
    repeated: set[int] = field(default_factory=set[int])
    places: dict[int, int] = field(default_factory=dict[int, int])
    """New indices of the calls that are none."""
    held: list[Event] = field(default_factory=list[Event])

    def begin(self, event: ToolCallStart) -> list[Event]:
        if self.call is not None:
            self.repeated.add(event.index)
            return []
        self.call = event.index
        beside = [kept for kept in self.release() if not _is_text(kept)]
        # What came with the call, such as the signature of its thinking, must find its way back with the text.
        extra = _of_message(event.extra)
        return [RawDelta(choice=self.choice, extra=extra), *beside] if extra else beside

    def place(self, index: int) -> int | None:
        return None if index in self.repeated else self.places.setdefault(index, len(self.places))

    def content(self, event: Event) -> list[Event]:
        if self.call is not None:
            return [] if _is_text(event) else [event]
        if not self.held and not _is_text(event):
            return [event]
        self.held.append(event)
        return []

    def raw_calls(self, text: JsonText) -> list[Event]:
        entries: list[object] = []
        given: list[Event] = []
        for place, entry in enumerate(msgspec.json.decode(text, type=list[dict[str, msgspec.Raw]])):
            index = entry.pop("index", None)
            number = place if index is None else msgspec.json.decode(index, type=int)
            if number == self.call:
                extra = tuple((name, JsonText(bytes(raw).decode())) for name, raw in entry.items())
                given.append(RawDelta(choice=self.choice, extra=extra))
            elif (free := self.place(number)) is not None:
                entries.append({"index": free, **entry})
        if entries:
            members = (("tool_calls", JsonText(msgspec.json.encode(entries).decode())),)
            given.append(RawDelta(choice=self.choice, extra=members))
        return given

    def end(self, event: ChoiceEnd) -> list[Event]:
        given = self.release()
        if self.call is None:
            return [*given, event]
        text = self.answer.close(event.finish_reason)
        if text:
            given.append(TextDelta(choice=self.choice, text=text))
        reason, native = _finish(event.finish_reason, event.native_finish_reason, calls_left=bool(self.places))
        return [*given, replace(event, finish_reason=reason or "", native_finish_reason=native)]

    def release(self) -> list[Event]:
        held = self.held.copy()
        self.held.clear()
        return held


class _Answer:
    """The text of an answer out of pieces of arguments. Where they wrap it, their form is followed as they come;
    arguments of another form are taken as they are."""

    def __init__(self, wraps: str | None) -> None:
        self._opening = re.compile(r"\s*\{\s*" + re.escape(f'"{wraps}"') + r"\s*:")
        self._compact = f'{{"{wraps}":'
        self._is_wrapped = wraps is not None
        self._read = self._whole if wraps is None else self._open
        self._held = ""
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._said = False

    def feed(self, arguments: str) -> str:
        text = self._read(arguments)
        self._said = self._said or bool(arguments)
        return text

    def close(self, finish_reason: str | None) -> str:
        """Give what is left, once there is a reason to believe that nothing follows. A call that has no arguments,
        though it was not cut off, has empty ones."""
        if finish_reason is None:
            return ""
        return self._held if self._said or self._is_wrapped or finish_reason == "length" else EMPTY

    def _whole(self, arguments: str) -> str:
        return arguments

    def _open(self, arguments: str) -> str:
        self._held += arguments
        opened = self._opening.match(self._held)
        if opened is None and self._compact.startswith("".join(self._held.split())):
            return ""
        text, self._held = self._held, ""
        self._read = self._whole if opened is None else self._value
        return text if opened is None else self._value(text[opened.end() :])

    def _value(self, arguments: str) -> str:
        kept: list[str] = []
        for char in arguments:
            if self._in_string:
                self._in_string = self._escaped or char != '"'
                self._escaped = char == "\\" and not self._escaped
            elif self._depth == 0 and char in ",}]":
                self._read = self._after
                break
            elif self._depth == 0 and char in _SPACE:
                continue
            else:
                self._in_string = char == '"'
                self._depth += (char in "{[") - (char in "]}")
            kept.append(char)
        return "".join(kept)

    def _after(self, arguments: str) -> str:
        del arguments
        return ""


def _restored(choice: Choice, tool: SchemaTool) -> Choice:
    message = choice.message
    ours = [call for call in message.tool_calls if _is_call_of(call, tool)]
    match ours:
        case [ToolCall() as call, *_]:
            answer = _Answer(tool.wraps)
            text = answer.feed(call.arguments) + answer.close(choice.finish_reason)
        case _:
            return choice
    rest = tuple(other for other in message.tool_calls if not _is_call_of(other, tool))
    kept = _without_text(message)
    reason, native = _finish(choice.finish_reason, choice.native_finish_reason, calls_left=bool(rest))
    restored = replace(
        message,
        content=(*kept, TextPart(text=text)) if text else kept or None,
        tool_calls=rest,
        extra=_joined(_of_message(call.extra), message.extra),
    )
    return replace(choice, message=restored, finish_reason=reason, native_finish_reason=native)


def _finish(reason: str | None, native: str | None, *, calls_left: bool) -> tuple[str | None, str | None]:
    return (reason, native) if reason != "tool_calls" or calls_left else ("stop", native or reason)


def _is_call_of(call: ToolCall | RawToolCall, tool: SchemaTool) -> bool:
    match call:
        case ToolCall(name=name):
            return name == tool.name
        case RawToolCall():
            return False


def _is_text(event: Event) -> bool:
    match event:
        case TextDelta() | RawDelta(extra=(("content", _),)):
            return True
        case _:
            return False


def _without_text(message: Message) -> tuple[Part, ...]:
    """Keep what is no text. Thinking that text parted becomes one, as in a stream."""
    kept: list[Part] = []
    for part in message.content or ():
        match part, kept[-1:]:
            case ((TextPart() | RawPart()), _):
                pass
            case ThinkingPart(), [ThinkingPart(signature=None, redacted_data=None) as before]:
                kept[-1] = replace(part, text=before.text + part.text, extra=(*before.extra, *part.extra))
            case _:
                kept.append(part)
    return tuple(kept)


def _of_message(extra: Extra) -> Extra:
    """Leave out what only says where the call stood: some servers number the calls of whole answers too."""
    return tuple(member for member in extra if member[0] != "index")


def _joined(first: Extra, second: Extra) -> Extra:
    pieces: dict[str, list[JsonText]] = {}
    for name, text in (*first, *second):
        pieces.setdefault(name, []).append(text)
    return tuple((name, fold(texts, name)) for name, texts in pieces.items())
