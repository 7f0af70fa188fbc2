"""A streamed chat put together again: what to keep of it, and to send back in the next turn. Not for completions."""

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field

from isthmus.folding import Json, fold, read_object, write_object
from isthmus.v1.chat_pb2 import Audio, ChatChoice, ChatResponse, Part, Thinking, ToolCall
from isthmus.v1.chat_stream_pb2 import (
    AudioDelta,
    ChatChunk,
    ChatEvent,
    LogprobsDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
)
from isthmus.v1.stream_pb2 import ChoiceEnd, RawDelta, StreamStart


def whole_of(chunks: Iterable[ChatChunk]) -> ChatResponse:
    """Read a stream to its end and give the answer that it amounts to: the same as `CreateChatCompletion` gives."""
    collector = Collector()
    for chunk in chunks:
        collector.feed(chunk)
    return collector.response()


async def async_whole_of(chunks: AsyncIterable[ChatChunk]) -> ChatResponse:
    """Read a stream to its end and give the answer that it amounts to, for asyncio."""
    collector = Collector()
    async for chunk in chunks:
        collector.feed(chunk)
    return collector.response()


class Collector:
    """Takes the chunks of one stream. `response` may be asked at any time and gives what has come so far."""

    def __init__(self) -> None:
        self._head = ChatResponse()
        self._extra: list[str] = []
        self._choices: dict[int, _Choice] = {}

    def feed(self, chunk: ChatChunk) -> None:
        """Take the next chunk."""
        for event in chunk.events:
            match event.WhichOneof("event"):
                case "start":
                    self._start(event.start)
                case "usage":
                    self._head.usage.CopyFrom(event.usage)
                case "raw_json":
                    self._raw(event.raw_json)
                case None:
                    pass  # a newer gateway's step
                case _:
                    self._take(event)

    def response(self) -> ChatResponse:
        """Give the answer so far."""
        answer = ChatResponse()
        answer.CopyFrom(self._head)
        answer.extra_json = fold(self._extra)
        answer.choices.extend(self._choices[index].whole(index) for index in sorted(self._choices))
        return answer

    def _start(self, start: StreamStart) -> None:
        self._head.id, self._head.model, self._head.provider = start.id, start.model, start.provider
        if start.HasField("created"):
            self._head.created.CopyFrom(start.created)
        if start.HasField("system_fingerprint"):
            self._head.system_fingerprint = start.system_fingerprint
        if start.HasField("service_tier"):
            self._head.service_tier = start.service_tier
        self._extra.append(start.extra_json)

    def _raw(self, raw: RawDelta) -> None:
        if raw.HasField("choice"):
            self._choice(raw.choice).add_raw(raw.json)
        else:
            self._extra.append(raw.json)

    def _take(self, event: ChatEvent) -> None:
        match event.WhichOneof("event"):
            case "text_delta":
                self._choice(event.text_delta.choice).add_text(event.text_delta.text)
            case "thinking_delta":
                self._choice(event.thinking_delta.choice).add_thinking(event.thinking_delta)
            case "refusal_delta":
                self._choice(event.refusal_delta.choice).refusal.append(event.refusal_delta.text)
            case "audio_delta":
                self._choice(event.audio_delta.choice).add_audio(event.audio_delta)
            case "tool_call_start":
                self._choice(event.tool_call_start.choice).start_call(event.tool_call_start)
            case "tool_call_delta":
                self._choice(event.tool_call_delta.choice).add_arguments(event.tool_call_delta)
            case "logprobs_delta":
                self._choice(event.logprobs_delta.choice).add_logprobs(event.logprobs_delta)
            case _:
                self._choice(event.choice_end.choice).end(event.choice_end)

    def _choice(self, index: int) -> "_Choice":
        return self._choices.setdefault(index, _Choice())


@dataclass(slots=True)
class _Piece:
    """A part under construction: texts of one kind, or a part as it came."""

    part: Part
    texts: list[str] = field(default_factory=list[str])
    closed: bool = False

    def whole(self) -> Part:
        match self.part.WhichOneof("kind"):
            case "text":
                self.part.text = "".join(self.texts)
            case "thinking":
                self.part.thinking.text = "".join(self.texts)
            case _:
                pass
        return self.part


@dataclass(slots=True)
class _Call:
    call: ToolCall
    arguments: list[str] = field(default_factory=list[str])
    extra: list[str] = field(default_factory=list[str])

    started: bool = True
    """False: it came as JSON, whole or in pieces."""

    def whole(self) -> ToolCall:
        extra = fold(self.extra)
        if not self.started:
            return _call_of(read_object(extra))
        self.call.arguments = "".join(self.arguments)
        self.call.extra_json = extra
        return self.call


