"""The streamed chat completion: deltas of a choice, both ways. Chunks around them are `chunk_decoder.py` and
`chunk_encoder.py`.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from isthmusd.core.call import Stamp
from isthmusd.core.chat import Extra, JsonText, RawPart, TextPart, ThinkingPart
from isthmusd.core.events import (
    AudioDelta,
    Event,
    RawDelta,
    RefusalDelta,
    RoleDelta,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    ToolCallStart,
)
from isthmusd.core.profile import Profile
from isthmusd.dialects.openai.chat_response import tool_call_id
from isthmusd.dialects.openai.chunk_decoder import ChunkDecoder
from isthmusd.dialects.openai.chunk_encoder import ChunkEncoder, Delta, unstarted
from isthmusd.dialects.openai.content import decode_content
from isthmusd.dialects.openai.plain_chunk import PlainChoice, plain_choices
from isthmusd.dialects.openai.thinking import BLOCKS, encode_blocks, take_blocks, take_reasoning
from isthmusd.dialects.openai.tools import arguments_of
from isthmusd.framing.failures import answer_fault
from isthmusd.framing.fields import Fields, drop_none, json_text


def chat_decoder(stamp: Stamp, profile: Profile) -> ChunkDecoder:
    """Make the decoder of one streamed chat answer."""
    reader = _DeltaReader(stamp)
    return ChunkDecoder(
        reader.read, fallback_id=f"chatcmpl-{stamp.id}", stamp=stamp, profile=profile, read_plain=reader.read_plain
    )


def chat_encoder(stamp: Stamp, include_usage: bool) -> ChunkEncoder:
    """Make the encoder of one streamed chat answer."""
    start = unstarted(stamp, "chatcmpl")
    return ChunkEncoder(
        "chat.completion.chunk", _DeltaWriter().write, nothing={"delta": {}}, start=start, include_usage=include_usage
    )


@dataclass(slots=True)
class _Call:
    index: int
    id: str


@dataclass(slots=True)
class _Progress:
    """What was seen of one choice."""

    has_role: bool = False
    has_text: bool = False
    has_open_thinking: bool = False
    """Thinking whose block was not closed by a signature."""
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    """Open tool calls by the index that the server writes; the same index may be used for several calls."""
    last: _Call | None = None
    taken: set[int] = field(default_factory=set[int])


class _DeltaReader:
    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._progress: dict[int, _Progress] = {}

    def read(self, choice: int, fields: Fields) -> list[Event]:
        delta = fields.object("delta")
        events: list[Event] = []
        if delta is None:
            return events
        seen = self._progress.setdefault(choice, _Progress())
        role = delta.text("role")
        # Some servers repeat the role in every chunk.
        if role and not seen.has_role:
            seen.has_role = True
            events.append(RoleDelta(choice=choice, role=role))
        thinking = take_reasoning(delta)
        if thinking:
            seen.has_open_thinking = True
            events.append(ThinkingDelta(choice=choice, text=thinking))
        for block in take_blocks(delta, answer_fault):
            # A block that closes repeats the text that came before it; one that does not is a piece of text itself.
            repeats = thinking or (seen.has_open_thinking and _closes(block))
            events += _thinking(choice, replace(block, text="") if repeats else block, seen)
        events += _content(choice, delta, seen)
        refusal = delta.text("refusal")
        if refusal:
            events.append(RefusalDelta(choice=choice, text=refusal))
        audio = delta.json("audio")
        if audio is not None:
            events.append(AudioDelta(choice=choice, json=audio))
        opaque = self._tool_calls(choice, delta, seen, events)
        extra: Extra = tuple((name, text) for name, text in delta.rest() if text != "null") + opaque
        if extra:
            events.append(RawDelta(choice=choice, extra=extra))
        return events

    def read_plain(self, data: bytes) -> list[tuple[int, list[Event]]] | None:
        """Read a chunk that only goes on, to the events that `read` would give; None leaves it to `read`."""
        choices = plain_choices(data)
        if choices is None or not all(self._goes_on(choice) for choice in choices):
            return None
        return [(choice.index, self._go_on(choice)) for choice in choices]

    def _goes_on(self, choice: PlainChoice) -> bool:
        calls = choice.delta.tool_calls
        if not calls:
            return True
        seen = self._progress.get(choice.index)
        return seen is not None and all(call.index in seen.calls for call in calls)

    def _go_on(self, plain: PlainChoice) -> list[Event]:
        choice, delta = plain.index, plain.delta
        seen = self._progress.get(choice)
        if seen is None:
            seen = self._progress[choice] = _Progress()
        events: list[Event] = []
        if delta.role and not seen.has_role:
            seen.has_role = True
            events.append(RoleDelta(choice=choice, role=delta.role))
        if delta.reasoning_content:
            seen.has_open_thinking = True
            events.append(ThinkingDelta(choice=choice, text=delta.reasoning_content))
        text = delta.content
        if text is not None:
            if text or not seen.has_text:
                events.append(TextDelta(choice=choice, text=text))
            seen.has_text = True
        for call in delta.tool_calls or ():
            if call.function.arguments:
                index = seen.calls[call.index].index
                events.append(ToolCallDelta(choice=choice, index=index, arguments=call.function.arguments))
        return events

    def _tool_calls(self, choice: int, delta: Fields, seen: _Progress, events: list[Event]) -> Extra:
        """Add the events of function calls; give back pieces of other calls, and members beyond a call's start."""
        opaque: list[object] = []
        for place, raw in enumerate(delta.items("tool_calls") or []):
            entry = Fields.of(raw, f"{delta.at('tool_calls')}[{place}]", answer_fault)
            function = entry.object("function")
            if function is None:
                opaque.append(raw)
                continue
            entry.text("type")
            index, name_id, name = entry.integer("index"), entry.text("id") or "", function.text("name") or ""
            arguments, extra = arguments_of(function), entry.rest()
            call = _open_call(seen, index, name_id, name)
            if call is None:
                call = self._start_call(choice, seen, index, name_id)
                events.append(ToolCallStart(choice=choice, index=call.index, id=call.id, name=name, extra=extra))
            elif extra:
                opaque.append(drop_none({"index": call.index}, extra))
            if arguments:
                events.append(ToolCallDelta(choice=choice, index=call.index, arguments=arguments))
        return (("tool_calls", json_text(msgspec.json.encode(opaque))),) if opaque else ()

    def _start_call(self, choice: int, seen: _Progress, index: int | None, call_id: str) -> _Call:
        wanted = index if index is not None else len(seen.taken)
        free = wanted if wanted not in seen.taken else max(seen.taken) + 1
        call = _Call(index=free, id=call_id or tool_call_id(self._stamp, choice, free))
        seen.taken.add(free)
        seen.calls[free if index is None else index] = seen.last = call
        return call


