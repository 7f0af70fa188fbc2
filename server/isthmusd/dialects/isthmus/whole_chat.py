"""A kept stream of a chat, put together to the whole answer that it amounts to. The way back is `streamed.py`'s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from isthmus.v1 import chat_pb2 as pb
from isthmus.v1.chat_stream_pb2 import (
    AudioDelta,
    ChatChunk,
    LogprobsDelta,
    RefusalDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)
from isthmus.v1.stream_pb2 import ChoiceEnd, RawDelta, TextDelta
from isthmus.v1.usage_pb2 import Logprobs

from isthmusd.core.chat import Extra, JsonText, RawToolCall
from isthmusd.dialects.isthmus.calls import write_tool_call
from isthmusd.dialects.isthmus.fields import join, member, quote, split, to_base64
from isthmusd.dialects.isthmus.whole import Members, gathered, members_of

_HEAD = ("created", "system_fingerprint", "service_tier")
_CUSTOM = "custom"
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def whole_chat(chunks: Iterable[ChatChunk]) -> pb.ChatResponse:
    """Give the whole answer. Raises UnsupportedFeature for steps of another version, and what `UNWRITABLE` lists."""
    top, choices = gathered(chunks, _STEPS, _Choice)
    whole = pb.ChatResponse(**top.fields(_HEAD))
    for index, choice in choices:
        choice.write(index, whole.choices.add())
    return whole


@dataclass(slots=True)
class _Text:
    """A part under construction."""

    is_thinking: bool
    texts: list[str] = field(default_factory=list[str])
    signature: bytes = b""
    redacted: bool = False

    def is_open(self) -> bool:
        return not self.signature and not self.redacted

    def part(self) -> pb.Part:
        text = "".join(self.texts)
        if self.is_thinking:
            return pb.Part(thinking=pb.Thinking(text=text, signature=self.signature, redacted=self.redacted))
        return pb.Part(text=text)


@dataclass(slots=True)
class _Call:
    """A call under construction that has fields of its own."""

    start: ToolCallStart
    arguments: list[str] = field(default_factory=list[str])
    late: Members = field(default_factory=Members)

    def write(self, calls: Any) -> None:
        start = self.start
        extra = (*members_of(start.extra_json), *self.late.extra())
        type_ = start.type if start.HasField("type") else None
        calls.add(id=start.id, name=start.name, type=type_, arguments="".join(self.arguments), extra_json=join(extra))


@dataclass(slots=True)
class _RawCall:
    """A call under construction of which there are members only, or whose arguments are free text."""

    members: Members = field(default_factory=Members)
    inputs: list[str] = field(default_factory=list[str])

    def add(self, extra: Extra) -> None:
        self._settle()
        self.members.add(extra)

    def write(self, calls: Any) -> None:
        self._settle()
        write_tool_call(RawToolCall(json=JsonText(join(self.members.extra()) or "{}")), calls)

    def _settle(self) -> None:
        """Joining once is what keeps a long input from being copied for each of its pieces."""
        if self.inputs:
            self.members.add(_custom("input", "".join(self.inputs)))
            self.inputs.clear()


def _custom(name: str, text: str) -> Extra:
    return ((_CUSTOM, JsonText(join(member(name, text)))),)


@dataclass(slots=True)
class _Choice:
    """One choice under construction."""

    role: str = "assistant"
    parts: list[_Text | pb.Part] = field(default_factory=list["_Text | pb.Part"])
    refusals: list[str] = field(default_factory=list[str])
    sound: list[AudioDelta] = field(default_factory=list[AudioDelta])
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    raw_calls: dict[int, _RawCall] = field(default_factory=dict[int, _RawCall])
    logprobs: list[Logprobs] = field(default_factory=list[Logprobs])
    members: Members = field(default_factory=Members)
    end: ChoiceEnd = field(default_factory=ChoiceEnd)

    def add_text(self, delta: TextDelta) -> None:
        self._open(is_thinking=False).texts.append(delta.text)

    def add_thinking(self, delta: ThinkingDelta) -> None:
        thinking = self._open(is_thinking=True)
        thinking.texts.append(delta.text)
        thinking.signature, thinking.redacted = delta.signature, delta.redacted

    def _open(self, *, is_thinking: bool) -> _Text:
        match self.parts[-1:]:
            case [_Text() as last] if last.is_thinking is is_thinking and last.is_open():
                return last
            case _:
                part = _Text(is_thinking=is_thinking)
                self.parts.append(part)
                return part

    def add_refusal(self, delta: RefusalDelta) -> None:
        self.refusals.append(delta.text)

    def add_sound(self, delta: AudioDelta) -> None:
        self.sound.append(delta)

    def start_call(self, start: ToolCallStart) -> None:
        if start.type != _CUSTOM:
            self.calls[start.index] = _Call(start=start)
            return
        # Id and name may come one after the other.
        name = _custom("name", start.name) if start.name else ()
        own = (*member("id", start.id or None), ("type", quote(_CUSTOM)), *name)
        self._raw_call(start.index).add((*own, *members_of(start.extra_json)))

    def add_arguments(self, delta: ToolCallDelta) -> None:
        if delta.index in self.calls:
            self.calls[delta.index].arguments.append(delta.arguments)
        elif delta.index in self.raw_calls:
            self.raw_calls[delta.index].inputs.append(delta.arguments)
        # A delta without its start breaks the order that `core/events.py` promises.

    def _raw_call(self, index: int) -> _RawCall:
        return self.raw_calls.setdefault(index, _RawCall())

    def add_logprobs(self, delta: LogprobsDelta) -> None:
        self.logprobs.append(delta.logprobs)

    def add_raw(self, raw: RawDelta) -> None:
        """Take members that no other step has: parts and calls of unknown kinds go where their like is."""
        for name, text in split(raw.json):
            match name:
                case "content":
                    self.parts += [pb.Part(raw_json=_text(part)) for part in _ARRAY.decode(text)]
                case "tool_calls":
                    self._add_raw_calls(text)
                case "role":
                    self.role = msgspec.json.decode(text, type=str)
                case _:
                    self.members.add(((name, text),))

    def _add_raw_calls(self, text: JsonText) -> None:
        for place, entry in enumerate(_OBJECTS.decode(text)):
            given = entry.pop("index", None)
            index = place if given is None else msgspec.json.decode(given, type=int)
            call = self.calls.get(index)
            taker = self._raw_call(index) if call is None else call.late
            taker.add(tuple((name, _text(raw)) for name, raw in entry.items()))

    def finish(self, end: ChoiceEnd) -> None:
        self.end = end

    def write(self, index: int, wire: pb.ChatChoice) -> None:
        """Fill in the choice, in the order in which whole answers are written."""
        end = self.end
        wire.index = index
        wire.finish_reason, wire.native_finish_reason = end.finish_reason, end.native_finish_reason
        odd_logprobs = self.members.take("logprobs")
        wire.extra_json = join((*members_of(end.extra_json), *odd_logprobs)) if odd_logprobs else end.extra_json
        if self.logprobs:
            _write_logprobs(self.logprobs, wire.logprobs)
        message = wire.message
        message.role = self.role
        message.parts.extend(part.part() if isinstance(part, _Text) else part for part in self.parts)
        if self.refusals:
            message.parts.add(refusal="".join(self.refusals))
        if self.sound:
            message.parts.extend(self._spoken())
        calls = {**self.calls, **self.raw_calls}
        for place in sorted(calls):
            calls[place].write(message.tool_calls)
        odd_sound = self.members.take("audio")
        message.extra_json = join((*self.members.extra(), *odd_sound))

    def _spoken(self) -> Sequence[pb.Part]:
        """Give what was said; without an id it is no spoken answer to whole ones, and stays JSON."""
        audio, extra = _joined(self.sound)
        if audio.HasField("id"):
            return [pb.Part(audio=audio, extra_json=join(extra))]
        said = (
            *member("data", to_base64(audio.data) or None),
            *member("transcript", audio.transcript or None),
            *member("expires_at", audio.expire_time.seconds or None),
            *extra,
        )
        self.members.add((("audio", JsonText(join(said) or "{}")),))
        return []


def _joined(sound: Sequence[AudioDelta]) -> tuple[pb.Audio, Extra]:
    audio = pb.Audio(data=b"".join(delta.data for delta in sound))
    transcript = "".join(delta.transcript for delta in sound)
    if transcript:
        audio.transcript = transcript
    extra = Members()
    for delta in sound:
        if delta.HasField("id"):
            audio.id = delta.id
        if delta.HasField("expire_time"):
            audio.expire_time.CopyFrom(delta.expire_time)
        extra.add(members_of(delta.extra_json))
    return audio, extra.extra()


def _write_logprobs(pieces: Sequence[Logprobs], wire: Logprobs) -> None:
    wire.SetInParent()
    extra = Members()
    for piece in pieces:
        wire.content.extend(piece.content)
        wire.refusal.extend(piece.refusal)
        extra.add(members_of(piece.extra_json))
    wire.extra_json = join(extra.extra())


def _text(raw: msgspec.Raw) -> JsonText:
    return JsonText(bytes(raw).decode())


_STEPS: Mapping[str, Callable[[_Choice, Any], None]] = {
    "text_delta": _Choice.add_text,
    "thinking_delta": _Choice.add_thinking,
    "refusal_delta": _Choice.add_refusal,
    "audio_delta": _Choice.add_sound,
    "tool_call_start": _Choice.start_call,
    "tool_call_delta": _Choice.add_arguments,
    "logprobs_delta": _Choice.add_logprobs,
    "raw_json": _Choice.add_raw,
    "choice_end": _Choice.finish,
}