def _call_of(members: dict[str, Json]) -> ToolCall:
    """Read a call that came as JSON: what has a field goes there, as in a whole answer."""
    call = ToolCall()
    for name in ("id", "type"):
        if isinstance(value := members.get(name), str):
            setattr(call, name, value)
            del members[name]
    holder = members.get(call.type)
    body = _BODIES.get(call.type, "arguments")
    called = holder if isinstance(holder, dict) else members
    for name, ours in (("name", "name"), (body, "arguments")):
        if isinstance(value := called.get(name), str):
            setattr(call, ours, value)
            del called[name]
    if holder == {}:
        del members[call.type]
    call.extra_json = write_object(members)
    return call


_BODIES = {"custom": "input"}
"""By the type of a call, the member that says what it says, where it is not `arguments`."""


@dataclass(slots=True)
class _Choice:
    """One choice under construction."""

    wire: ChatChoice = field(default_factory=ChatChoice)
    role: str = "assistant"
    pieces: list[_Piece] = field(default_factory=list[_Piece])
    refusal: list[str] = field(default_factory=list[str])
    audio: Part | None = None
    sound: list[bytes] = field(default_factory=list[bytes])
    sound_extra: list[str] = field(default_factory=list[str])
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    extra: list[str] = field(default_factory=list[str])
    logprobs_extra: list[str] = field(default_factory=list[str])

    def add_text(self, text: str) -> None:
        self._open("text").texts.append(text)

    def add_thinking(self, delta: ThinkingDelta) -> None:
        piece = self._open("thinking")
        piece.texts.append(delta.text)
        if delta.signature or delta.redacted:
            piece.part.thinking.signature, piece.part.thinking.redacted = delta.signature, delta.redacted
            piece.closed = True

    def _open(self, kind: str) -> _Piece:
        last = self.pieces[-1] if self.pieces else None
        if last is None or last.closed or last.part.WhichOneof("kind") != kind:
            last = _Piece(part=Part(text="") if kind == "text" else Part(thinking=Thinking()))
            self.pieces.append(last)
        return last

    def add_audio(self, delta: AudioDelta) -> None:
        part = self.audio = self.audio or Part(audio=Audio())
        self.sound.append(delta.data)
        self.sound_extra.append(delta.extra_json)
        if delta.transcript:
            part.audio.transcript += delta.transcript
        if delta.HasField("id"):
            part.audio.id = delta.id
        if delta.HasField("expire_time"):
            part.audio.expire_time.CopyFrom(delta.expire_time)

    def start_call(self, start: ToolCallStart) -> None:
        call = ToolCall(id=start.id, name=start.name, type=start.type if start.HasField("type") else None)
        self.calls[start.index] = _Call(call=call, extra=[start.extra_json])

    def add_arguments(self, delta: ToolCallDelta) -> None:
        if delta.index in self.calls:
            self.calls[delta.index].arguments.append(delta.arguments)

    def add_logprobs(self, delta: LogprobsDelta) -> None:
        self.wire.logprobs.content.extend(delta.logprobs.content)
        self.wire.logprobs.refusal.extend(delta.logprobs.refusal)
        self.wire.logprobs.SetInParent()
        self.logprobs_extra.append(delta.logprobs.extra_json)

    def add_raw(self, text: str) -> None:
        """Take members that no other step has: parts and calls of unknown kinds go where their like is."""
        members = read_object(text)
        own = len(members)
        match members.get("content"):
            case list() as parts:
                del members["content"]
                self.pieces += [_Piece(part=Part(raw_json=write_object(one))) for one in parts if isinstance(one, dict)]
            case _:
                pass
        match members.get("tool_calls"):
            case list() as calls:
                del members["tool_calls"]
                self._add_raw_calls(calls)
            case _:
                pass
        match members.get("role"):
            case str(role):
                del members["role"]
                self.role = role
            case _:
                pass
        self.extra.append(text if len(members) == own else write_object(members))

    def _add_raw_calls(self, entries: list[Json]) -> None:
        for place, entry in enumerate(entries):
            match entry:
                case {"index": int(index), **rest}:
                    pass
                case dict() as rest:
                    index = place
                case _:
                    continue
            call = self.calls.setdefault(index, _Call(call=ToolCall(), started=False))
            call.extra.append(write_object(rest))

    def end(self, end: ChoiceEnd) -> None:
        self.wire.finish_reason, self.wire.native_finish_reason = end.finish_reason, end.native_finish_reason
        self.wire.extra_json = end.extra_json

    def whole(self, index: int) -> ChatChoice:
        choice = ChatChoice()
        choice.CopyFrom(self.wire)
        choice.index = index
        if choice.HasField("logprobs"):
            choice.logprobs.extra_json = fold(self.logprobs_extra)
        choice.message.role = self.role
        choice.message.parts.extend(piece.whole() for piece in self.pieces)
        if self.refusal:
            choice.message.parts.add(refusal="".join(self.refusal))
        if self.audio is not None:
            self.audio.audio.data = b"".join(self.sound)
            self.audio.extra_json = fold(self.sound_extra)
            choice.message.parts.append(self.audio)
        choice.message.tool_calls.extend(self.calls[place].whole() for place in sorted(self.calls))
        choice.message.extra_json = fold(self.extra)
        return choice