def _open_call(seen: _Progress, index: int | None, call_id: str, name: str) -> _Call | None:
    """Find the call that a piece continues. Servers exist that write no index, or index 0 for every parallel call
    (Gemini's compatible endpoint), so a piece with a name and another id opens a call."""
    candidate = seen.last if index is None else seen.calls.get(index)
    if candidate is None:
        return None
    opens = bool(name) and (bool(call_id) or index is None) and call_id != candidate.id
    return None if opens else candidate


def _content(choice: int, delta: Fields, seen: _Progress) -> list[Event]:
    events: list[Event] = []
    for part in decode_content(delta.raw("content"), delta.at("content"), answer_fault) or ():
        match part:
            case TextPart(text=text):
                # The first text counts even if empty: it tells an empty answer from none.
                if text or not seen.has_text:
                    events.append(TextDelta(choice=choice, text=text))
                seen.has_text = True
            case ThinkingPart():
                events += _thinking(choice, part, seen)
            case RawPart(json=json):
                # Mistral streams references between texts: https://docs.mistral.ai/capabilities/citations/
                events.append(RawDelta(choice=choice, extra=(("content", JsonText(f"[{json}]")),)))
            case _:
                raise delta.fault("'content' holds a part that no answer can have.", "content")
    return events


def _closes(part: ThinkingPart) -> bool:
    return part.signature is not None or part.redacted_data is not None


def _thinking(choice: int, part: ThinkingPart, seen: _Progress) -> list[Event]:
    events: list[Event] = []
    if part.text:
        seen.has_open_thinking = True
        events.append(ThinkingDelta(choice=choice, text=part.text))
    if _closes(part):
        seen.has_open_thinking = False
        closing = ThinkingSignature(choice=choice, signature=part.signature, redacted_data=part.redacted_data)
        events.append(closing)
    return events


class _DeltaWriter:
    """Writes the deltas of one stream.

    OpenAI's client libraries put lists of a stream together by the `index` of their entries and fail without one, so
    entries get one by their order, per choice and member.
    """

    def __init__(self) -> None:
        self._thoughts: dict[int, list[str]] = {}
        """Per choice the text of the thinking block that is open."""
        self._counts: dict[tuple[int, str], int] = {}

    def write(self, event: Delta) -> dict[str, object] | None:
        """Give the members of a choice for a delta."""
        match event:
            case ThinkingSignature(signature=None, redacted_data=None):
                self._thoughts.pop(event.choice, None)
                return None
            case _:
                return {"delta": self._delta(event)}

    def _delta(self, event: Delta) -> dict[str, object]:
        match event:
            case TextDelta():
                # Thinking before this is another block than the one after it.
                self._thoughts.pop(event.choice, None)
                return {"content": event.text}
            case ThinkingDelta():
                self._thoughts.setdefault(event.choice, []).append(event.text)
                return {"reasoning_content": event.text}
            case ThinkingSignature():
                return {BLOCKS: self._blocks(event)}
            case RawDelta():
                members = drop_none({}, event.extra)
                return {name: self._indexed(event.choice or 0, name, value) for name, value in members.items()}
            case _:
                return _plain_delta(event)

    def _blocks(self, event: ThinkingSignature) -> list[dict[str, object]]:
        text = "".join(self._thoughts.pop(event.choice, ()))
        part = ThinkingPart(text=text, signature=event.signature, redacted_data=event.redacted_data)
        return [{"index": self._next(event.choice, BLOCKS), **block} for block in encode_blocks(part)]

    def _indexed(self, choice: int, name: str, value: object) -> object:
        if name in _PIECEWISE:
            return value
        try:
            entries = _ENTRIES.decode(msgspec.json.encode(value))
        except msgspec.ValidationError:
            return value
        return [entry if "index" in entry else {"index": self._next(choice, name), **entry} for entry in entries]

    def _next(self, choice: int, name: str) -> int:
        index = self._counts.get((choice, name), 0)
        self._counts[choice, name] = index + 1
        return index


_ENTRIES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_PIECEWISE = frozenset({"content", "tool_calls"})
"""Lists that have a meaning of their own in OpenAI's format."""


def _plain_delta(event: RoleDelta | RefusalDelta | AudioDelta | ToolCallStart | ToolCallDelta) -> dict[str, object]:
    match event:
        case RoleDelta():
            return {"role": event.role}
        case RefusalDelta():
            return {"refusal": event.text}
        case AudioDelta():
            return {"audio": msgspec.Raw(event.json)}
        case ToolCallStart():
            function = {"name": event.name, "arguments": ""}
            head = {"index": event.index, "id": event.id, "type": "function", "function": function}
            return {"tool_calls": [drop_none(head, event.extra)]}
        case ToolCallDelta():
            return {"tool_calls": [{"index": event.index, "function": {"arguments": event.arguments}}]}
